// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI

/// Debian's buildah with a storage of its own.
actor Buildah {
    private let directory: ScratchDirectory
    private var preparation: Task<Void, any Error>?

    init() throws {
        directory = try ScratchDirectory()
        removeAtExit(directory.path)
    }

    private nonisolated var options: [String] {
        [
            "--root", directory.file("root").description, "--runroot", directory.file("run").description,
            "--storage-driver", "overlay",
        ]
    }

    private nonisolated var buildOptions: [String] {
        [
            "--pull-never", "--isolation", "chroot", "--format", "docker",
            "--signature-policy", directory.file("policy.json").description,
        ]
    }

    /// Builds a context; returns the config of the image and leaves its tree in a tar archive.
    func build(_ context: String, tree: RawPath) async throws -> JSONValue {
        try await prepare()
        let name = "t\(UInt32.random(in: 0 ... .max))"
        let output = ["-o", "type=tar,dest=\(tree)"]
        try await run(["bud"] + buildOptions + output + ["-t", name, context])
        let answer = try JSONValue(parsing: try await run(["inspect", "--type", "image", name]).utf8)
        guard let config = answer["Docker"]?["config"] else {
            throw ProgramFailure(description: "buildah inspect has no config: \(answer)")
        }
        return config
    }

    private func prepare() async throws {
        let task =
            preparation
            ?? Task {
                try replaceFile(directory.file("policy.json"), #"{"default":[{"type":"insecureAcceptAnything"}]}"#.utf8)
                try await run(
                    ["bud"] + buildOptions + [
                        "-t", "docker.io/library/alpine:latest", TestInstallation.bases + "/alpine",
                    ]
                )
            }
        preparation = task
        try await task.value
    }

    @discardableResult
    private nonisolated func run(_ arguments: [String]) async throws -> String {
        var environment = plainEnvironment
        environment["HOME"] = directory.file("home").description
        // The overlay driver leaves a mount behind.
        let words = ["unshare", "--mount", "--propagation", "private", "buildah"] + options + arguments
        var result = try await runProgram("/usr/bin/env", words, environment: environment)
        // The kernel may still be at the pages of the copy of itself that buildah made, and then refuses to seal it.
        for _ in 0..<4 where !result.succeeded && result.errors.contains("sealing memfd copy: Device or resource busy")
        {
            result = try await runProgram("/usr/bin/env", words, environment: environment)
        }
        return try result.get().output
    }
}
