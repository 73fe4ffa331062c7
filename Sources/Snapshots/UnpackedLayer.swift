// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import OCI

/// A layer whose archive was unpacked and verified, and which does not know its lower layers yet.
struct UnpackedLayer: Sendable {
    let diffID: DiffID
    let pending: PendingSnapshot
    let result: UnpackResult
    /// Bytes of its files, holes counted.
    let size: Int64

    /// Unpacks what `feed` writes.
    static func unpack(
        _ diffID: DiffID,
        into snapshots: OverlaySnapshotter,
        feed: (LayerInput) async throws -> Void
    ) async throws -> UnpackedLayer {
        let channel = ByteChannel()
        async let unpacked = blocking {
            do {
                return try read(channel, diffID, into: snapshots)
            } catch {
                channel.abandon(error)
                throw error
            }
        }
        do {
            try await feed(LayerInput(channel: channel))
            channel.finish()
        } catch {
            channel.finish(throwing: error)
        }
        // Rethrows what `feed` threw, or the unpacker's own error, which is what made `feed` stop.
        return try await unpacked
    }

    private static func read(
        _ channel: ByteChannel,
        _ diffID: DiffID,
        into snapshots: OverlaySnapshotter
    ) throws -> UnpackedLayer {
        try unpack(diffID, into: snapshots) { write in
            while let chunk = try channel.receiveBlocking() { try chunk.withUnsafeBytes { try write($0) } }
        }
    }

    /// Unpacks what `feed` writes. Blocks.
    static func unpack(
        _ diffID: DiffID,
        into snapshots: OverlaySnapshotter,
        from feed: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void
    ) throws -> UnpackedLayer {
        let pending = try snapshots.begin()
        do {
            return try read(feed, diffID, into: pending, snapshots)
        } catch {
            pending.discard()
            throw error
        }
    }

    private static func read(
        _ feed: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void,
        _ diffID: DiffID,
        into pending: PendingSnapshot,
        _ snapshots: OverlaySnapshotter
    ) throws -> UnpackedLayer {
        // No directory has mode 0: it tells later whether the archive described its root.
        try setPermissions(of: pending.directory.raw, 0)
        var input = LayerStream(unpacker: unpacker(pending, snapshots))
        try feed { bytes in try naming(diffID, snapshots) { try input.write(bytes) } }
        let (result, found, size) = try naming(diffID, snapshots) { try input.finish() }
        guard found == diffID else {
            throw SnapshotError(.badLayer, "the layer's content has the digest \(found), but the image says \(diffID)")
        }
        return UnpackedLayer(diffID: diffID, pending: pending, result: result, size: size)
    }

    private static func unpacker(_ pending: PendingSnapshot, _ snapshots: OverlaySnapshotter) -> LayerUnpacker {
        LayerUnpacker(
            into: pending.directory.raw,
            overlay: snapshots.flavour,
            devices: snapshots.flavour == .trusted ? .create : .skip
        )
    }

    /// Fits the layer to those below it and publishes it. Returns the layer that `chain` names afterwards, which is
    /// another's when somebody else was faster.
    func publish(on lower: [SnapshotID], as chain: ChainID, in snapshots: OverlaySnapshotter) throws -> SnapshotID {
        let (id, copied): (SnapshotID, Int64)
        do {
            copied = try Self.naming(diffID, snapshots) { try complete(on: lower, in: snapshots) }
            id = try snapshots.publish(pending)
        } catch {
            pending.discard()
            throw error
        }
        try snapshots.setArchive(id, diffID: diffID, size: size + copied)
        try snapshots.setChain(chain, diffID, id)
        guard let named = try snapshots.snapshot(for: chain, diffID), named != id else { return id }
        _ = try snapshots.remove([id], unusedSince: .max)
        return named
    }

    /// What the layer's tree on top of `lower` is as an archive, without publishing it: another one than it came as when
    /// its tar cannot be made again from files.
    func archive(on lower: [SnapshotID], in snapshots: OverlaySnapshotter) throws -> DiffID {
        defer { pending.discard() }
        _ = try Self.naming(diffID, snapshots) { try complete(on: lower, in: snapshots) }
        return try archivedDiffID(of: pending.directory, {})
    }

    /// Returns the bytes of files copied from lower layers.
    private func complete(on lower: [SnapshotID], in snapshots: OverlaySnapshotter) throws -> Int64 {
        let root = pending.directory
        let isRootDescribed = try status(of: root.raw).permissions != 0
        if !isRootDescribed { try setPermissions(of: root.raw, 0o755) }
        var copied: Int64 = 0
        if !result.impliedDirectories.isEmpty || !result.pendingHardLinks.isEmpty {
            let below = try snapshots.readTree(lower)
            var completion = LayerCompletion(layer: root, lower: below.root, flavour: snapshots.flavour)
            try completion.settle(result.impliedDirectories)
            copied = try completion.link(result.pendingHardLinks)
            try completion.restoreTimes()
        }
        if !isRootDescribed { try snapshots.copyRootMetadata(from: lower, to: pending) }
        return copied
    }

    /// Says of which layer an archive's error is.
    private static func naming<R>(
        _ diffID: DiffID,
        _ snapshots: OverlaySnapshotter,
        _ body: () throws -> R
    ) throws -> R {
        do {
            return try body()
        } catch let error as ArchiveError {
            if let cause = error.cause as? SystemError, cause.isDiskFull { throw snapshots.diskFull }
            throw SnapshotError(.badLayer, "cannot unpack layer \(diffID.digest.short): \(error)")
        } catch let error as SystemError {
            if error.isDiskFull { throw snapshots.diskFull }
            throw SnapshotError(.badLayer, "cannot unpack layer \(diffID.digest.short): \(error)")
        }
    }
}

/// A layer's bytes on their way into the unpacker: compression recognised, diffID computed.
private struct LayerStream {
    private final class Hash {
        var hasher = Digest.Hasher()
    }

    private let unpacker: LayerUnpacker
    private let hash = Hash()
    private let sizes = FileSizes()
    private var decompressor: Decompressor?
    /// First bytes, until there are enough to tell the format.
    private var prefix: [UInt8] = []

    init(unpacker: LayerUnpacker) { self.unpacker = unpacker }

    mutating func write(_ bytes: UnsafeRawBufferPointer) throws {
        if let decompressor { return try decompressor.write(bytes) }
        prefix += bytes
        if prefix.count >= Compression.prefixLength { try begin() }
    }

    mutating func finish() throws -> (UnpackResult, DiffID, size: Int64) {
        if decompressor == nil { try begin() }
        try decompressor?.finish()
        return (try unpacker.finish(), DiffID(hash.hasher.finalize()), sizes.total)
    }

    private mutating func begin() throws {
        guard let format = prefix.isEmpty ? .tar : Compression.detect(prefix) else {
            throw ArchiveError(.malformed, "neither a tar archive nor one compressed with gzip or zstd")
        }
        let decompressor = try Decompressor(format) { [hash, sizes, unpacker] bytes in
            hash.hasher.update(bytes)
            try unpacker.write(bytes)
            try sizes.read(bytes)
        }
        self.decompressor = decompressor
        try prefix.withUnsafeBytes { try decompressor.write($0) }
        prefix = []
    }
}

/// Adds up the sizes of a tar's files. The unpacker knows only what it wrote, which is less where it made holes.
private final class FileSizes {
    private struct Visitor: TarVisitor {
        var total: Int64 = 0

        mutating func visitEntry(_ entry: TarEntry) {
            guard case .file(let size) = entry.metadata.kind else { return }
            total = total.addingReportingOverflow(size).partialValue
        }
        func visitData(_ bytes: UnsafeRawBufferPointer) {}
        func visitHole(_ count: Int64) {}
        func visitEnd() {}
    }

    private var reader = TarReader()
    private var visitor = Visitor()

    func read(_ bytes: UnsafeRawBufferPointer) throws { try reader.push(bytes, to: &visitor) }
    var total: Int64 { visitor.total }
}
