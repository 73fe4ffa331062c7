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
        let channel = ByteChannel()
        let file = path(of: descriptor.digest)
        async let reader: Void = blocking {
            do {
                try Self.read(file, descriptor, into: channel)
                channel.finish()
            } catch {
                channel.finish(throwing: error)
            }
        }
        do {
            while let chunk = try await channel.receive() { try await consume(chunk) }
        } catch {
            channel.abandon()
            try? await reader
            throw error
        }
        try await reader
    }

    public func writeBlob(
        mediaType: MediaType,
        expected: Descriptor?,
        _ produce: (any BlobWriter) async throws -> Void
    ) async throws -> Descriptor {
        let channel = ByteChannel()
        let temporary = root.temporaryPath("blob")
        async let stored: Descriptor = blocking { [self] in
            do {
                let descriptor = try Self.write(channel, to: temporary, mediaType: mediaType, expected: expected)
                try renameFile(temporary, to: workingDirectory, path(of: descriptor.digest))
                return descriptor
            } catch {
                channel.abandon(error)
                try? removeFile(temporary)
                throw storeError(error)
            }
        }
        do {
            try await produce(ChannelWriter(channel: channel))
            channel.finish()
        } catch {
            channel.finish(throwing: error)
            _ = try? await stored
            throw storeError(error)
        }
        return try await stored
    }

    /// Removes a blob; one that is not there is not an error.
    public func remove(_ digest: Digest) throws {
        do { try removeFile(path(of: digest)) } catch { if !error.isNotFound { throw error } }
    }

    /// All sha256 blobs with their sizes in bytes.
    public func all() throws -> [(digest: Digest, size: Int64)] {
        let directory = try open(root.path.appending("blobs/sha256"), [.directory])
        return try readDirectory(directory.raw).compactMap { entry in
            guard let digest = try? Digest("sha256:\(entry.name)") else { return nil }
            return (digest, try status(at: directory.raw, entry.name).size)
        }
    }

    private struct ChannelWriter: BlobWriter {
        let channel: ByteChannel
        func write(_ bytes: ArraySlice<UInt8>) async throws { try await channel.send(bytes) }
    }

    private static func read(_ file: RawPath, _ descriptor: Descriptor, into channel: ByteChannel) throws {
        let fd: OwnedFD
        do throws(SystemError) {
            fd = try open(file, .readOnly)
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
            try channel.sendBlocking(ArraySlice(chunk))
        }
        try verify(hasher, descriptor)
    }

    private static func write(
        _ channel: ByteChannel,
        to temporary: RawPath,
        mediaType: MediaType,
        expected: Descriptor?
    ) throws -> Descriptor {
        let fd = try open(temporary, [.writeOnly, .create, .exclusive], mode: 0o600)
        var hasher = Digest.Hasher()
        while let chunk = try channel.receiveBlocking() {
            try chunk.withUnsafeBytes { bytes in
                hasher.update(bytes)
                try writeBytes(fd.raw, bytes)
            }
        }
        if let expected {
            try verify(hasher, expected)
            return expected
        }
        return Descriptor(mediaType: mediaType, digest: hasher.finalize(), size: hasher.count)
    }

    private static func verify(_ hasher: Digest.Hasher, _ expected: Descriptor) throws {
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
