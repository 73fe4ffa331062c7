// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Foundation
import GalleyTesting
import Glibc
import LinuxSystem
import Synchronization

/// A web server that answers as a test tells it, also wrongly: plain HTTP/1.1 on a loopback port. As a proxy it gets
/// requests for other hosts.
final class WebServer: Sendable {
    struct Request: Sendable {
        var method: String
        /// As sent; of a proxy's request a whole address.
        var target: String
        /// By lower-case names.
        var headers: [String: String]
        var path: String { String(target.prefix { $0 != "?" }) }
    }

    struct Reply: Sendable {
        enum Ending: Sendable {
            case whole
            /// The connection is closed before the promised length is reached.
            case cut
            /// The body has no length and never ends.
            case endless
        }

        var status = "200 OK"
        var headers: [String] = []
        var body: [UInt8] = []
        var ending = Ending.whole

        static let notFound = Reply(status: "404 Not Found", body: Array("no such file".utf8))

        static func text(_ text: String, _ headers: [String] = []) -> Reply {
            Reply(headers: headers, body: Array(text.utf8))
        }
        static func redirect(_ location: String) -> Reply {
            Reply(status: "302 Found", headers: ["Location: \(location)"])
        }
    }

    private struct State {
        var requests: [Request] = []
        var connections: Set<CInt> = []
        var isClosed = false
    }

    let port: UInt16
    var url: String { "http://127.0.0.1:\(port)" }
    private let listener: LoopbackListener
    private let state: StateBox

    private final class StateBox: Sendable {
        let value = Mutex(State())
    }

    init(_ answer: @escaping @Sendable (Request) -> Reply) throws {
        listener = try LoopbackListener()
        port = listener.port
        state = StateBox()
        let (listener, state) = (listener, state)
        Thread.detachNewThread {
            while true {
                let connection = accept(listener.descriptor, nil, nil)
                guard connection >= 0 else { return }
                _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
                Thread.detachNewThread { Self.serve(connection, state, answer) }
            }
        }
    }

    /// Serves fixed replies by path; all else is not found.
    convenience init(_ replies: [String: Reply]) throws {
        try self.init { replies[$0.path] ?? .notFound }
    }

    /// Serves the files below a directory.
    convenience init(files: RawPath) throws {
        try self.init { request in
            guard !request.path.contains(".."),
                let bytes = try? readFile(files.appending(String(request.path.dropFirst())))
            else { return .notFound }
            return Reply(body: bytes)
        }
    }

    deinit {
        state.value.withLock { state in
            state.isClosed = true
            for connection in state.connections { shutdown(connection, Int32(SHUT_RDWR)) }
        }
        listener.close()
    }

    /// What was asked until now.
    var requests: [Request] { state.value.withLock { $0.requests } }

    // MARK: Serving

    private static func serve(_ connection: CInt, _ state: StateBox, _ answer: @Sendable (Request) -> Reply) {
        let isOpen = state.value.withLock { state in
            if !state.isClosed { state.connections.insert(connection) }
            return !state.isClosed
        }
        defer {
            _ = state.value.withLock { $0.connections.remove(connection) }
            close(connection)
        }
        var unread: [UInt8] = []
        while isOpen, let request = readRequest(connection, &unread) {
            state.value.withLock { $0.requests.append(request) }
            guard send(answer(request), to: connection, isHead: request.method == "HEAD") else { return }
        }
    }

    /// Reads up to the empty line; bodies of requests are not expected.
    private static func readRequest(_ connection: CInt, _ unread: inout [UInt8]) -> Request? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let text = String(decoding: unread, as: UTF8.self)
            if let end = text.range(of: "\r\n\r\n") {
                unread = Array(text[end.upperBound...].utf8)
                let lines = text[..<end.lowerBound].components(separatedBy: "\r\n")
                let words = lines[0].split(separator: " ")
                guard words.count >= 2 else { return nil }
                var headers: [String: String] = [:]
                for line in lines.dropFirst() {
                    guard let colon = line.firstIndex(of: ":") else { continue }
                    headers[line[..<colon].lowercased()] =
                        line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
                }
                return Request(method: String(words[0]), target: String(words[1]), headers: headers)
            }
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0 else { return nil }
            unread += buffer[..<count]
        }
    }

    /// Returns whether the connection can be used again.
    private static func send(_ reply: Reply, to connection: CInt, isHead: Bool) -> Bool {
        let promised = reply.ending == .cut ? reply.body.count + 1000 : reply.body.count
        let length = reply.ending == .endless ? [] : ["Content-Length: \(promised)"]
        let head = (["HTTP/1.1 \(reply.status)"] + reply.headers + length).joined(separator: "\r\n") + "\r\n\r\n"
        guard send(Array(head.utf8), to: connection) else { return false }
        if isHead { return true }
        guard send(reply.body, to: connection) else { return false }
        switch reply.ending {
        case .whole: return true
        case .cut: return false
        case .endless:
            let block = [UInt8](repeating: 0x78, count: 1 << 16)
            while send(block, to: connection) {}
            return false
        }
    }

    private static func send(_ bytes: [UInt8], to connection: CInt) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}
