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

    public func containsBlob(_ descriptor: Descriptor) async throws -> Bool {
        try await blocking { [self] in
            try statusIfPresent(at: workingDirectory, path(of: descriptor.digest))?.size == descriptor.size
        }
    }

    /// Stores a small blob; blocks. Nothing happens when it is there already.
    public func store(_ bytes: [UInt8]) throws -> Digest {
        let digest = Digest.sha256(bytes)
        if contains(digest) { return digest }
        let temporary = root.temporaryPath("blob")
        do {
            let fd = try open(temporary, [.writeOnly, .create, .exclusive], mode: 0o600)
            try writeBytes(fd.raw, bytes)
            try renameFile(temporary, to: workingDirectory, path(of: digest))
        } catch {
            try? removeFile(temporary)
            throw storeError(error)
        }
        return digest
    }

    /// Reads a small blob and checks it; blocks. Nil when it is not there.
    public func load(_ digest: Digest, limit: Int = 16 << 20) throws -> [UInt8]? {
        let bytes: [UInt8]
        do {
            bytes = try readFile(path(of: digest), limit: limit)
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
        guard digest.algorithm != .sha256 || Digest.sha256(bytes) == digest else {
            throw ContentError(
                .digestMismatch,
                "the stored blob \(digest) was damaged",
                nextStep: "remove \(path(of: digest)) and pull or build again"
            )
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

    /// Removes a blob; one that is not there is not an error.
    public func remove(_ digest: Digest) throws {
        do { try removeFile(path(of: digest)) } catch { if !error.isNotFound { throw error } }
    }

    /// All sha256 blobs with their sizes in bytes and the time they were stored, in seconds since 1970.
    public func all() throws -> [(digest: Digest, size: Int64, modified: Int64)] {
        let directory = try open(root.path.appending("blobs/sha256"), [.directory])
        return try readDirectory(directory.raw).compactMap { entry in
            guard let digest = try? Digest("sha256:\(entry.name)") else { return nil }
            let status = try status(at: directory.raw, entry.name)
            return (digest, status.size, status.modified.seconds)
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
        while true {
            let count = try readBytes(fd.raw, into: buffer)
            if count == 0 { break }
            let chunk = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            hasher.update(chunk)
            guard hasher.count <= descriptor.size else { break }
            try consume(chunk)
        }
        try verify(hasher, descriptor)
    }

    /// A blob that is written piece by piece; it is nothing until `publish`.
    public func begin() throws -> PendingBlob {
        do { return try PendingBlob(root.temporaryPath("blob")) } catch { throw storeError(error) }
    }

    /// Puts what was written under its digest. With `expected` it must have that digest and size.
    public func publish(
        _ blob: PendingBlob,
        mediaType: MediaType,
        expected: Descriptor? = nil
    ) throws -> Descriptor {
        let found = blob.hasher
        if let expected { try verify(found, expected) }
        let descriptor = expected ?? Descriptor(mediaType: mediaType, digest: found.finalize(), size: found.count)
        try renameFile(blob.path, to: workingDirectory, path(of: descriptor.digest))
        return descriptor
    }

    private func verify(_ hasher: Digest.Hasher, _ expected: Descriptor) throws {
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
    fileprivate(set) var hasher = Digest.Hasher()

    init(_ path: RawPath) throws(SystemError) {
        self.path = path
        fd = try open(path, [.writeOnly, .create, .exclusive], mode: 0o600).shared()
    }

    deinit { discard() }

    /// Bytes written so far.
    public var count: Int64 { hasher.count }

    /// Digest of the bytes written so far.
    public var digest: Digest { hasher.finalize() }

    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        hasher.update(bytes)
        try writeBytes(fd.raw, bytes)
    }

    /// Removes what was written, now rather than with the last reference.
    public func discard() { try? removeFile(path) }
}
