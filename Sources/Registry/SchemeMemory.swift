// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import NIOHTTP1
import Synchronization

/// What was found out about how servers on loopback are spoken to.
final class SchemeMemory: Sendable {
    private let known = Mutex<[String: WebAddress.Scheme]>([:])

    subscript(authority: String) -> WebAddress.Scheme? {
        get { known.withLock { $0[authority] } }
        set { known.withLock { $0[authority] = newValue } }
    }
}

extension RegistrySession {
    /// Plain http where that is configured; on loopback whatever the server speaks, https first; https otherwise.
    func scheme(of endpoint: RegistryEndpoint) async throws -> WebAddress.Scheme {
        let settings = hosts[endpoint.name]
        if settings.http { return .http }
        guard endpoint.isLoopback, settings.ca.isEmpty, settings.keypair.isEmpty else { return .https }
        if let known = schemes[endpoint.authority] { return known }
        let found = try await probe(endpoint)
        schemes[endpoint.authority] = found
        return found
    }

    /// Nothing secret is sent, and nothing is believed but whether there is TLS: a certificate that does not verify must
    /// not lead to plain http.
    private func probe(_ endpoint: RegistryEndpoint) async throws -> WebAddress.Scheme {
        let address = WebAddress(scheme: .https, authority: endpoint.authority, path: "/v2/")
        return try await RetryLoop(retry, clock).run(host: endpoint.authority) {
            do {
                _ = try await clock.limit(retry.requestTimeout) {
                    try await transport.exchange(HTTPExchange(method: .GET, address: address), tls: .probe)
                }
                return .https
            } catch let failure as TransportFailure {
                if failure.kind == .tls { return .https }
                if failure.kind == .notTLS || failure.kind == .lost { return .http }
                if failure.kind == .connect, !endpoint.hasPort { return .http }
                throw failure
            }
        }
    }
}
