// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Foundation
import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Synchronization

/// A registry that answers as a test tells it, also wrongly: plain HTTP/1.1 on a loopback port.
final class FakeRegistry: Sendable {
    struct Reply: Sendable {
        enum Ending: Sendable {
            case whole
            /// The connection is closed before the promised length is reached.
            case cut
            /// The connection stays open and nothing more comes.
            case stalled
            /// The body has no length and never ends.
            case endless
        }

        var status = "200 OK"
        var headers: [String] = []
        var body: [UInt8] = []
        /// What Content-Length says, if not the truth.
        var promised: Int?
        var ending = Ending.whole

        static let notFound = Reply(
            status: "404 Not Found",
            headers: ["Content-Type: application/json"],
            body: Array(#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#.utf8)
        )
    }

    private struct State {
        var replies: [String: Reply] = [:]
        var stalled = 0
        var connections: Set<CInt> = []
        var isClosed = false
    }

    let host: String
    private let listener: LoopbackListener
    private let state = SharedState(State())

    init() throws {
        listener = try LoopbackListener()
        host = "127.0.0.1:\(listener.port)"
        let (listener, state) = (listener, state)
        Thread.detachNewThread {
            while true {
                let connection = accept(listener.descriptor, nil, nil)
                guard connection >= 0 else { return }
                _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
                Thread.detachNewThread { Self.serve(connection, state) }
            }
        }
    }

    deinit {
        state.value.withLock { state in
            state.isClosed = true
            for connection in state.connections { shutdown(connection, Int32(SHUT_RDWR)) }
        }
        listener.close()
    }

    /// How many bodies are stalled now.
    var stalled: Int { state.value.withLock { $0.stalled } }

    /// Sets the answer for a path below `/v2/`.
    func reply(to path: String, _ reply: Reply) { state.value.withLock { $0.replies["/v2/" + path] = reply } }

    /// Changes all answers whose path contains `part`.
    func change(pathsContaining part: String, except: String = "/none", _ change: (inout Reply) -> Void) {
        state.value.withLock { state in
            for (path, var reply) in state.replies where path.contains(part) && !path.contains(except) {
                change(&reply)
                state.replies[path] = reply
            }
        }
    }

    /// Replaces the manifest `latest` of the repository `app` by another text.
    func changeManifest(_ change: (String) -> String) {
        let old = state.value.withLock { $0.replies["/v2/app/manifests/latest"]?.body ?? [] }
        let text = change(String(decoding: old, as: UTF8.self))
        add(manifest: text, type: "application/vnd.oci.image.manifest.v1+json", to: "app", tag: "latest")
    }

    /// How long an offered manifest is.
    func size(ofManifest digest: String, in repository: String) -> Int {
        state.value.withLock { $0.replies["/v2/\(repository)/manifests/\(digest)"]?.body.count ?? 0 }
    }

    /// Offers a blob.
    func add(blob: [UInt8], to repository: String) -> Digest {
        let digest = Digest.sha256(blob)
        reply(
            to: "\(repository)/blobs/\(digest)",
            Reply(headers: ["Content-Type: application/octet-stream"], body: blob)
        )
        return digest
    }

    /// Offers a manifest or an index under its digest and a tag.
    @discardableResult
    func add(manifest: String, type: String, to repository: String, tag: String) -> Digest {
        let body = Array(manifest.utf8)
        let digest = Digest.sha256(body)
        let reply = Reply(headers: ["Content-Type: \(type)", "Docker-Content-Digest: \(digest)"], body: body)
        for name in [tag, digest.description] { self.reply(to: "\(repository)/manifests/\(name)", reply) }
        return digest
    }

    /// Offers an image of one gzip layer and returns the layer's digest.
    @discardableResult
    func addImage(_ repository: String, tag: String = "latest", _ tar: [UInt8]) throws -> Digest {
        let blob = try compressed(tar, .gzip)
        let layer = add(blob: blob, to: repository)
        let config = """
            {"architecture":"amd64","os":"linux","config":{"Env":["A=b"]},\
            "rootfs":{"type":"layers","diff_ids":["\(Digest.sha256(tar))"]}}
            """
        let configDigest = add(blob: Array(config.utf8), to: repository)
        let manifest = """
            {"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",\
            "config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"\(configDigest)",\
            "size":\(config.utf8.count)},\
            "layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"\(layer)",\
            "size":\(blob.count)}]}
            """
        add(manifest: manifest, type: "application/vnd.oci.image.manifest.v1+json", to: repository, tag: tag)
        return layer
    }

    // MARK: Serving

    private static func serve(_ connection: CInt, _ state: SharedState<State>) {
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
            let reply = state.value.withLock { $0.replies[request.path] }
            guard answer(connection, request.method, reply ?? fallback(request.path), state) else { return }
        }
    }

    private static func fallback(_ path: String) -> Reply {
        path == "/v2/" ? Reply(headers: ["Content-Type: application/json"], body: Array("{}".utf8)) : .notFound
    }

    /// Reads up to the empty line; bodies of requests are not expected.
    private static func readRequest(_ connection: CInt, _ unread: inout [UInt8]) -> (method: String, path: String)? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let text = String(decoding: unread, as: UTF8.self)
            if let end = text.range(of: "\r\n\r\n") {
                unread = Array(text[end.upperBound...].utf8)
                let words = text.prefix { $0 != "\r\n" && $0 != "\n" }.split(separator: " ")
                guard words.count >= 2 else { return nil }
                return (String(words[0]), String(words[1].prefix { $0 != "?" }))
            }
            let count = recv(connection, &buffer, buffer.count, 0)
            // A TLS handshake is refused at once, as servers of plain HTTP do.
            guard count > 0, unread.first ?? buffer[0] != 0x16 else { return nil }
            unread += buffer[..<count]
        }
    }

    /// Returns whether the connection can be used again.
    private static func answer(
        _ connection: CInt,
        _ method: String,
        _ reply: Reply,
        _ state: SharedState<State>
    ) -> Bool {
        let length = reply.ending == .endless ? [] : ["Content-Length: \(reply.promised ?? reply.body.count)"]
        let head = (["HTTP/1.1 \(reply.status)"] + reply.headers + length).joined(separator: "\r\n") + "\r\n\r\n"
        guard send(connection, Array(head.utf8)) else { return false }
        if method == "HEAD" { return true }
        guard send(connection, reply.body) else { return false }
        switch reply.ending {
        case .whole: return true
        case .cut: return false
        case .endless:
            let block = [UInt8](repeating: 0x78, count: 1 << 16)
            while send(connection, block) {}
            return false
        case .stalled:
            state.value.withLock { $0.stalled += 1 }
            var byte: UInt8 = 0
            while recv(connection, &byte, 1, 0) > 0 {}
            state.value.withLock { $0.stalled -= 1 }
            return false
        }
    }

    private static func send(_ connection: CInt, _ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { bytes in
                Glibc.send(connection, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}

/// State that the threads of a server share.
private final class SharedState<Value: Sendable>: Sendable {
    let value: Mutex<Value>
    init(_ value: Value) { self.value = Mutex(value) }
}
