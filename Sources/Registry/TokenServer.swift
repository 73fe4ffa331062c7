// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import FoundationEssentials
import NIOHTTP1
import OCI

/// Fetches bearer tokens (distribution token and OAuth 2 specifications).
struct TokenServer: Sendable {
    struct Answer: Sendable {
        var token: RedactedString
        var lifetime: Duration
        /// A refresh token that replaces the one that was used.
        var identityToken: RedactedString?
    }

    let transport: HTTPTransport
    let hosts: RegistryHosts
    let clock: RegistryClock
    let retry: RetryPolicy

    /// "If omitted, this defaults to 60 seconds", and no token is taken to live shorter than that.
    private static let shortestLifetime: Int64 = 60

    static func basic(_ username: String, _ password: RedactedString) -> RedactedString {
        RedactedString("Basic \(Data("\(username):\(password.exposed)".utf8).base64EncodedString())")
    }

    func token(
        realm: WebAddress,
        service: String?,
        scope: AuthScope,
        credentials: RegistryCredentials?,
        for endpoint: RegistryEndpoint
    ) async throws -> Answer {
        let exchange = Self.exchange(realm: realm, service: service, scope: scope, credentials: credentials)
        let tls = TLSSettings(hosts: hosts, realm: realm, endpoint: endpoint)
        let attempts = RetryLoop(retry, clock)
        let (status, bytes) = try await attempts.run(host: realm.authority) {
            let answer = try await clock.limit(retry.requestTimeout) {
                let answer = try await transport.exchange(exchange, tls: tls)
                return (answer.status, answer.headers, try await answer.collect(limit: 1 << 20) ?? [])
            }
            if answer.0 == 429 || answer.0 >= 500 {
                let body = RegistryErrorBody(parsing: answer.2)
                throw Setback(
                    RegistryError(
                        answer.0 == 429 ? .rateLimited : .serverError,
                        "the token server \(realm.authority) answered \(answer.0)\(body.suffix)"
                    ),
                    retryAfter: RetryPolicy.retryAfter(answer.1.first(name: "Retry-After"))
                )
            }
            return (answer.0, answer.2)
        }
        guard status == 200 else {
            throw Self.refusal(status, bytes, endpoint: endpoint, realm: realm, hasCredentials: credentials != nil)
        }
        guard let json = try? JSONValue(parsing: bytes),
            let token = (json["token"] ?? json["access_token"])?.stringValue, Self.isToken(token)
        else { throw RegistryError(.invalidResponse, "the token server \(realm.authority) sent no token") }
        let seconds = min(max(json["expires_in"]?.integerValue ?? 0, Self.shortestLifetime), 1 << 32)
        return Answer(
            token: RedactedString(token),
            lifetime: .seconds(seconds),
            identityToken: json["refresh_token"]?.stringValue.map(RedactedString.init)
        )
    }

    private static func exchange(
        realm: WebAddress,
        service: String?,
        scope: AuthScope,
        credentials: RegistryCredentials?
    ) -> HTTPExchange {
        if case .identityToken(let token)? = credentials {
            var form = WebAddress(scheme: .https, authority: "", path: "").adding("grant_type", "refresh_token")
            form = form.adding("refresh_token", token.exposed).adding("client_id", "galley")
            if let service { form = form.adding("service", service) }
            if !scope.texts.isEmpty { form = form.adding("scope", scope.description) }
            return HTTPExchange(
                method: .POST,
                address: realm,
                headers: ["Content-Type": "application/x-www-form-urlencoded"],
                body: .bytes(Array((form.query ?? "").utf8))
            )
        }
        var address = realm
        if let service { address = address.adding("service", service) }
        for text in scope.texts { address = address.adding("scope", text) }
        var exchange = HTTPExchange(method: .GET, address: address)
        if case .basic(let username, let password)? = credentials {
            exchange.address = exchange.address.adding("account", username)
            exchange.headers.add(name: "Authorization", value: basic(username, password).exposed)
        }
        return exchange
    }

    private static func refusal(
        _ status: Int,
        _ bytes: [UInt8],
        endpoint: RegistryEndpoint,
        realm: WebAddress,
        hasCredentials: Bool
    ) -> RegistryError {
        let said = RegistryErrorBody(parsing: bytes).suffix
        // OAuth 2 servers answer 400 with invalid_grant for a refresh token that is no longer valid.
        guard [400, 401, 403].contains(status) else {
            return RegistryError(.invalidResponse, "the token server \(realm.authority) answered \(status)\(said)")
        }
        return .unauthorized(endpoint, hasCredentials: hasCredentials, subject: nil, said: said)
    }

    /// Whatever can stand in a header.
    private static func isToken(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 64 << 10 && text.utf8.allSatisfy { (0x21...0x7e).contains($0) }
    }
}
