// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import OCI

/// An ordinary user with subordinate ids, who has a home of its own and can read the program and the base images.
final class RootlessUser: Sendable {
    static let name = "galley-test"
    static let isPossible =
        TestInstallation.isComplete
        && ["useradd", "newuidmap", "setpriv", "unshare"].allSatisfy { TestInstallation.hasProgram($0) }

    private static let installation = Installation()

    let directory: ScratchDirectory
    let bases: String
    private let binary: String
    var home: RawPath { directory.file("home") }
    /// Where the store is without `--root`.
    var root: RawPath { home.appending(".local/share/galley") }

    init() async throws {
        let files = try await Self.installation.get()
        binary = files.file("galley").description
        bases = files.file("bases").description
        directory = try ScratchDirectory()
        try directory.shell("mkdir home && chown \(Self.name): home")
    }

    private var environment: [String: String] {
        plainEnvironment.merging(["HOME": home.description, "USER": Self.name, "LOGNAME": Self.name]) { $1 }
    }

    private static func words(_ program: String, _ arguments: [String]) -> [String] {
        ["--reuid", name, "--regid", name, "--init-groups", program] + arguments
    }

    func galley(_ arguments: String..., input: String = "") async throws -> ProgramResult {
        try await galley(arguments, input: input)
    }

    func galley(_ arguments: [String], input: String = "") async throws -> ProgramResult {
        try await runProgram(
            TestInstallation.programPath("setpriv") ?? "setpriv",
            Self.words(binary, arguments),
            environment: environment,
            directory: home,
            input: Array(input.utf8)
        )
    }

    /// Runs the program where `hidden` is an empty file without permissions.
    func galley(_ arguments: [String], hiding hidden: String) async throws -> ProgramResult {
        let script = #"mount --bind /dev/null "$0" && exec setpriv "$@""#
        return try await runProgram(
            TestInstallation.programPath("unshare") ?? "unshare",
            ["-m", "--propagation", "private", "sh", "-c", script, hidden] + Self.words(binary, arguments),
            environment: environment,
            directory: home
        )
    }

    func start(_ arguments: [String]) throws -> RunningProgram {
        // setpriv becomes the program: signals reach it.
        try RunningProgram(
            TestInstallation.programPath("setpriv") ?? "setpriv",
            Self.words(binary, arguments),
            environment: environment,
            directory: home
        )
    }

    /// Builds with all times pinned and returns the image's id.
    @discardableResult
    func build(_ context: String, tag: String, _ options: [String] = []) async throws -> String {
        let pinned = ["build", "--progress", "plain", "--build-arg", GalleyStore.epoch, "-t", tag]
        try await galley(pinned + options + [context]).get()
        let object = try await JSONValue(parsing: galley("inspect", tag).get().outputBytes).arrayValue?.first
        guard let id = object?["Id"]?.stringValue else { throw ProgramFailure(description: "no id of \(tag)") }
        return id
    }

    func addBase() async throws { try await build("\(bases)/alpine", tag: "alpine:latest") }

    func leftovers() throws -> [String] {
        let fd = try open(root.appending("tmp"), [.directory])
        return try readDirectory(fd.raw).map(\.name.description).sorted()
    }

    /// Makes the user, and copies of what the user could not read; once in a process.
    private actor Installation {
        private var task: Task<ScratchDirectory, any Error>?

        func get() async throws -> ScratchDirectory {
            let task =
                task
                ?? Task {
                    let files = try ScratchDirectory()
                    removeAtExit(files.path)
                    try files.shell(
                        """
                        id \(name) > user 2>&1 || useradd --system --shell /bin/sh \(name)
                        for file in subuid subgid; do
                            grep -q '^\(name):' /etc/$file || echo '\(name):100000:65536' >> /etc/$file
                        done
                        mkdir -p bases/alpine
                        cp --reflink=auto '\(TestInstallation.binary)' galley
                        cp '\(TestInstallation.bases)/alpine/'* bases/alpine/
                        chmod -R a+rX .
                        """
                    )
                    return files
                }
            self.task = task
            return try await task.value
        }
    }
}
