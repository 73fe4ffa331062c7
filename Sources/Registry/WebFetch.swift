// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import AsyncHTTPClient
import FoundationEssentials
public import LinuxSystem
import NIOCore
import NIOHTTP1
import OCI

/// A file on a web server to be asked for.
public struct WebFetch: Sendable {
    /// `http` or `https`.
    public var url: String
    /// Only the head of the answer is wanted.
    public var isHead: Bool
    /// Conditions and the like.
    public var headers: [(name: String, value: String)]
    /// The value of an Authorization header; shown to this URL's host only, not to those that it redirects to.
    public var authorization: RedactedString?

    public init(
        _ url: String,
        isHead: Bool = false,
        headers: [(name: String, value: String)] = [],
        authorization: RedactedString? = nil
    ) {
        self.url = url
        self.isHead = isHead
        self.headers = headers
        self.authorization = authorization
    }
}

/// The head of an answer, redirects followed.
public struct WebFetchAnswer: Sendable {
    public let status: Int
    private let headers: HTTPHeaders
    /// Bytes of the body, when the server said.
    public var contentLength: Int64? { header("Content-Length").flatMap { Int64($0) } }

    init(_ answer: HTTPAnswer) {
        status = answer.status
        headers = answer.headers
    }

    /// The first header of that name, any letter case.
    public func header(_ name: String) -> String? { headers.first(name: name) }
}

/// Fetches files from web servers: redirects, proxies, retries. Bodies are passed on as they come, whatever their
/// Content-Encoding.
public struct WebClient: Sendable {
    private let session: RegistrySession

    static let redirectLimit = 10

    /// Uses the client's connections and its settings of hosts.
    public init(_ client: RegistryClient) { session = client.session }

    /// Asks for a file and hands the body to `take`, which reads the channel to its end.
    ///
    /// A connection that fails or falls silent is tried again, also in the middle of a body: then `take` is called anew,
    /// with a body from the start. 2xx and the statuses in `allowing` are answers, all else throws.
    public func fetch<R: Sendable>(
        _ fetch: WebFetch,
        allowing: Set<Int> = [],
        take: @Sendable @escaping (WebFetchAnswer, ByteChannel) async throws -> R
    ) async throws -> R {
        var fetch = fetch
        let (plain, user) = splitUser(of: fetch.url)
        guard let address = WebAddress(plain) else {
            throw RegistryError(.invalidResponse, "\(shown(fetch.url)) is not an http or https address")
        }
        if fetch.authorization == nil { fetch.authorization = user }
        let request = fetch
        return try await RetryLoop(session.retry, session.clock).run(host: address.authority) {
            try await attempt(request, address, allowing, take)
        }
    }

    private func attempt<R: Sendable>(
        _ fetch: WebFetch,
        _ address: WebAddress,
        _ allowing: Set<Int>,
        _ take: @Sendable @escaping (WebFetchAnswer, ByteChannel) async throws -> R
    ) async throws -> R {
        let answer = try await session.clock.limit(session.retry.requestTimeout) { try await open(fetch, address) }
        guard (200..<300).contains(answer.status) || allowing.contains(answer.status) else {
            throw refusal(answer, fetch)
        }
        let channel = ByteChannel()
        let pipe = ChunkPipe(clock: session.clock)
        return try await withThrowingTaskGroup(of: R?.self) { group in
            defer {
                channel.finish(throwing: CancellationError())
                group.cancelAll()
            }
            group.addTask {
                await pump(answer, fetch, into: pipe)
                return nil
            }
            group.addTask { [retry = session.retry] in
                do {
                    try await pipe.watch(.writer, stall: retry.stallTimeout, commit: retry.stallTimeout)
                } catch is CancellationError {
                    return nil
                }
            }
            group.addTask {
                do {
                    while let chunk = try await pipe.next() {
                        try await channel.send(Array(chunk.readableBytesView)[...])
                    }
                    channel.finish()
                } catch {
                    channel.finish(throwing: error)
                }
                return nil
            }
            group.addTask { try await take(WebFetchAnswer(answer), channel) }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }

    /// Follows redirects; the body is still to be read.
    private func open(_ fetch: WebFetch, _ start: WebAddress) async throws -> HTTPAnswer {
        var address = start
        for _ in 0...Self.redirectLimit {
            var exchange = HTTPExchange(method: fetch.isHead ? .HEAD : .GET, address: address)
            for (name, value) in fetch.headers { exchange.headers.add(name: name, value: value) }
            if let authorization = fetch.authorization, address.origin == start.origin {
                exchange.headers.replaceOrAdd(name: "Authorization", value: authorization.exposed)
            }
            let tls = TLSSettings(session.hosts[address.authority])
            let answer = try await session.transport.exchange(exchange, tls: tls)
            guard [301, 302, 303, 307, 308].contains(answer.status), let location = answer.header("Location") else {
                return answer
            }
            guard let next = WebAddress(location, relativeTo: address) else {
                throw RegistryError(
                    .invalidResponse,
                    "\(shown(fetch.url)) redirects to something that is not an http(s) address"
                )
            }
            address = next
        }
        throw RegistryError(.invalidResponse, "\(shown(fetch.url)) redirects more than \(Self.redirectLimit) times")
    }

    private func pump(_ answer: HTTPAnswer, _ fetch: WebFetch, into pipe: ChunkPipe) async {
        do {
            if !fetch.isHead, answer.status != 304 {
                for try await chunk in answer.body where chunk.readableBytes > 0 { try await pipe.send(chunk) }
            }
            pipe.finish()
        } catch {
            pipe.finish(throwing: Task.isCancelled ? CancellationError() : TransportFailure(sorting: error))
        }
    }

    private func refusal(_ answer: HTTPAnswer, _ fetch: WebFetch) -> any Error {
        let message = "\(shown(fetch.url)): invalid response status \(answer.status)"
        switch answer.status {
        case 404, 410:
            return RegistryError(.blobNotFound, message, nextStep: "there is no such file; check the URL")
        case 401, 403:
            let host = WebAddress(fetch.url)?.host ?? ""
            return RegistryError(
                answer.status == 401 ? .unauthorized : .denied,
                message,
                nextStep: fetch.authorization == nil
                    ? "give a token as the secret HTTP_AUTH_TOKEN_\(host), or a whole header as HTTP_AUTH_HEADER_\(host)"
                    : "the server does not accept the secret's token"
            )
        case 408, 425, 429, 500...:
            return Setback(
                RegistryError(.serverError, message),
                retryAfter: RetryPolicy.retryAfter(answer.header("Retry-After"))
            )
        default:
            return RegistryError(.invalidResponse, message)
        }
    }
}

/// A URL without its user information, which becomes an Authorization header; spaces and letters beyond ASCII escaped.
private func splitUser(of url: String) -> (url: String, authorization: RedactedString?) {
    var plain = ""
    for byte in url.utf8 {
        // Control characters stay, and make it no address.
        if byte == 0x20 || byte > 0x7f {
            plain += "%" + String(byte, radix: 16, uppercase: true)
        } else {
            plain.unicodeScalars.append(.init(byte))
        }
    }
    guard let scheme = plain.firstRange(of: "://"),
        let at = plain[scheme.upperBound...].prefix(while: { !"/?#".contains($0) }).lastIndex(of: "@")
    else { return (plain, nil) }
    let user = percentDecoded(String(plain[scheme.upperBound..<at]))
    let pair = user.contains(":") ? user : user + ":"
    let rest = plain[..<scheme.upperBound] + plain[plain.index(after: at)...]
    return (String(rest), RedactedString("Basic \(Data(pair.utf8).base64EncodedString())"))
}

/// A URL as messages show it, in bounds and without what a terminal would obey.
private func shown(_ url: String) -> String { sanitised(shownURL(url), limit: 300) }
