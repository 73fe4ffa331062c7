// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import Content
public import LinuxSystem
public import OCI

/// A layer of which no file is newer than an epoch: the archive that the layer gives then, and perhaps its tree.
public struct RewrittenLayer: Hashable, Sendable {
    public var diffID: DiffID
    /// The layer itself where nothing of it is newer; nil when no such tree was made, or it is gone.
    public var tree: SnapshotID?

    public init(diffID: DiffID, tree: SnapshotID?) {
        self.diffID = diffID
        self.tree = tree
    }
}

/// Layers with times that a build pins.
extension OverlaySnapshotter {
    /// What is known of the layer's form for the epoch (seconds since 1970); nil also where that is damaged: it is found
    /// out again.
    public func rewritten(_ id: SnapshotID, epoch: Int64) throws -> RewrittenLayer? {
        try database.read { transaction in
            let rows = try transaction.query(
                "SELECT diff_id, tree FROM rewritten_layers WHERE snapshot = ? AND epoch = ?",
                [.integer(id.rawValue), .integer(epoch)]
            )
            guard let row = rows.first, let diffID = row.text(0).flatMap({ try? Digest($0) }) else { return nil }
            return RewrittenLayer(diffID: DiffID(diffID), tree: row.integer(1).map(SnapshotID.init))
        }
    }

    /// Remembers it for as long as the layer is in the store.
    public func setRewritten(_ id: SnapshotID, epoch: Int64, _ layer: RewrittenLayer) throws {
        try database.write { transaction in
            try transaction.execute(
                "INSERT OR REPLACE INTO rewritten_layers VALUES (?, ?, ?, ?)",
                [
                    .integer(id.rawValue), .integer(epoch), .text(layer.diffID.description),
                    SQLValue(layer.tree?.rawValue),
                ]
            )
        }
    }

    /// The tree whose archive is the layer's with no time later than the epoch, made when it is not there.
    ///
    /// A layer of its own, since the store's other images keep the times they have.
    /// - Parameter layer: what `rewritten` said or an archive told.
    public func rewrittenTree(
        of id: SnapshotID,
        epoch: Int64,
        _ layer: RewrittenLayer,
        _ cancellation: CancellationFlag
    ) throws -> SnapshotID {
        if let tree = layer.tree, try use([tree]) { return tree }
        let source = try layerDirectory(id)
        let pending = try begin()
        do {
            let sink = DirectoryChangeSink(
                pending.directory.raw,
                options: DirectoryChangeSink.Options(
                    overlay: flavour,
                    devices: flavour == .trusted ? .create : .skip
                )
            )
            let clamped = RetimingSink(sink, clampingTo: FileTime(seconds: epoch))
            try withExtendedLifetime(source) {
                try LayerArchiver(source.raw, to: CancellableSink(clamped, cancellation)).walk()
            }
            _ = try sink.finish()
            let tree = try publish(pending)
            if let size = try size(of: id) { try setArchive(tree, diffID: layer.diffID, size: size) }
            try setRewritten(id, epoch: epoch, RewrittenLayer(diffID: layer.diffID, tree: tree))
            return tree
        } catch {
            pending.discard()
            if let cause = (error as? ArchiveError)?.cause as? SystemError, cause.isDiskFull { throw diskFull }
            throw error
        }
    }
}

/// Passes changes on until the work is cancelled.
private final class CancellableSink: ChangeSink {
    private let next: any ChangeSink
    private let cancellation: CancellationFlag

    init(_ next: any ChangeSink, _ cancellation: CancellationFlag) {
        self.next = next
        self.cancellation = cancellation
    }

    func begin(_ path: RawPath, _ metadata: EntryMetadata) throws {
        try cancellation.check()
        try next.begin(path, metadata)
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        try cancellation.check()
        try next.write(bytes)
    }

    func writeHole(_ count: Int64) throws { try next.writeHole(count) }
    func end() throws { try next.end() }
    func addWhiteout(_ path: RawPath) throws { try next.addWhiteout(path) }
    func makeOpaque(_ directory: RawPath) throws { try next.makeOpaque(directory) }
}
