// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// What a registry is shown to prove who asks.
public enum RegistryCredentials: Sendable, Hashable {
    case basic(username: String, password: RedactedString)
    /// An OAuth 2 refresh token, exchanged for short-lived ones at the registry's token server.
    case identityToken(RedactedString)
    /// A token that the registry itself accepts.
    case registryToken(RedactedString)
}

/// Where a client finds credentials.
public protocol CredentialSource: Sendable {
    /// The credentials for `host` (`docker.io` for Docker Hub), nil when there are none. Asked only after a registry has
    /// demanded them, at most once for a host and client.
    func credentials(for host: String) async throws -> RegistryCredentials?
}

/// A fixed table of credentials.
public struct FixedCredentials: CredentialSource {
    private let table: [String: RegistryCredentials]

    /// - Parameter table: credentials by host and port.
    public init(_ table: [String: RegistryCredentials] = [:]) { self.table = table }

    public func credentials(for host: String) async throws -> RegistryCredentials? { table[host] }
}
