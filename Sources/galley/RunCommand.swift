// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder
import Glibc
import LinuxSystem
import ProgressUI

struct RunCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a command in a container of an image.",
        usage: "galley run [OPTIONS] IMAGE [COMMAND] [ARG...]",
        discussion: "What the command changes in the image's files is thrown away at its end.",
        // -h is the host name, as in docker.
        helpNames: .long
    )

    @OptionGroup var global: GlobalOptions

    // Containers never stay.
    @Flag(name: .customLong("rm"), help: "Remove the container at the end, which is always done.")
    var removes = false

    @Flag(name: .shortAndLong, help: "Connect standard input.")
    var interactive = false

    @Flag(name: .shortAndLong, help: "Give the command a terminal.")
    var tty = false

    @Option(
        name: .letter("e", "env"),
        parsing: .unconditionalSingleValue,
        help: .init("Set a variable; without a value, from the environment.", value: "key[=value]")
    )
    var variables: [String] = []

    @Option(
        name: .customLong("env-file"),
        parsing: .unconditionalSingleValue,
        help: .init("Set the variables of a file.", value: "file")
    )
    var variableFiles: [String] = []

    @Option(
        name: .letter("v", "volume"),
        parsing: .unconditionalSingleValue,
        help: .init("Mount a directory or a file of this machine.", value: "source:target[:ro]")
    )
    var volumes: [String] = []

    @Option(
        name: .letter("w", "workdir"),
        parsing: .unconditional,
        help: .init("The working directory.", value: "directory")
    )
    var directory: String?

    @Option(name: .letter("u", "user"), parsing: .unconditional, help: .init("The user.", value: "user[:group]"))
    var user: String?

    @Option(parsing: .unconditional, help: .init("The program to run instead of the image's.", value: "program"))
    var entrypoint: String?

    @Option(name: [.long, .customLong("net")], help: .init("The network: host or none.", value: "mode"))
    var network = "host"

    @Option(name: .letter("h", "hostname"), parsing: .unconditional, help: .init("The host name.", value: "name"))
    var hostname: String?

    @Option(help: .init("Pull the image: always, missing or never.", value: "when"))
    var pull = "missing"

    @Argument(parsing: .captureForPassthrough, help: .init("The image, and what to run in it.", value: "image"))
    var imageAndCommand: [String] = []

    func exitCode(of error: UserFacingError) -> Int32 { error.exitCode == 1 ? 125 : error.exitCode }

    func execute(_ session: Session) async throws -> Int32 {
        let terminal = tty ? try terminalDescriptor() : nil
        var request = RunRequest(
            image: "",
            standardInput: try input(terminal),
            standardOutput: try standardStream(terminal ?? STDOUT_FILENO),
            standardError: try standardStream(terminal ?? STDERR_FILENO)
        )
        request.environment = try environment(session)
        try fill(&request, workingDirectory: readLink("/proc/self/cwd").description)
        let engine = try session.engine()
        try await provide(request.image, engine)
        // As docker: a directory that is not there is made.
        for volume in request.volumes where (try? status(at: workingDirectory, RawPath(volume.source))) == nil {
            try makeDirectories(RawPath(volume.source))
        }
        let frozen = request
        let events = LateDisplay()
        let settings = terminal.flatMap { TerminalState($0) }
        defer { settings?.restore() }
        do {
            let code = try await interruptible { try await engine.run(frozen, events: events) }
            try await events.finish(.succeeded)
            return code
        } catch {
            try await events.finish(.failed)
            throw error
        }
    }

    /// Everything but descriptors and environment.
    func fill(_ request: inout RunRequest, workingDirectory: String) throws {
        var words = imageAndCommand[...]
        if words.first == "--" { words = words.dropFirst() }
        guard let image = words.popFirst() else {
            throw invalidValue("'galley run' requires at least 1 argument", "name the image to run")
        }
        guard !image.hasPrefix("-") else {
            throw invalidValue("unknown flag: \(image)", "galley run --help lists what there is")
        }
        request.image = image
        request.command = Array(words)
        request.entrypoint = entrypoint.map { $0.isEmpty ? [] : [$0] }
        request.volumes = try volumes.map { try Self.volume($0, workingDirectory) }
        request.workingDirectory = directory
        request.user = user
        guard let network = RunRequest.Network(rawValue: network) else {
            throw invalidValue("network mode \"\(network)\" is not supported", "use host or none")
        }
        request.network = network
        request.hostname = hostname
        request.terminal = tty
    }

    /// `source:target[:ro]`. A relative source begins with a dot, as in docker; other names are volumes.
    static func volume(_ text: String, _ workingDirectory: String) throws -> RunRequest.Volume {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard (2...3).contains(parts.count), !parts[0].isEmpty else {
            throw invalidValue("invalid volume specification: '\(text)'", "write it like /source:/target:ro")
        }
        var source = parts[0]
        if source == "." || source == ".." || source.hasPrefix("./") || source.hasPrefix("../") {
            source = workingDirectory + "/" + source
        }
        guard source.hasPrefix("/") else {
            throw BuilderError(
                .unsupported,
                "named volumes are not supported: '\(source)'",
                nextStep: "name a directory: an absolute path, or one that begins with ./"
            )
        }
        guard parts[1].hasPrefix("/") else {
            throw invalidValue("invalid mount path: '\(parts[1])' mount path must be absolute")
        }
        var volume = RunRequest.Volume(source: source, target: parts[1])
        for option in parts.count == 3 ? parts[2].split(separator: ",") : [] {
            switch option {
            case "ro": volume.readOnly = true
            case "rw": volume.readOnly = false
            default: throw invalidValue("invalid mode: \(option)", "use ro or rw")
            }
        }
        return volume
    }

    private func environment(_ session: Session) throws -> [String] {
        let files = try variableFiles.flatMap { path in
            try environmentFile(
                String(decoding: readFile(RawPath(path), limit: 16 << 20), as: UTF8.self),
                path,
                environment: session.environment
            )
        }
        return files + (try environmentEntries(variables, environment: session.environment))
    }

    private func terminalDescriptor() throws -> CInt {
        let candidates = interactive ? [STDIN_FILENO] : [STDIN_FILENO, STDOUT_FILENO]
        guard let descriptor = candidates.first(where: isTerminal) else {
            throw BuilderError(.invalidRequest, "the input device is not a TTY", nextStep: "leave out -t")
        }
        return descriptor
    }

    private func input(_ terminal: CInt?) throws -> SharedFD {
        if let terminal { return try standardStream(terminal) }
        return interactive ? try standardStream(STDIN_FILENO) : try open("/dev/null", .readOnly).shared()
    }

    /// Pulls the image when it is not there, with a display that ends before the command starts.
    private func provide(_ image: String, _ engine: Engine) async throws {
        switch pull {
        case "never": return
        case "always": break
        case "missing":
            if (try? engine.inspect(image)) != nil { return }
            writeError("Unable to find image '\(image)' locally\n")
        default: throw invalidValue("invalid pull option: '\(pull)'", "use always, missing or never")
        }
        _ = try await withProgress(.auto) { try await engine.pull(image, platform: nil, events: $0) }
    }
}

/// Values of `--env`: a name alone takes the caller's value, and is left out when there is none.
func environmentEntries(_ entries: [String], environment: [String: String]) throws -> [String] {
    try entries.compactMap { entry in
        let (key, value) = try keyValue(entry, of: "--env")
        return (value ?? environment[key]).map { "\(key)=\($0)" }
    }
}

/// Lines of `--env-file`. `#` begins a comment line; values are taken as they are.
func environmentFile(_ text: String, _ path: String, environment: [String: String]) throws -> [String] {
    let lines = text.split(whereSeparator: \.isNewline).map { $0.drop { $0 == " " || $0 == "\t" } }
    let entries = lines.filter { !$0.isEmpty && !$0.hasPrefix("#") }.map(String.init)
    for entry in entries where entry.prefix(while: { $0 != "=" }).contains(where: \.isWhitespace) {
        throw invalidValue("\(path): variable '\(entry.prefix { $0 != "=" })' contains whitespaces")
    }
    return try environmentEntries(entries, environment: environment)
}
