// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
import Subprocess
import SystemPackage

/// A program that keeps credentials (docker-credential-helpers: `get`, `store` and `erase` over stdin and stdout).
struct CredentialHelper: Sendable {
    private let program: String
    private let environment: Environment

    private static let outputLimit = 1 << 20
    /// Less than a pipe holds.
    private static let inputLimit = 32 << 10

    /// - Parameter name: what follows `docker-credential-`.
    init(_ name: String, environment: Environment = .inherit) {
        program = "docker-credential-\(name)"
        self.environment = environment
    }

    /// Nil when the helper has none for `server`.
    func get(_ server: String) async throws -> RegistryCredentials? {
        let (status, output) = try await run("get", input: server)
        guard status == 0 else {
            if output.lowercased().contains("credentials not found") { return nil }
            throw failure("get", output)
        }
        guard let json = try? JSONValue(parsing: Array(output.utf8)), let secret = json["Secret"]?.stringValue,
            let username = json["Username"]?.stringValue
        else { throw RegistryError(.credentialStore, "\(program) answered something that is not a credential") }
        if username == "<token>" { return .identityToken(RedactedString(secret)) }
        return username.isEmpty && secret.isEmpty ? nil : .basic(username: username, password: RedactedString(secret))
    }

    func store(_ credentials: RegistryCredentials, _ server: String) async throws {
        let (username, secret) =
            switch credentials {
            case .basic(let username, let password): (username, password)
            case .identityToken(let token), .registryToken(let token): ("<token>", token)
            }
        let json: JSONValue = [
            "ServerURL": .string(server), "Username": .string(username), "Secret": .string(secret.exposed),
        ]
        let (status, output) = try await run("store", input: String(decoding: json.encoded(), as: UTF8.self))
        if status != 0 { throw failure("store", output) }
    }

    func erase(_ server: String) async throws {
        let (status, output) = try await run("erase", input: server)
        if status != 0 { throw failure("erase", output) }
    }

    /// The helper's word for what went wrong; helpers print it on stdout, and never print the secret when they fail.
    private func failure(_ action: String, _ output: String) -> RegistryError {
        RegistryError(.credentialStore, "\(program) \(action) failed: \(sanitised(output, limit: 300))")
    }

    private func run(_ action: String, input: String) async throws -> (status: Int32, output: String) {
        // The name comes from a file that may not be the user's own: it names a program in PATH and nothing else.
        guard !program.contains("/") else {
            throw RegistryError(
                .credentialStore,
                "\"\(sanitised(program, limit: 80))\" is not a credential helper's name"
            )
        }
        do {
            let result = try await Subprocess.run(
                .name(program),
                arguments: [action],
                environment: environment,
                input: .fileDescriptor(try Self.filledPipe(input), closeAfterSpawningProcess: true),
                output: .string(limit: Self.outputLimit),
                error: .string(limit: Self.outputLimit)
            )
            let status: Int32 = if case .exited(let code) = result.terminationStatus { code } else { -1 }
            let output = result.standardOutput
            return (status, status != 0 && output.isEmpty ? result.standardError : output)
        } catch let error as RegistryError {
            throw error
        } catch let error as SubprocessError where error.code == .executableNotFound {
            throw RegistryError(
                .credentialStore,
                "the credential helper \(program) was not found in PATH",
                nextStep: "install it, or remove it from credsStore and credHelpers in docker's config.json"
            )
        } catch {
            try Task.checkCancellation()
            throw RegistryError(.credentialStore, "\(program) could not be run", cause: error)
        }
    }

    /// The read end of a pipe that holds all of `text`. Writing while the helper runs would raise SIGPIPE, and trap in
    /// swift-subprocess 1.0.2, when it does not read.
    private static func filledPipe(_ text: String) throws -> FileDescriptor {
        guard text.utf8.count <= inputLimit else {
            throw RegistryError(.credentialStore, "a credential has more than \(inputLimit) bytes")
        }
        let (readEnd, writeEnd) = try FileDescriptor.pipe()
        do {
            try writeEnd.closeAfter { _ = try writeEnd.writeAll(text.utf8) }
            return readEnd
        } catch {
            try? readEnd.close()
            throw error
        }
    }
}
