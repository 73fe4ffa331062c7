// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import NIOHTTP1
import OCI
import Registry
import Synchronization

/// A registry that keeps everything in memory and misbehaves on request.
final class FakeRegistry: Sendable {
    struct State: Sendable {
        var blobs: [String: [UInt8]] = [:]
        /// By `path:reference`.
        var manifests: [String: (type: String, bytes: [UInt8])] = [:]
        var uploads: [String: [UInt8]] = [:]
        var nextUpload = 0
    }

    /// Decides before the registry does; the count says how often this method and path were asked, from 1.
    typealias Interceptor = @Sendable (FakeRequest, _ count: Int) async -> FakeReply?

    private let state = Mutex(State())
    private let counts = Mutex<[String: Int]>([:])
    private let intercept: Interceptor

    init(_ intercept: @escaping Interceptor = { _, _ in nil }) { self.intercept = intercept }

    @discardableResult
    func add(blob bytes: [UInt8]) -> Descriptor {
        let digest = Digest.sha256(bytes)
        state.withLock { $0.blobs[digest.description] = bytes }
        return Descriptor(mediaType: .ociLayer, digest: digest, size: Int64(bytes.count))
    }

    @discardableResult
    func add(manifest bytes: [UInt8], type: MediaType = .ociManifest, _ path: String, _ tag: String) -> Descriptor {
        let digest = Digest.sha256(bytes)
        state.withLock { state in
            for name in [tag, digest.description] { state.manifests["\(path):\(name)"] = (type.rawValue, bytes) }
        }
        return Descriptor(mediaType: type, digest: digest, size: Int64(bytes.count))
    }

    func blob(_ digest: Digest) -> [UInt8]? { state.withLock { $0.blobs[digest.description] } }
    func manifest(_ name: String) -> [UInt8]? { state.withLock { $0.manifests[name]?.bytes } }
    var openUploads: Int { state.withLock { $0.uploads.count } }

    static func error(_ status: Int, _ code: String, _ message: String = "no") -> FakeReply {
        FakeReply(
            status: status,
            headers: [("Content-Type", "application/json")],
            body: Array(#"{"errors":[{"code":"\#(code)","message":"\#(message)"}]}"#.utf8)
        )
    }

    func answer(_ request: FakeRequest) async -> FakeReply {
        let count = counts.withLock { counts in
            counts["\(request.method) \(request.path)", default: 0] += 1
            return counts["\(request.method) \(request.path)"] ?? 0
        }
        if let reply = await intercept(request, count) { return reply }
        guard request.path.hasPrefix("/v2/") else { return FakeReply(status: 404) }
        if request.path == "/v2/" { return FakeReply(status: 200) }
        let parts = request.path.dropFirst(4).split(separator: "/").map(String.init)
        if let position = parts.firstIndex(of: "manifests"), position + 1 < parts.count {
            return manifests(request, parts[..<position].joined(separator: "/"), parts[position + 1])
        }
        if let position = parts.firstIndex(of: "blobs"), position + 1 < parts.count {
            let path = parts[..<position].joined(separator: "/")
            if parts[position + 1] == "uploads" {
                return uploads(request, path, parts.dropFirst(position + 2).first)
            }
            return blobs(request, parts[position + 1])
        }
        return FakeReply(status: 404)
    }

    private func manifests(_ request: FakeRequest, _ path: String, _ name: String) -> FakeReply {
        if request.method == "PUT" {
            let descriptor = add(
                manifest: request.body,
                type: MediaType(request.header("Content-Type") ?? ""),
                path,
                name
            )
            return FakeReply(status: 201, headers: [("Docker-Content-Digest", "\(descriptor.digest)")])
        }
        guard let found = state.withLock({ $0.manifests["\(path):\(name)"] }) else {
            return Self.error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        }
        return FakeReply(
            status: 200,
            headers: [("Content-Type", found.type), ("Docker-Content-Digest", "\(Digest.sha256(found.bytes))")],
            body: found.bytes
        )
    }

    private func blobs(_ request: FakeRequest, _ digest: String) -> FakeReply {
        guard let bytes = state.withLock({ $0.blobs[digest] }) else { return Self.error(404, "BLOB_UNKNOWN") }
        if let range = request.header("Range"), let from = Int(range.dropFirst(6).dropLast()) {
            return FakeReply(
                status: 206,
                headers: [("Content-Range", "bytes \(from)-\(bytes.count - 1)/\(bytes.count)")],
                body: Array(bytes[from...])
            )
        }
        return FakeReply(status: 200, body: bytes)
    }

    private func uploads(_ request: FakeRequest, _ path: String, _ id: String?) -> FakeReply {
        state.withLock { state in
            switch (request.method, id) {
            case ("POST", _):
                if let mount = request.query("mount"), state.blobs[mount] != nil { return FakeReply(status: 201) }
                state.nextUpload += 1
                let id = "u\(state.nextUpload)"
                state.uploads[id] = []
                return FakeReply(status: 202, headers: [("Location", "/v2/\(path)/blobs/uploads/\(id)?_state=a%2Fb")])
            case ("PATCH", let id?):
                guard state.uploads[id] != nil, request.query("_state") == "a/b" else { return FakeReply(status: 404) }
                state.uploads[id, default: []] += request.body
                return FakeReply(status: 202, headers: [("Location", "\(id)?_state=a%2Fb")])
            case ("PUT", let id?):
                guard let bytes = state.uploads.removeValue(forKey: id) else { return FakeReply(status: 404) }
                let digest = Digest.sha256(bytes).description
                guard request.query("digest") == digest else { return Self.error(400, "DIGEST_INVALID") }
                state.blobs[digest] = bytes
                return FakeReply(status: 201, headers: [("Docker-Content-Digest", digest)])
            case ("DELETE", let id?):
                state.uploads[id] = nil
                return FakeReply(status: 204)
            default: return FakeReply(status: 405)
            }
        }
    }

    /// Runs the registry on a loopback port with a client that does not wait between attempts.
    func serving<R: Sendable>(
        credentials: any CredentialSource = FixedCredentials(),
        clock: TestClock = TestClock(),
        _ body: @Sendable (FakeServer, RegistryClient) async throws -> R
    ) async throws -> R {
        try await FakeServer.run({ await self.answer($0) }) { server in
            let client = RegistryClient(
                hosts: RegistryHosts([server.host: .init(http: true)]),
                credentials: credentials,
                clock: clock
            )
            do {
                let result = try await body(server, client)
                try await client.shutdown()
                return result
            } catch {
                try? await client.shutdown()
                throw error
            }
        }
    }
}
