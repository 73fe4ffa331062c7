// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder
import Glibc
import LinuxSystem
import OCI

struct LoginCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "login",
        abstract: "Log in to a registry (default: Docker Hub).",
        usage: "galley login [OPTIONS] [SERVER]"
    )

    @OptionGroup var global: GlobalOptions

    @Option(name: .letter("u", "username"), parsing: .unconditional, help: .init("The user's name.", value: "name"))
    var user: String?

    @Option(
        name: .letter("p", "password"),
        parsing: .unconditional,
        help: .init("The password or token.", value: "password")
    )
    var password: String?

    @Flag(name: .customLong("password-stdin"), help: "Read the password or token from standard input.")
    var passwordFromInput = false

    @Argument(help: .init("The registry's host and port.", value: "server"))
    var server: String?

    func execute(_ session: Session) async throws -> Int32 {
        let host = registryHost(server)
        let (user, password) = try credentials()
        let engine = try session.engine()
        let message = try await interruptible { try await engine.login(host, user: user, password: password) }
        try writeOutput(message + "\n")
        return 0
    }

    private func credentials() throws -> (user: String, password: String) {
        if passwordFromInput {
            if password != nil { throw invalidValue("--password and --password-stdin are mutually exclusive") }
            guard let user, !user.isEmpty else { throw invalidValue("the --password-stdin option requires --username") }
            var bytes = try readAll(STDIN_FILENO, limit: 1 << 20)
            if bytes.last == 0x0a { bytes.removeLast() }
            if bytes.last == 0x0d { bytes.removeLast() }
            guard !bytes.isEmpty else { throw invalidValue("password is empty") }
            return (user, String(decoding: bytes, as: UTF8.self))
        }
        if password != nil {
            writeError("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n")
        } else if !isTerminal(STDIN_FILENO) {
            throw BuilderError(
                .invalidRequest,
                "cannot perform an interactive login from a non-TTY device",
                nextStep: "use --username and --password-stdin"
            )
        }
        guard let user = try user ?? ask("Username: "), !user.isEmpty else { throw invalidValue("username is empty") }
        guard let password = try password ?? ask("Password: ", echo: false), !password.isEmpty else {
            throw invalidValue("password is empty")
        }
        return (user, password)
    }
}

struct LogoutCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "logout",
        abstract: "Forget the credentials for a registry (default: Docker Hub).",
        usage: "galley logout [SERVER]"
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: .init("The registry's host and port.", value: "server"))
    var server: String?

    func execute(_ session: Session) async throws -> Int32 {
        let host = registryHost(server)
        let engine = try session.engine()
        let wasThere = try await interruptible { try await engine.logout(host) }
        try writeOutput(wasThere ? "Removing login credentials for \(host)\n" : "Not logged in to \(host)\n")
        return 0
    }
}

/// The host that a user means: without scheme and path, and Docker Hub under its one name.
func registryHost(_ server: String?) -> String {
    guard var rest = server?[...], !rest.isEmpty else { return Reference.defaultDomain }
    for scheme in ["https://", "http://"] where rest.hasPrefix(scheme) { rest = rest.dropFirst(scheme.count) }
    let host = String(rest.prefix { $0 != "/" })
    return ["index.docker.io", "registry-1.docker.io"].contains(host) ? Reference.defaultDomain : host
}
