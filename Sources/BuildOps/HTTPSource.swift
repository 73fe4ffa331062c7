// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildDefinition
import LinuxSystem
import OCI
import Snapshots
import Solver

/// A file from a web server as a layer that holds it alone.
///
/// With a checksum the content is known beforehand, and the server is asked only when no former result has it. Without
/// one the server is asked each time, but sends the file only when it has changed.
final class HTTPSource: RemoteTree {
    private let op: HTTPOp
    private let info: VertexInfo
    private let ignoresCache: Bool
    private let environment: StepEnvironment
    private let access: RemoteAccess
    private let announcement: SourceAnnouncement
    private let resolution = OnceTask<Resolution>()
    private let result = OnceTask<StepValue>()

    private struct Resolution: Sendable {
        var key: CacheKey
        var digest: Digest
        var fileName: String
        /// What the server sent in answer to the question whether there is something new.
        var download: Download?
    }

    private struct Download: Sendable {
        var layer: PendingSnapshot
        var entry: WebMemory.Entry
    }

    init(_ op: HTTPOp, _ vertex: BuildVertex, _ environment: StepEnvironment, _ access: RemoteAccess) {
        self.op = op
        info = vertex.info
        ignoresCache = vertex.metadata.ignoresCache
        self.environment = environment
        self.access = access
        announcement = SourceAnnouncement(vertex.info, environment)
    }

    func key() async throws -> CacheKey { try await resolved().key }
    func value() async throws -> StepValue { try await result.value { try await self.make() } }

    func time() async throws -> Int64? {
        let resolution = try await resolved()
        let layers = try await value().layers()
        let snapshotter = environment.snapshotter
        return try await cancellableBlocking { cancellation in
            let tree = try snapshotter.readTree(layers)
            let file = try openInRoot(tree.root.raw, RawPath(resolution.fileName), [.readOnly], resolve: [.noSymlinks])
            let time = try status(of: file.raw).modified.seconds
            return time == 0 ? try newestFile(inArchive: file.raw, cancellation) : time
        }
    }

    func announceUnused() { announcement.cached() }

    // MARK: Asking

    private func resolved() async throws -> Resolution {
        try await resolution.value {
            let resolution = try await self.resolve()
            self.environment.witness?.resolved(self.info.id, resolution.digest.description)
            return resolution
        }
    }

    private func resolve() async throws -> Resolution {
        if let checksum = op.checksum {
            guard checksum.algorithm == .sha256 else {
                throw BuildOpsError(.invalidRequest, "\(checksum) cannot be verified: only sha256 is supported")
            }
            let name = fileName(nil)
            return Resolution(key: key(checksum, name), digest: checksum, fileName: name)
        }
        return try await announcement.working {
            let former = ignoresCache ? nil : try await usableEntry()
            guard let download = try await download(unless: former) else {
                guard let former else { preconditionFailure("only what is known can be unchanged") }
                return Resolution(key: key(former), digest: former.digest, fileName: former.fileName)
            }
            let entry = download.entry
            let (memory, memoryKey) = (access.memory, memoryKey)
            try await blocking { try memory.save(memoryKey, entry) }
            return Resolution(key: key(entry), digest: entry.digest, fileName: entry.fileName, download: download)
        }
    }

    /// What is remembered of the file, when the layer is here too and the server gave something to ask by.
    private func usableEntry() async throws -> WebMemory.Entry? {
        let (memory, memoryKey) = (access.memory, memoryKey)
        guard let entry = try await blocking({ try memory.load(memoryKey) }),
            entry.entityTag != nil || entry.lastModified != nil,
            try await access.results.find(key(entry)) != nil
        else { return nil }
        return entry
    }

    private var memoryKey: Digest {
        var encoder = CanonicalEncoder()
        encoder.append("http", bytes: BuildOp.http(op).canonicalBytes)
        return Digest.sha256(encoder.bytes)
    }

    private func key(_ entry: WebMemory.Entry) -> CacheKey { key(entry.digest, entry.fileName) }

    private func key(_ digest: Digest, _ name: String) -> CacheKey {
        var encoder = CanonicalEncoder()
        encoder.append("source", "http")
        encoder.append("content", digest.description)
        encoder.append("name", name)
        encoder.append("permissions", op.permissions)
        return CacheKey(Digest.sha256(encoder.bytes))
    }

    // MARK: Fetching

    private func make() async throws -> StepValue {
        let resolution = try await resolved()
        if let download = resolution.download { return try await publish(download, resolution.key) }
        if !ignoresCache, let found = try await access.results.find(resolution.key) {
            announcement.cached()
            return found
        }
        return try await announcement.working {
            guard let download = try await download(unless: nil) else {
                preconditionFailure("an unconditional request has an answer")
            }
            guard download.entry.digest == resolution.digest else {
                if let checksum = op.checksum { throw mismatch(download.entry.digest, checksum) }
                throw BuildOpsError(
                    .conflict,
                    "\(shownURL(op.url)) changed during the build",
                    nextStep: "build again"
                )
            }
            return try await publish(download, resolution.key)
        }
    }

    private func publish(_ download: Download, _ key: CacheKey) async throws -> StepValue {
        let snapshotter = environment.snapshotter
        let id = try await blocking { try snapshotter.publish(download.layer) }
        let value = StepValue(LayerStack(source: key, [id]))
        try await access.results.record(value, of: info, key: key)
        return value
    }

    private func mismatch(_ found: Digest, _ expected: Digest) -> BuildOpsError {
        BuildOpsError(
            .conflict,
            "digest mismatch for \(shownURL(op.url)): \(found) (expected: \(expected))",
            nextStep: "the file is not the one that --checksum names; if it should be, correct the checksum"
        )
    }

    /// Nil when the server says that the file is still what `former` says.
    private func download(unless former: WebMemory.Entry?) async throws -> Download? {
        var request = WebRequest(url: op.url, authorization: try await authorization())
        if let tag = former?.entityTag {
            request.headers.append(("If-None-Match", tag))
        } else if let time = former?.lastModified {
            request.headers.append(("If-Modified-Since", time))
        }
        return try await access.web.fetch(request) { [self] answer, body in
            if answer.status == 304 {
                guard former != nil else {
                    throw BuildOpsError(
                        .conflict,
                        "\(shownURL(op.url)): the server sent no file, but says it is unchanged"
                    )
                }
                return nil
            }
            // Some servers tell the tag and send the file nevertheless.
            if let tag = former?.entityTag, let found = answer.header("ETag"), sameTag(tag, found) { return nil }
            return try await receive(answer, body)
        }
    }

    private func receive(_ answer: any WebAnswer, _ body: ByteChannel) async throws -> Download {
        let name = op.checksum == nil ? fileName(answer) : fileName(nil)
        let modified = answer.header("Last-Modified").flatMap { HTTPDate($0) }
        let progress = TransferProgress(name: name, total: answer.contentLength, started: environment.now())
        environment.events.send(.transfer(info.id, progress))
        defer { progress.complete(at: environment.now()) }
        let (snapshotter, permissions) = (environment.snapshotter, op.permissions)
        let (layer, digest) = try await blocking { () -> (PendingSnapshot, Digest) in
            let layer = try snapshotter.begin()
            do {
                try snapshotter.copyRootMetadata(from: [], to: layer)
                let file = try open(
                    at: layer.directory.raw,
                    RawPath(name),
                    [.writeOnly, .create, .exclusive, .noFollow],
                    mode: 0o600
                )
                var hasher = Digest.Hasher()
                while let chunk = try body.receiveBlocking() {
                    try chunk.withUnsafeBytes { bytes in
                        hasher.update(bytes)
                        try writeBytes(file.raw, bytes)
                    }
                    progress.set(hasher.count)
                }
                try setOwner(of: file.raw, uid: 0, gid: 0)
                try setPermissions(of: file.raw, permissions)
                try setTimes(of: file.raw, FileTime(seconds: modified?.seconds ?? 0))
                try setTimes(of: layer.directory.raw, FileTime(seconds: 0))
                return (layer, hasher.finalize())
            } catch {
                layer.discard()
                throw error
            }
        }
        if let checksum = op.checksum, checksum != digest {
            layer.discard()
            throw mismatch(digest, checksum)
        }
        let entry = WebMemory.Entry(
            entityTag: answer.header("ETag"),
            lastModified: reliableTime(answer, modified),
            digest: digest,
            fileName: name
        )
        return Download(layer: layer, entry: entry)
    }

    /// A time tells versions apart only when none can come later with the same (RFC 9110, 8.8.2.2).
    private func reliableTime(_ answer: any WebAnswer, _ modified: HTTPDate?) -> String? {
        guard let modified, let date = answer.header("Date").flatMap({ HTTPDate($0) }),
            date.seconds - modified.seconds >= 2
        else { return nil }
        return answer.header("Last-Modified")
    }

    /// As BuildKit: secrets that are named after the host, a token before a whole header.
    private func authorization() async throws -> String? {
        let host = urlHost(op.url)
        if let token = try await environment.secrets.secret("HTTP_AUTH_TOKEN_\(host)") {
            return "Bearer " + trimmedText(token.exposed)
        }
        if let header = try await environment.secrets.secret("HTTP_AUTH_HEADER_\(host)") {
            return trimmedText(header.exposed)
        }
        return nil
    }

    private func fileName(_ answer: (any WebAnswer)?) -> String {
        if let name = op.fileName { return safeFileName(name) }
        if let name = answer?.header("Content-Disposition").flatMap(dispositionFileName) { return safeFileName(name) }
        return safeFileName(urlFileName(op.url))
    }
}

/// A secret's text as a header has it; files end in a line break, which no header may hold.
func trimmedText(_ secret: [UInt8]) -> String {
    var bytes = secret[...]
    while let last = bytes.last, last == 0x0a || last == 0x0d { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
}

/// Compares entity tags as RFC 9110, 8.8.3.2 does for caches: weakly.
private func sameTag(_ a: String, _ b: String) -> Bool {
    func opaque(_ tag: String) -> Substring { tag.hasPrefix("W/") ? tag.dropFirst(2) : tag[...] }
    return opaque(a) == opaque(b)
}
