// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import NIOCore
import NIOHTTP1
import OCI
import Synchronization

/// Knows, for each registry, how it wants to be shown who asks, and keeps tokens while they are valid.
final class Authenticator: Sendable {
    /// What a registry's challenge asked for.
    private enum Method {
        case basic
        case bearer(realm: WebAddress, service: String?)
    }

    private struct TokenKey: Hashable {
        var host: String
        var realm: WebAddress
        var service: String?
        var scope: AuthScope
    }

    private struct Token {
        var text: RedactedString
        var expiry: Duration
    }

    private struct State {
        var methods: [String: Method] = [:]
        /// What a registry demanded beyond the scope that was asked for.
        var widened: [String: [AuthScope: AuthScope]] = [:]
        var tokens: [TokenKey: Token] = [:]
        var credentials: [String: RegistryCredentials?] = [:]
    }

    private let source: any CredentialSource
    private let tokenServer: TokenServer
    private let hosts: RegistryHosts
    private let clock: RegistryClock
    private let gate = FetchGate()
    private let state = Mutex(State())

    init(source: any CredentialSource, tokenServer: TokenServer, hosts: RegistryHosts, clock: RegistryClock) {
        self.source = source
        self.tokenServer = tokenServer
        self.hosts = hosts
        self.clock = clock
    }

    /// The Authorization header's value for a request to `endpoint`; nil as long as it has demanded none.
    ///
    /// - Parameter origin: where the request goes; credentials travel over plain http only where that is allowed.
    func authorization(for endpoint: RegistryEndpoint, at origin: WebAddress, scope: AuthScope) async throws
        -> RedactedString?
    {
        guard let method = state.withLock({ $0.methods[endpoint.name] }) else { return nil }
        switch method {
        case .basic:
            guard case .basic(let username, let password)? = try await credentials(for: endpoint) else { return nil }
            try requireConfidential(origin, endpoint)
            return TokenServer.basic(username, password)
        case .bearer(let realm, let service):
            try requireConfidential(origin, endpoint)
            let wide = state.withLock { $0.widened[endpoint.name]?[scope] } ?? scope
            let key = TokenKey(host: endpoint.name, realm: realm, service: service, scope: wide)
            let token = try await token(key, endpoint)
            return RedactedString("Bearer \(token.exposed)")
        }
    }

    /// Takes note of the challenges of a 401. False when asking again cannot help.
    ///
    /// - Parameter rejected: the Authorization value that was refused; a token so refused is forgotten.
    func accept(
        _ challenges: [Challenge],
        from endpoint: RegistryEndpoint,
        at origin: WebAddress,
        scope: AuthScope,
        rejected: RedactedString?
    ) async throws -> Bool {
        if let bearer = challenges.first(where: { $0.scheme == "bearer" && $0.parameters["realm"] != nil }) {
            guard let realm = WebAddress(bearer.parameters["realm"] ?? "", relativeTo: origin) else {
                throw RegistryError(
                    .invalidResponse,
                    "\(endpoint.name) names a token server that is not an http(s) address"
                )
            }
            let demanded = AuthScope(parsing: bearer.parameters["scope"] ?? "")
            state.withLock { state in
                state.methods[endpoint.name] = .bearer(realm: realm, service: bearer.parameters["service"])
                state.widened[endpoint.name, default: [:]][scope] = scope.union(demanded)
                if let rejected {
                    state.tokens = state.tokens.filter { "Bearer \($0.value.text.exposed)" != rejected.exposed }
                }
            }
            return true
        }
        guard challenges.contains(where: { $0.scheme == "basic" }) else { return false }
        state.withLock { $0.methods[endpoint.name] = .basic }
        if case .basic? = try await credentials(for: endpoint) { return rejected == nil }
        return false
    }

    /// Whether credentials for `endpoint` are known, as far as they have been looked for.
    func hasCredentials(for endpoint: RegistryEndpoint) -> Bool {
        state.withLock { ($0.credentials[endpoint.name] ?? nil) != nil }
    }

    private func credentials(for endpoint: RegistryEndpoint) async throws -> RegistryCredentials? {
        try await gate.passing("credentials \(endpoint.name)") {
            if let known = state.withLock({ $0.credentials[endpoint.name] }) { return known }
            let found = try await source.credentials(for: endpoint.name)
            state.withLock { $0.credentials[endpoint.name] = .some(found) }
            return found
        }
    }

    private func token(_ key: TokenKey, _ endpoint: RegistryEndpoint) async throws -> RedactedString {
        try await gate.passing("token \(key.host) \(key.realm) \(key.scope)") {
            if let known = state.withLock({ $0.tokens[key] }), known.expiry > clock.now() { return known.text }
            let credentials = try await credentials(for: endpoint)
            if case .registryToken(let token)? = credentials { return token }
            if credentials != nil { try requireConfidential(key.realm, endpoint) }
            let started = clock.now()
            let answer = try await tokenServer.token(
                realm: key.realm,
                service: key.service,
                scope: key.scope,
                credentials: credentials,
                for: endpoint
            )
            state.withLock { state in
                // A tenth is held back, so that a token does not expire on its way.
                state.tokens[key] = Token(text: answer.token, expiry: started + answer.lifetime * 0.9)
                if let renewed = answer.identityToken, case .identityToken? = credentials {
                    state.credentials[endpoint.name] = .some(.identityToken(renewed))
                }
            }
            return answer.token
        }
    }

    private func requireConfidential(_ address: WebAddress, _ endpoint: RegistryEndpoint) throws {
        if address.scheme == .https || address.isLoopback || hosts[address.authority].http { return }
        if hosts[endpoint.name].http, address.host == endpoint.host { return }
        throw RegistryError(
            .unauthorized,
            "credentials for \(endpoint.name) are not sent to \(address.authority) over plain http",
            nextStep: "set http = true for \(address.authority) in the registry configuration if its network is trusted"
        )
    }
}
