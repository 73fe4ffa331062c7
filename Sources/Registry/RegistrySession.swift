// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import NIOCore
import NIOHTTP1
import OCI
import Synchronization

/// Makes calls: chooses the scheme, shows who asks, follows redirects, retries.
struct RegistrySession: Sendable {
    let transport: HTTPTransport
    let authenticator: Authenticator
    let hosts: RegistryHosts
    let retry: RetryPolicy
    let clock: RegistryClock
    let schemes: SchemeMemory

    static let redirectLimit = 5

    /// Makes a call whose answer is small, with retries. 2xx and the statuses in `allowing` are returned, all else throws.
    func call(
        _ call: RegistryCall,
        at endpoint: RegistryEndpoint,
        allowing: Set<Int> = [],
        limit: Int = RegistryErrorBody.limit
    ) async throws -> RegistryReply {
        try await RetryLoop(retry, clock).run(host: endpoint.authority) {
            try await callOnce(call, at: endpoint, allowing: allowing, limit: limit)
        }
    }

    /// As `call`, without retries: throws `Setback` and `TransportFailure`.
    func callOnce(
        _ call: RegistryCall,
        at endpoint: RegistryEndpoint,
        allowing: Set<Int> = [],
        limit: Int = RegistryErrorBody.limit
    ) async throws -> RegistryReply {
        let reply = try await clock.limit(call.timeout ?? retry.requestTimeout) {
            let (answer, address) = try await open(call, at: endpoint)
            let isSuccess = (200..<300).contains(answer.status)
            return RegistryReply(
                status: answer.status,
                headers: answer.headers,
                body: try await body(of: answer, limit: isSuccess ? limit : RegistryErrorBody.limit),
                address: address
            )
        }
        if (200..<300).contains(reply.status) || allowing.contains(reply.status) { return reply }
        throw refusal(reply.status, reply.headers, reply.body ?? [], call, endpoint)
    }

    /// Sends a call and returns the head of the answer, whatever its status; the body is still to be read.
    func open(_ call: RegistryCall, at endpoint: RegistryEndpoint) async throws -> (HTTPAnswer, WebAddress) {
        let base = try await base(of: endpoint)
        var exchange = HTTPExchange(
            method: call.method,
            address: call.address(at: base, endpoint),
            headers: call.headers,
            body: call.body
        )
        var redirects = 0
        var askedAgain = false
        while true {
            let isHome = exchange.address.origin == base.origin
            let shown =
                isHome ? try await authenticator.authorization(for: endpoint, at: base, scope: call.scope) : nil
            exchange.headers.remove(name: "Authorization")
            if let shown { exchange.headers.add(name: "Authorization", value: shown.exposed) }
            let answer = try await transport.exchange(exchange, tls: tls(exchange.address, endpoint, isHome: isHome))
            if let next = try redirect(answer, exchange, endpoint) {
                redirects += 1
                guard redirects <= Self.redirectLimit else {
                    throw RegistryError(.invalidResponse, "\(endpoint.name) redirects \(call.subject) in a circle")
                }
                exchange = next
            } else if answer.status == 401, isHome, !askedAgain {
                let helps = try await authenticator.accept(
                    Challenge.parse(answer.headers["WWW-Authenticate"]),
                    from: endpoint,
                    at: base,
                    scope: call.scope,
                    rejected: shown
                )
                if !helps { return (answer, exchange.address) }
                askedAgain = true
                if exchange.body.isStream { throw Setback(refusal(call, endpoint)) }
            } else {
                return (answer, exchange.address)
            }
        }
    }

    /// `https://host/v2/`
    func base(of endpoint: RegistryEndpoint) async throws -> WebAddress {
        WebAddress(scheme: try await scheme(of: endpoint), authority: endpoint.authority.lowercased(), path: "/v2/")
    }

    func refusal(
        _ status: Int,
        _ headers: HTTPHeaders,
        _ body: [UInt8],
        _ call: RegistryCall,
        _ endpoint: RegistryEndpoint
    ) -> any Error {
        RegistryError.refusal(
            status: status,
            headers: headers,
            body: body,
            subject: call.subject,
            endpoint: endpoint,
            hasCredentials: authenticator.hasCredentials(for: endpoint)
        )
    }

    private func refusal(_ call: RegistryCall, _ endpoint: RegistryEndpoint) -> RegistryError {
        .unauthorized(
            endpoint,
            hasCredentials: authenticator.hasCredentials(for: endpoint),
            subject: call.subject,
            said: ""
        )
    }

    private func body(of answer: HTTPAnswer, limit: Int) async throws -> [UInt8]? {
        do {
            return try await answer.collect(limit: limit)
        } catch {
            try Task.checkCancellation()
            throw TransportFailure(sorting: error)
        }
    }

    /// The exchange that a redirect asks for; nil when the answer is none that can be followed.
    private func redirect(_ answer: HTTPAnswer, _ exchange: HTTPExchange, _ endpoint: RegistryEndpoint) throws
        -> HTTPExchange?
    {
        let followed = exchange.method == .GET || exchange.method == .HEAD ? [301, 302, 303, 307, 308] : [307, 308]
        guard followed.contains(answer.status), !exchange.body.isStream, let location = answer.header("Location")
        else { return nil }
        guard let target = WebAddress(location, relativeTo: exchange.address) else {
            throw RegistryError(
                .invalidResponse,
                "\(endpoint.name) redirects to something that is not an http(s) address"
            )
        }
        let isAllowed = hosts[target.authority].http || (target.isLoopback && exchange.address.isLoopback)
        if exchange.address.scheme == .https, target.scheme == .http, !isAllowed {
            throw RegistryError(
                .tls,
                "\(endpoint.name) redirects from https to plain http at \(target.authority), which is not followed",
                nextStep: "if that is wanted, set http = true under [registry.\"\(target.authority)\"] in galley.toml"
            )
        }
        var next = exchange
        next.address = target
        return next
    }

    /// A server that the registry sends us to is verified as the registry is, but is not shown its client certificate.
    private func tls(_ address: WebAddress, _ endpoint: RegistryEndpoint, isHome: Bool) -> TLSSettings {
        isHome ? TLSSettings(hosts[endpoint.name]) : TLSSettings(hosts: hosts, realm: address, endpoint: endpoint)
    }
}

extension TLSSettings {
    init(_ host: RegistryHosts.Host) {
        self.init(insecure: host.insecure, ca: host.ca, keypair: host.keypair.first)
    }

    /// For a server that `endpoint` refers us to: its own settings, else the endpoint's without its client certificate.
    init(hosts: RegistryHosts, realm: WebAddress, endpoint: RegistryEndpoint) {
        if let own = hosts.hosts[realm.authority] {
            self.init(own)
        } else {
            self.init(hosts[endpoint.name])
            if realm.host != endpoint.host { keypair = nil }
        }
    }
}
