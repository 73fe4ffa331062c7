// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import NIOHTTP1
public import OCI

/// A client of OCI and Docker registries.
///
/// Making one costs nothing: threads, TLS and credentials come with the first request. A program that ends need not call
/// `shutdown()`; one that goes on and is done with registries should.
public final class RegistryClient: Sendable {
    let session: RegistrySession

    /// The largest manifest or index that is read.
    public static let manifestLimit = 16 << 20

    /// - Parameters:
    ///   - hosts: mirrors and TLS settings.
    ///   - credentials: asked when a registry demands some.
    ///   - proxies: what requests go through; see ``ProxySettings``.
    ///   - clock: measures back-off, time-outs and the life of tokens.
    public init(
        hosts: RegistryHosts = RegistryHosts(),
        credentials: any CredentialSource = DockerCredentials(),
        retry: RetryPolicy = RetryPolicy(),
        proxies: ProxySettings = .none,
        clock: some Clock<Duration> = ContinuousClock()
    ) {
        session = RegistrySession(
            transport: HTTPTransport(proxies: proxies),
            hosts: hosts,
            retry: retry,
            clock: RegistryClock(clock),
            credentials: credentials
        )
    }

    /// Closes all connections; calls that still run, and later ones, throw.
    public func shutdown() async throws { try await session.transport.shutdown() }

    /// The repository that `reference` names; its tag and digest do not matter.
    public func repository(_ reference: Reference) -> RegistryRepository {
        RegistryRepository(session: session, reference: reference)
    }

    /// Verifies that `host` is a registry and accepts `credentials`; nil asks whether it can be used without any.
    ///
    /// Neither the client's own credentials nor mirrors are used.
    public func ping(_ host: String, credentials: RegistryCredentials?) async throws {
        let endpoint = RegistryEndpoint(domain: host)
        let fixed = FixedCredentials(credentials.map { [endpoint.name: $0] } ?? [:])
        let session = RegistrySession(
            transport: session.transport,
            hosts: session.hosts,
            retry: session.retry,
            clock: session.clock,
            credentials: fixed
        )
        let call = RegistryCall(
            method: .GET,
            target: .base,
            repository: "",
            scope: AuthScope(),
            subject: "registry \(endpoint.name)"
        )
        let reply = try await session.call(call, at: endpoint, allowing: [401, 404])
        if reply.status == 404 {
            throw RegistryError(.unsupported, "\(endpoint.name) is not a registry: it does not know /v2/")
        }
        if reply.status == 401 {
            throw RegistryError.unauthorized(
                endpoint,
                hasCredentials: credentials != nil,
                subject: nil,
                said: RegistryErrorBody(parsing: reply.body ?? []).suffix
            )
        }
    }
}

extension RegistryClient: ManifestSource {
    public func resolveManifest(_ reference: Reference) async throws -> Descriptor {
        try await repository(reference).resolveManifest(reference.tagOrDigest)
    }

    public func readManifest(_ reference: Reference, _ descriptor: Descriptor) async throws -> [UInt8] {
        try await repository(reference).readManifest(descriptor)
    }
}

extension RegistrySession {
    init(
        transport: HTTPTransport,
        hosts: RegistryHosts,
        retry: RetryPolicy,
        clock: RegistryClock,
        credentials: any CredentialSource
    ) {
        let tokens = TokenServer(transport: transport, hosts: hosts, clock: clock, retry: retry)
        self.init(
            transport: transport,
            authenticator: Authenticator(source: credentials, tokenServer: tokens, hosts: hosts, clock: clock),
            hosts: hosts,
            retry: retry,
            clock: clock,
            schemes: SchemeMemory()
        )
    }
}
