// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOSSL
import Synchronization

/// One HTTP request, complete but for who may see it.
struct HTTPExchange: Sendable {
    enum Body: Sendable {
        case none
        case bytes([UInt8])
        /// Sent with chunked coding as it is written; cannot be sent again.
        case stream(ChunkPipe)

        var isStream: Bool { if case .stream = self { true } else { false } }
    }

    var method: HTTPMethod
    var address: WebAddress
    var headers: HTTPHeaders = [:]
    var body: Body = .none
}

/// The head of an answer, and its body still to be read.
struct HTTPAnswer: Sendable {
    let status: Int
    let headers: HTTPHeaders
    let body: HTTPClientResponse.Body

    func header(_ name: String) -> String? { headers.first(name: name) }
    var contentLength: Int64? { header("Content-Length").flatMap { Int64($0) } }

    /// Reads the body, at most `limit` bytes; nil when there are more.
    func collect(limit: Int) async throws -> [UInt8]? {
        var bytes: [UInt8] = []
        for try await chunk in body {
            guard chunk.readableBytes <= limit - bytes.count else { return nil }
            bytes += chunk.readableBytesView
        }
        return bytes
    }
}

/// How the identity of a server is verified, and the client's own shown.
struct TLSSettings: Hashable, Sendable {
    var insecure = false
    var ca: [String] = []
    var keypair: RegistryHosts.KeyPair?
    /// For finding out whether a server speaks TLS at all: verifies nothing and loads no trust roots.
    static let probe = TLSSettings(insecure: true)
}

/// Sends single HTTP requests: no redirects, no authentication, no retries. Nothing is created before the first one.
final class HTTPTransport: Sendable {
    private struct State {
        /// By the proxy that they go through.
        var clients: [ProxySettings.Server?: HTTPClient] = [:]
        var isShutDown = false
        var configurations: [TLSSettings: TLSConfiguration] = [:]
    }

    private let proxies: ProxySettings
    private let state = Mutex(State())

    init(proxies: ProxySettings = .none) { self.proxies = proxies }

    deinit {
        // An HTTPClient must be shut down before it goes away; it keeps itself alive until that is done.
        for client in state.withLock({ $0.clients.values }) { client.shutdown { _ in } }
    }

    func exchange(_ exchange: HTTPExchange, tls: TLSSettings) async throws -> HTTPAnswer {
        var request = HTTPClientRequest(url: exchange.address.description)
        request.method = exchange.method
        request.headers = exchange.headers
        request.headers.replaceOrAdd(name: "User-Agent", value: "galley")
        switch exchange.body {
        case .none: break
        case .bytes(let bytes): request.body = .bytes(ByteBuffer(bytes: bytes))
        case .stream(let pipe): request.body = .stream(pipe, length: .unknown)
        }
        if exchange.address.scheme == .https { request.tlsConfiguration = try configuration(tls) }
        let client = try client(through: try proxies.server(for: exchange.address))
        do {
            let response = try await client.execute(request, deadline: .distantFuture)
            return HTTPAnswer(status: Int(response.status.code), headers: response.headers, body: response.body)
        } catch {
            try Task.checkCancellation()
            throw TransportFailure(sorting: error)
        }
    }

    func shutdown() async throws {
        let clients = state.withLock { state in
            state.isShutDown = true
            defer { state.clients = [:] }
            return Array(state.clients.values)
        }
        for client in clients { try await client.shutdown() }
    }

    private func client(through proxy: ProxySettings.Server?) throws -> HTTPClient {
        try state.withLock { state in
            if let client = state.clients[proxy] { return client }
            guard !state.isShutDown else { throw RegistryError(.unreachable, "the registry client was shut down") }
            var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
            configuration.httpVersion = .http1Only
            configuration.decompression = .disabled
            configuration.timeout = .init(connect: .seconds(10))
            configuration.connectionPool.retryConnectionEstablishment = false
            configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 16
            configuration.proxy = proxy.map { HTTPClient.Configuration.Proxy($0) }
            // The event loops are the process's shared ones: a program that ends need not wait for them.
            let client = HTTPClient(configuration: configuration)
            state.clients[proxy] = client
            return client
        }
    }

    /// Kept, because configurations with a private key are only equal to themselves, and connections are pooled by them.
    private func configuration(_ settings: TLSSettings) throws -> TLSConfiguration {
        try state.withLock { state in
            if let known = state.configurations[settings] { return known }
            var made = TLSConfiguration.makeClientConfiguration()
            if settings.insecure {
                made.certificateVerification = .none
                made.trustRoots = .certificates([])
            } else if !settings.ca.isEmpty {
                made.additionalTrustRoots = [.certificates(try settings.ca.flatMap(Self.certificates))]
            }
            if let pair = settings.keypair {
                made.certificateChain = try Self.certificates(pair.certificate).map { .certificate($0) }
                do {
                    made.privateKey = .privateKey(try NIOSSLPrivateKey(file: pair.key, format: .pem))
                } catch {
                    throw RegistryError(.tls, "cannot read the private key \(pair.key)", cause: error)
                }
            }
            state.configurations[settings] = made
            return made
        }
    }

    private static func certificates(_ path: String) throws -> [NIOSSLCertificate] {
        do {
            return try NIOSSLCertificate.fromPEMFile(path)
        } catch {
            throw RegistryError(.tls, "cannot read certificates from \(path)", cause: error)
        }
    }
}

extension HTTPClient.Configuration.Proxy {
    init(_ server: ProxySettings.Server) {
        switch server.kind {
        case .socks5: self = .socksServer(host: server.host, port: server.port)
        case .http:
            let authorization = server.user.map {
                HTTPClient.Authorization.basic(username: $0, password: server.password?.exposed ?? "")
            }
            self = .server(host: server.host, port: server.port, authorization: authorization)
        }
    }
}
