// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
public import LinuxSystem
public import OCI

/// Verified blobs under `blobs/<algorithm>/<hex>`, as in an OCI image layout.
public final class ContentStore: Sendable, BlobSource, BlobSink {
    private let root: StoreRoot

    public init(_ root: StoreRoot) { self.root = root }

    /// Where the blob is or would be.
    public func path(of digest: Digest) -> RawPath {
        root.path.appending("blobs").appending(digest.algorithm.rawValue).appending(digest.hex)
    }

    public func contains(_ digest: Digest) -> Bool {
        (try? statusIfPresent(at: workingDirectory, path(of: digest))) != nil
    }

    /// Whether the blob is there, and if so marks it as used now.
    public func containsBlob(_ descriptor: Descriptor) async throws -> Bool {
        try await blocking { [self] in
            guard try statusIfPresent(at: workingDirectory, path(of: descriptor.digest))?.size == descriptor.size else {
                return false
            }
            return try use(descriptor.digest)
        }
    }

    /// Whether the blob is there, and if so marks it as used now: while this process runs nobody prunes it. Blocks.
    public func use(_ digest: Digest) throws -> Bool {
        try keeping {
            do throws(SystemError) {
                try setTimes(at: workingDirectory, path(of: digest), FileTime(sinceEpoch: root.useStamp))
                return true
            } catch {
                if error.isNotFound { return false }
                throw error
            }
        }
    }

    /// Stores a small blob; blocks. One that is there already is marked as used now, unless it was damaged.
    public func store(_ bytes: [UInt8]) throws -> Digest {
        let digest = Digest.sha256(bytes)
        if try use(digest), try isIntact(bytes, digest) { return digest }
        let temporary = root.temporaryPath("blob")
        do {
            let fd = try open(temporary, [.writeOnly, .create, .exclusive], mode: 0o600)
            try writeBytes(fd.raw, bytes)
            try put(temporary, digest)
        } catch {
            try? removeFile(temporary)
            throw storeError(error)
        }
        return digest
    }

    private func isIntact(_ bytes: [UInt8], _ digest: Digest) throws -> Bool {
        do throws(SystemError) {
            return try readFile(path(of: digest), limit: bytes.count) == bytes
        } catch {
            // Gone, or longer than it may be.
            if error.isNotFound || error.errno == EFBIG { return false }
            throw error
        }
    }

    /// Reads a small blob and checks it; blocks. Nil when it is not there; a damaged one is removed and counts as that.
    public func load(_ digest: Digest, limit: Int = 16 << 20) throws -> [UInt8]? {
        let fd: OwnedFD
        do throws(SystemError) {
            fd = try open(path(of: digest), .readOnly)
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
        let bytes = try readAll(fd.raw, limit: limit, path: path(of: digest).description)
        guard digest.algorithm != .sha256 || Digest.sha256(bytes) == digest else {
            try remove(digest, ifStill: fd.raw)
            return nil
        }
        return bytes
    }

    public func readBlob(
        _ descriptor: Descriptor,
        _ consume: (ArraySlice<UInt8>) async throws -> Void
    ) async throws {
        try await bridgingBytes(from: { [self] in try read(descriptor, $1) }, to: consume)
    }

    public func writeBlob(
        mediaType: MediaType,
        expected: Descriptor?,
        _ produce: (any BlobWriter) async throws -> Void
    ) async throws -> Descriptor {
        let channel = ByteChannel()
        async let stored: Descriptor = blocking { [self] in
            do {
                let blob = try begin()
                do {
                    while let chunk = try channel.receiveBlocking() { try chunk.withUnsafeBytes { try blob.write($0) } }
                    return try publish(blob, mediaType: mediaType, expected: expected)
                } catch {
                    blob.discard()
                    throw error
                }
            } catch {
                let error = storeError(error)
                channel.abandon(error)
                throw error
            }
        }
        do {
            try await produce(ChannelWriter(channel: channel))
            channel.finish()
        } catch {
            channel.finish(throwing: error)
        }
        // Throws what `produce` threw, or the store's own error, which is what made `produce` stop.
        return try await stored
    }

    /// Removes a blob whose damage was seen in the open file `fd`, unless another file has its name by now: whoever saw the
    /// damage too may have put a good one there.
    public func remove(_ digest: Digest, ifStill fd: CInt) throws {
        // Nobody puts a blob meanwhile, and the number of a file that is open is no other one's.
        let lock = try FileLock(lockFile)
        try withExtendedLifetime(lock) {
            let current = try statusIfPresent(at: workingDirectory, path(of: digest))
            guard let current, try current.inode == status(of: fd).inode else { return }
            try removeFile(path(of: digest))
        }
    }

    /// The directory of the blobs that are named by the hex digits of their sha256.
    public var directory: RawPath { root.path.appending("blobs/sha256") }

    /// A blob as `all` finds it.
    public struct Entry: Sendable {
        public var digest: Digest
        /// Bytes.
        public var size: Int64
        /// Bytes on disk.
        public var diskSize: Int64
        /// Nanoseconds since 1970.
        public var used: Int64
    }

    /// All blobs. Those that go away meanwhile may be missing.
    public func all() throws -> [Entry] {
        var entries: [Entry] = []
        for algorithm in ["sha256", "sha512"] {
            let directory = try open(root.path.appending("blobs").appending(RawPath(algorithm)), [.directory])
            for entry in try readDirectory(directory.raw) {
                guard let digest = try? Digest("\(algorithm):\(entry.name)"),
                    let status = try statusIfPresent(at: directory.raw, entry.name)
                else { continue }
                entries.append(
                    Entry(
                        digest: digest,
                        size: status.size,
                        diskSize: status.blocks * 512,
                        used: status.modified.sinceEpoch
                    )
                )
            }
        }
        return entries
    }

    // MARK: Pruning

    /// Removes those of the blobs that were last used at `horizon` or before (see `StoreRoot.pruneHorizon`), and
    /// returns them with the bytes that they had on disk.
    ///
    /// Others are held up for as long as a few renames take.
    public func remove(_ digests: [Digest], unusedSince horizon: Int64) throws -> [(digest: Digest, size: Int64)] {
        var removed: [(digest: Digest, size: Int64)] = []
        var rest = digests[...]
        while !rest.isEmpty {
            var doomed: [RawPath] = []
            let lock = try FileLock(lockFile)
            try withExtendedLifetime(lock) {
                let horizon = try min(horizon, root.pruneHorizon())
                for digest in rest.prefix(Self.batch) {
                    guard let status = try statusIfPresent(at: workingDirectory, path(of: digest)),
                        status.modified.sinceEpoch <= horizon
                    else { continue }
                    let away = root.temporaryPath("removed")
                    try renameFile(path(of: digest), to: workingDirectory, away)
                    doomed.append(away)
                    removed.append((digest, status.blocks * 512))
                }
            }
            rest = rest.dropFirst(Self.batch)
            for path in doomed { try removeFile(path) }
        }
        return removed
    }

    private static let batch = 64

    private var lockFile: RawPath { root.path.appending("blobs.lock") }

    /// Runs `body` while nobody prunes.
    private func keeping<R>(_ body: () throws -> R) throws -> R {
        let lock = try FileLock(lockFile, shared: true)
        return try withExtendedLifetime(lock, body)
    }

    /// Gives a finished file its name, marked as used now.
    private func put(_ file: RawPath, _ digest: Digest) throws {
        try keeping {
            try setTimes(at: workingDirectory, file, FileTime(sinceEpoch: root.useStamp))
            try renameFile(file, to: workingDirectory, path(of: digest))
        }
    }

    private struct ChannelWriter: BlobWriter {
        let channel: ByteChannel
        func write(_ bytes: ArraySlice<UInt8>) async throws { try await channel.send(bytes) }
    }

    /// Reads a blob and checks it as `readBlob` does; blocks.
    public func read(_ descriptor: Descriptor, _ consume: (UnsafeRawBufferPointer) throws -> Void) throws {
        let fd: OwnedFD
        do throws(SystemError) {
            fd = try open(path(of: descriptor.digest), .readOnly)
        } catch {
            guard error.isNotFound else { throw error }
            throw ContentError(.notFound, "the blob \(descriptor.digest) is not in the store")
        }
        var hasher = Digest.Hasher()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var isWhole = false
        while true {
            let count = try readBytes(fd.raw, into: buffer)
            isWhole = count == 0
            if isWhole { break }
            let chunk = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            hasher.update(chunk)
            guard hasher.count <= descriptor.size else { break }
            try consume(chunk)
        }
        do {
            try verify(hasher, descriptor)
        } catch {
            // Who asked may be wrong about the size; a blob that is not what its name says is of no use to anybody.
            guard isWhole, descriptor.digest.algorithm == .sha256, hasher.finalize() != descriptor.digest else {
                throw error
            }
            try remove(descriptor.digest, ifStill: fd.raw)
            throw ContentError(
                error.code,
                "a blob of the store was damaged and has been removed: \(error.message)",
                nextStep: "try again; galley doctor finds what else is damaged"
            )
        }
    }

    /// A blob that is written piece by piece; it is nothing until `publish`.
    ///
    /// - Parameter isHashed: false when whoever writes it computes its digest.
    public func begin(isHashed: Bool = true) throws -> PendingBlob {
        do { return try PendingBlob(root.temporaryPath("blob"), isHashed: isHashed) } catch { throw storeError(error) }
    }

    /// Puts what was written, without hashing it, under the digest that was computed of the same bytes.
    public func publish(_ blob: PendingBlob, as descriptor: Descriptor) throws {
        precondition(!blob.isHashed, "what was hashed is published under what came out")
        guard blob.size == descriptor.size else {
            throw ContentError(
                .sizeMismatch,
                "the blob \(descriptor.digest) has \(blob.size) bytes where \(descriptor.size) are expected"
            )
        }
        try put(blob.path, descriptor.digest)
    }

    /// Puts what was written under its digest. With `expected` it must have that digest and size.
    public func publish(
        _ blob: PendingBlob,
        mediaType: MediaType,
        expected: Descriptor? = nil
    ) throws -> Descriptor {
        precondition(blob.isHashed, "a digest that was not computed must be given")
        let found = blob.hasher
        if let expected { try verify(found, expected) }
        let descriptor = expected ?? Descriptor(mediaType: mediaType, digest: found.finalize(), size: found.count)
        try put(blob.path, descriptor.digest)
        return descriptor
    }

    private func verify(_ hasher: Digest.Hasher, _ expected: Descriptor) throws(ContentError) {
        guard hasher.count == expected.size else {
            throw ContentError(
                .sizeMismatch,
                "the blob \(expected.digest) has \(hasher.count) bytes where \(expected.size) are expected"
            )
        }
        let digest = hasher.finalize()
        guard expected.digest.algorithm != .sha256 || digest == expected.digest else {
            throw ContentError(.digestMismatch, "the bytes of blob \(expected.digest) have the digest \(digest)")
        }
    }

    private func storeError(_ error: any Error) -> any Error {
        guard let error = error as? SystemError, error.isDiskFull else { return error }
        return ContentError(
            .diskFull,
            "the disk that holds \(root.path) is full",
            nextStep: "free space there, or run: galley prune"
        )
    }
}

/// A blob of the content store that is being written; not published, it goes with this value.
///
/// Used by one thread at a time.
public final class PendingBlob {
    let path: RawPath
    private let fd: SharedFD
    fileprivate let isHashed: Bool
    fileprivate private(set) var hasher = Digest.Hasher()
    fileprivate private(set) var size: Int64 = 0

    init(_ path: RawPath, isHashed: Bool) throws(SystemError) {
        self.path = path
        self.isHashed = isHashed
        fd = try open(path, [.writeOnly, .create, .exclusive], mode: 0o600).shared()
    }

    deinit { discard() }

    /// Bytes written so far.
    public var count: Int64 { hasher.count }

    /// Digest of the bytes written so far.
    public var digest: Digest { hasher.finalize() }

    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        if isHashed { hasher.update(bytes) }
        try writeBytes(fd.raw, bytes)
        size += Int64(bytes.count)
    }

    /// Removes what was written, now rather than with the last reference.
    public func discard() { try? removeFile(path) }
}
