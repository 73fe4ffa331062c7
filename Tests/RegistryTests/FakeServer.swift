// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

struct FakeRequest: Sendable {
    var method: String
    var uri: String
    var headers: HTTPHeaders
    var body: [UInt8] = []

    var path: String { String(uri.prefix { $0 != "?" }) }
    func header(_ name: String) -> String? { headers.first(name: name) }
    func query(_ name: String) -> String? {
        let items = uri.drop { $0 != "?" }.dropFirst().split(separator: "&")
        return items.first { $0.hasPrefix("\(name)=") }.map { Self.decoded($0.dropFirst(name.count + 1)) }
    }

    /// Undoes percent-encoding and the plus signs of forms.
    static func decoded(_ text: Substring) -> String {
        var out: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                out.append(value)
                rest = rest.dropFirst(2)
            } else {
                out.append(byte == UInt8(ascii: "+") ? 0x20 : byte)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}

struct FakeReply: Sendable {
    enum Ending: Sendable {
        case whole
        /// Closes the connection after the body.
        case cut
        /// Sends the body for ever.
        case endless
        /// Sends the body, then nothing, until the client goes away.
        case silent
    }

    var status: Int
    var headers: [(String, String)] = []
    var body: [UInt8] = []
    /// What Content-Length claims; nil with `isChunked` sends none.
    var claimedLength: Int?
    var isChunked = false
    var ending = Ending.whole
}

/// An HTTP/1.1 server on a loopback port that answers as its handler says.
final class FakeServer: Sendable {
    typealias Handler = @Sendable (FakeRequest) async -> FakeReply
    private typealias Connection = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>

    let port: Int
    private let log = Mutex<[FakeRequest]>([])

    private init(port: Int) { self.port = port }

    var host: String { "127.0.0.1:\(port)" }
    /// What was asked so far; connections that spoke no HTTP, such as a TLS handshake, do not count.
    var requests: [FakeRequest] { log.withLock { $0 } }

    func count(_ method: String, _ pathSuffix: String = "") -> Int {
        requests.count { $0.method == method && $0.path.hasSuffix(pathSuffix) }
    }

    static func run<R: Sendable>(_ handler: @escaping Handler, _ body: @Sendable (FakeServer) async throws -> R)
        async throws -> R
    {
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: false)
                    return try Connection(wrappingChannelSynchronously: channel)
                }
            }
        let server = FakeServer(port: listener.channel.localAddress?.port ?? 0)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try? await server.accept(listener, handler) }
            defer { group.cancelAll() }
            return try await body(server)
        }
    }

    private func accept(_ listener: NIOAsyncChannel<Connection, Never>, _ handler: @escaping Handler) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            try await listener.executeThenClose { connections in
                for try await connection in connections {
                    group.addTask { try? await self.serve(connection, handler) }
                }
            }
        }
    }

    private func serve(_ connection: Connection, _ handler: Handler) async throws {
        try await connection.executeThenClose { inbound, outbound in
            var request: FakeRequest?
            for try await part in inbound {
                switch part {
                case .head(let head):
                    request = FakeRequest(method: head.method.rawValue, uri: head.uri, headers: head.headers)
                case .body(let bytes): request?.body += Array(bytes.readableBytesView)
                case .end:
                    guard let complete = request.take() else { return }
                    log.withLock { $0.append(complete) }
                    let reply = await handler(complete)
                    try await send(reply, isHead: complete.method == "HEAD", outbound)
                    if reply.ending != .whole { return }
                }
            }
        }
    }

    private func send(
        _ reply: FakeReply,
        isHead: Bool,
        _ out: NIOAsyncChannelOutboundWriter<HTTPServerResponsePart>
    ) async throws {
        var headers = HTTPHeaders(reply.headers)
        if reply.isChunked {
            headers.add(name: "Transfer-Encoding", value: "chunked")
        } else if !headers.contains(name: "Content-Length") {
            headers.add(name: "Content-Length", value: "\(reply.claimedLength ?? reply.body.count)")
        }
        try await out.write(
            .head(HTTPResponseHead(version: .http1_1, status: .init(statusCode: reply.status), headers: headers))
        )
        if isHead { return try await out.write(.end(nil)) }
        try await out.write(.body(.byteBuffer(ByteBuffer(bytes: reply.body))))
        switch reply.ending {
        case .whole: try await out.write(.end(nil))
        case .cut: break
        case .endless: while true { try await out.write(.body(.byteBuffer(ByteBuffer(bytes: reply.body)))) }
        case .silent: try await Task.sleep(for: .seconds(3600))
        }
    }
}
