// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Foundation
import Glibc
public import LinuxSystem
public import OCI
import Synchronization

/// The galley program under test and what it needs: set by Scripts/test.sh, with defaults for a plain `swift test`.
public enum TestInstallation {
    /// `GALLEY_TEST_BINARY`, else the debug build of this package.
    public static let binary = variable("GALLEY_TEST_BINARY") ?? packageRoot + "/.build/debug/galley"
    /// `GALLEY_TEST_BASES`: one folder a base image with Dockerfile and rootfs.tar.
    public static let bases = variable("GALLEY_TEST_BASES") ?? defaultBases
    /// `GALLEY_TEST_STORE`: a store root in which the base images are tagged already.
    public static let store = variable("GALLEY_TEST_STORE")
    /// Tests/Corpus.
    public static let corpus = packageRoot + "/Tests/Corpus"
    /// Root of the package.
    public static let packageRoot: String = {
        #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }
    }()

    /// Whether end-to-end tests can run: as root, with the program and the small base image.
    public static let isComplete = isRoot && exists(binary) && exists(bases + "/alpine/rootfs.tar")

    /// Whether a program of this name is on PATH.
    public static func hasProgram(_ name: String) -> Bool { programPath(name) != nil }

    public static func programPath(_ name: String) -> String? {
        (plainEnvironment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    private static let defaultBases: String = {
        let home = variable("HOME") ?? "/root"
        return variable("GALLEY_BASES_CACHE") ?? (variable("XDG_CACHE_HOME") ?? home + "/.cache") + "/galley-bases"
    }()

    private static func variable(_ name: String) -> String? {
        ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }
}

/// A store root of its own, and the program that works on it.
public final class GalleyStore: Sendable {
    public let directory: ScratchDirectory
    public var root: RawPath { directory.file("root") }
    /// What the program gets: no configuration and no credentials but what a test puts there.
    public var environment: [String: String] {
        var result = plainEnvironment
        result["HOME"] = directory.file("home").description
        result["XDG_CONFIG_HOME"] = directory.file("config").description
        result["DOCKER_CONFIG"] = directory.file("docker").description
        return result
    }

    /// An empty store.
    public init() throws { directory = try ScratchDirectory() }

    /// Runs `galley --root <root> <arguments>` to its end.
    public func galley(
        _ arguments: [String],
        environment more: [String: String] = [:],
        input: String = "",
        directory: RawPath? = nil
    ) async throws -> ProgramResult {
        try await runProgram(
            TestInstallation.binary,
            ["--root", root.description] + arguments,
            environment: environment.merging(more) { $1 },
            directory: directory,
            input: Array(input.utf8)
        )
    }

    public func galley(_ arguments: String...) async throws -> ProgramResult { try await galley(arguments) }

    /// Starts `galley --root <root> <arguments>`, for tests that watch or stop it.
    public func start(_ arguments: [String], environment more: [String: String] = [:]) throws -> RunningProgram {
        try RunningProgram(
            TestInstallation.binary,
            ["--root", root.description] + arguments,
            environment: environment.merging(more) { $1 }
        )
    }

    /// Builds, whatever comes of it.
    public func tryBuild(_ context: BuildContext, _ options: [String] = []) async throws -> ProgramResult {
        try await galley(["build", "--progress", "plain"] + options + [context.path])
    }

    /// Builds and returns the image's id; a failure throws what was printed.
    @discardableResult
    public func build(_ context: BuildContext, tag: String? = nil, _ options: [String] = []) async throws -> String {
        try await record(context, tag: tag, options).id
    }

    /// Builds with `--progress=rawjson`; a failure throws what was printed. The id is empty when the options ask for
    /// an output that is no image.
    public func record(_ context: BuildContext, tag: String? = nil, _ options: [String] = []) async throws -> (
        id: String, progress: ProgressRecord
    ) {
        // Several builds of one context may run at once.
        let file = directory.file("\(UInt64.random(in: 0 ... .max)).id")
        defer { try? removeFile(file) }
        let result = try await galley(
            ["build", "--progress", "rawjson", "--iidfile", file.description] + (tag.map { ["-t", $0] } ?? []) + options
                + [context.path]
        ).get()
        let id = (try? readFile(file)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return (id, try ProgressRecord(parsing: result.errorBytes))
    }

    /// `galley inspect`: the first of the objects.
    public func inspect(_ image: String) async throws -> JSONValue {
        let result = try await galley("inspect", image).get()
        guard let first = try JSONValue(parsing: result.outputBytes).arrayValue?.first else {
            throw ProgramFailure(description: "no image in the answer: \(result)")
        }
        return first
    }

    /// Standard output of a command in a container of the image.
    public func run(_ image: String, _ command: [String], _ options: [String] = []) async throws -> String {
        try await galley(["run", "--rm"] + options + [image] + command).get().output
    }

    /// Standard output of a shell script in a container of the image.
    public func shell(_ image: String, _ script: String, _ options: [String] = []) async throws -> String {
        try await run(image, ["/bin/sh", "-c", script], options)
    }
}

/// A store that the tests of a suite share; made with the first use, removed when the process ends.
public actor SharedStore {
    private let bases: [String]
    private var task: Task<GalleyStore, any Error>?

    /// - Parameter bases: names of folders with base images, like `alpine`.
    public init(_ bases: [String] = ["alpine"]) { self.bases = bases }

    /// The store, with the base images tagged.
    public func get() async throws -> GalleyStore {
        let task = task ?? Task { [bases] in try await Self.make(bases) }
        self.task = task
        return try await task.value
    }

    private static func make(_ bases: [String]) async throws -> GalleyStore {
        let store = try GalleyStore()
        removeAtExit(store.directory.path)
        try await store.importBases(bases)
        return store
    }
}

extension GalleyStore {
    static let baseNames = [
        "alpine": "alpine:latest", "golang": "golang:1.21-alpine", "debian": "debian:bookworm-slim",
    ]

    /// Tags base images: builds them, or copies `GALLEY_TEST_STORE` when one of the big ones is wanted.
    public func importBases(_ names: [String]) async throws {
        if names != ["alpine"], let prepared = TestInstallation.store, TestInstallation.exists(prepared) {
            try await runScript(#"cp -a --reflink=auto "$1" "$2""#, [prepared, root.description])
            return
        }
        for name in names {
            let tag = Self.baseNames[name] ?? name
            try await galley("build", "--progress", "plain", "-t", tag, "\(TestInstallation.bases)/\(name)").get()
        }
    }
}

private let atExit = Mutex<[RawPath]>([])

/// Removes a directory when the process ends: values that live as long as the process are never deinitialised.
public func removeAtExit(_ path: RawPath) {
    let isFirst = atExit.withLock { paths in
        paths.append(path)
        return paths.count == 1
    }
    guard isFirst else { return }
    atexit { for path in atExit.withLock({ $0 }) { try? removeTree(path) } }
}
