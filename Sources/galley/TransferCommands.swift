// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder
import Glibc
import LinuxSystem
import OCI
import ProgressUI

struct PullCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull",
        abstract: "Download an image from a registry.",
        usage: "galley pull [OPTIONS] NAME[:TAG|@DIGEST]"
    )

    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Print only the name.")
    var quiet = false

    @Option(help: .init("The platform to choose.", value: "os/arch[/variant]"))
    var platform: String?

    @Argument(help: .init("The image's name.", value: "name"))
    var name: String

    func execute(_ session: Session) async throws -> Int32 {
        let platform = try galley.platform(platform)
        let reference = try Reference(name)
        let engine = try session.engine()
        if !quiet, reference.tag == nil, reference.digest == nil { writeError("Using default tag: latest\n") }
        let image = try await withProgress(quiet ? .quiet : .auto) { display in
            try await engine.pull(name, platform: platform, events: display)
        }
        if !quiet, let digest = image.repositoryDigest { try writeOutput("Digest: \(digest)\n") }
        try writeOutput("\(image.reference)\n")
        return 0
    }
}

struct PushCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "push",
        abstract: "Upload an image to a registry.",
        usage: "galley push [OPTIONS] NAME[:TAG]"
    )

    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Print only the name.")
    var quiet = false

    @Argument(help: .init("The image's name.", value: "name"))
    var name: String

    func execute(_ session: Session) async throws -> Int32 {
        let reference = try newName(name)
        let engine = try session.engine()
        let manifest = try await withProgress(quiet ? .quiet : .auto) { display in
            try await engine.push(name, events: display)
        }
        let tag = reference.tag ?? "latest"
        try writeOutput(quiet ? "\(reference)\n" : "\(tag): digest: \(manifest.digest) size: \(manifest.size)\n")
        return 0
    }
}

struct SaveCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "save",
        abstract: "Write images to an archive that docker load reads.",
        usage: "galley save [OPTIONS] IMAGE [IMAGE...]"
    )

    @OptionGroup var global: GlobalOptions

    @Option(
        name: .letter("o", "output"),
        parsing: .unconditional,
        help: .init("The archive (default: standard output).", value: "file")
    )
    var output: String?

    @Argument(help: .init("Names or ids.", value: "image"))
    var images: [String]

    func execute(_ session: Session) async throws -> Int32 {
        let images = images
        guard let output, output != "-" else {
            guard !isTerminal(STDOUT_FILENO) else {
                throw BuilderError(
                    .invalidRequest,
                    "cowardly refusing to save to a terminal",
                    nextStep: "use -o FILE or redirect"
                )
            }
            let engine = try session.engine()
            let stream = try standardStream(STDOUT_FILENO)
            try await interruptible { try await engine.save(images, to: stream) }
            return 0
        }
        let engine = try session.engine()
        try await interruptible { try await engine.save(images, to: RawPath(output)) }
        return 0
    }
}

struct LoadCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Read images from an archive of docker save or an OCI archive."
    )

    @OptionGroup var global: GlobalOptions

    @Option(
        name: .letter("i", "input"),
        parsing: .unconditional,
        help: .init("The archive (default: standard input).", value: "file")
    )
    var input: String?

    @Flag(name: .shortAndLong, help: "Print nothing.")
    var quiet = false

    func execute(_ session: Session) async throws -> Int32 {
        let stream: SharedFD
        if let input {
            stream = try open(RawPath(input), .readOnly).shared()
        } else {
            guard !isTerminal(STDIN_FILENO) else {
                throw BuilderError(
                    .invalidRequest,
                    "requested load from stdin, but stdin is a terminal",
                    nextStep: "use -i FILE"
                )
            }
            stream = try standardStream(STDIN_FILENO)
        }
        let engine = try session.engine()
        let names = try await withProgress(quiet ? .quiet : .auto) { display in
            try await engine.load(from: stream, events: display)
        }
        if !quiet { try writeOutput(names.map(Self.line).joined()) }
        return 0
    }

    static func line(_ name: String) -> String {
        name.hasPrefix("sha256:") ? "Loaded image ID: \(name)\n" : "Loaded image: \(name)\n"
    }
}
