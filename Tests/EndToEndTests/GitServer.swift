// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem

/// A directory with git repositories, and `git daemon` on a loopback port for them until the value goes away.
final class GitServer: Sendable {
    let files: ScratchDirectory
    private let port: UInt16
    private let program: RunningProgram

    init() async throws {
        let files = try ScratchDirectory()
        try makeDirectories(files.file("served"))
        (port, program) = try await startServer("git daemon", saying: "Ready to rumble") { port in
            try RunningProgram(
                "/bin/sh",
                [
                    // Not by way of git, which would be killed without the daemon that it started.
                    "-c", #"exec "$(git --exec-path)/git-daemon" "$@""#, "sh", "--verbose", "--export-all",
                    "--reuseaddr", "--listen=127.0.0.1", "--port=\(port)",
                    "--base-path=\(files.file("served"))",
                ],
                environment: Self.environment
            )
        }
        self.files = files
    }

    /// Without anybody's settings, with fixed names and times.
    static let environment = plainEnvironment.merging([
        "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "c",
        "GIT_COMMITTER_EMAIL": "c@example.com", "GIT_AUTHOR_DATE": "1500000000 +0000",
        "GIT_COMMITTER_DATE": "1500000000 +0000",
    ]) { $1 }

    func url(_ name: String) -> String { "git://127.0.0.1:\(port)/\(name)" }
    func path(_ name: String) -> String { files.file("served").appending(name).description }

    /// How often a client has connected.
    func connections() throws -> Int {
        try program.errorsSoFar().split(separator: "\n").count { $0.contains("Connection from") }
    }

    /// Makes the repository `name` by a script that runs in a work tree with the branch `main`, and serves it.
    @discardableResult
    func make(_ name: String, _ script: String) async throws -> String {
        let tree = files.file("work-\(name)").description
        return try await runScript(
            """
            [ -e "$1" ] || git init -q -b main "$1"
            cd "$1"
            \(script)
            git init -q --bare -b main "$2"
            git push -q --force --mirror "$2"
            git -C "$2" update-server-info
            """,
            [tree, path(name)],
            environment: Self.environment
        )
    }

    /// What a name stands for in a repository.
    func commit(_ name: String, _ revision: String) async throws -> String {
        try await runScript(#"git -C "$1" rev-parse "$2""#, [path(name), revision], environment: Self.environment)
            .trimmingSuffix()
    }
}

extension String {
    /// Without line breaks at the end.
    func trimmingSuffix() -> String { String(reversed().drop { $0.isNewline }.reversed()) }
}
