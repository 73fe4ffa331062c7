// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import LinuxSystem
public import OCI

/// What is known of layers beyond their trees: diffIDs, sizes, and which stack of layers an image's chainID names.
extension OverlaySnapshotter {
    /// The layer's diffID if its archive was ever made or unpacked.
    public func diffID(of id: SnapshotID) throws -> DiffID? {
        try database.read { transaction in
            try transaction.query("SELECT diff_id FROM snapshots WHERE id = ?", [.integer(id.rawValue)]).first?.text(0)
        }.map { text in
            guard let digest = try? Digest(text) else { throw ContentError.damagedRow("of layer \(id)") }
            return DiffID(digest)
        }
    }

    /// Bytes of the layer's files, holes counted; nil until `setArchive` told.
    public func size(of id: SnapshotID) throws -> Int64? {
        try database.read { transaction in
            try transaction.query("SELECT size FROM snapshots WHERE id = ?", [.integer(id.rawValue)]).first?.integer(0)
        }
    }

    /// When the layer was made: seconds since 1970.
    public func created(_ id: SnapshotID) throws -> Int64? {
        try database.read { transaction in
            try transaction.query("SELECT created FROM snapshots WHERE id = ?", [.integer(id.rawValue)]).first?.integer(
                0
            )
        }
    }

    /// Remembers what making or unpacking the layer's archive told.
    ///
    /// - Throws: `SnapshotError.missing` when the layer was removed meanwhile.
    public func setArchive(_ id: SnapshotID, diffID: DiffID, size: Int64) throws {
        try database.write { transaction in
            try transaction.execute(
                "UPDATE snapshots SET diff_id = ?, size = ? WHERE id = ?",
                [.text(diffID.description), .integer(size), .integer(id.rawValue)]
            )
            guard transaction.changes == 1 else { throw goneWhileUsed(id) }
        }
    }

    /// Remembers the bytes of the layer's files, where no archive with their own times was made.
    public func setSize(_ id: SnapshotID, _ size: Int64) throws {
        try database.write { transaction in
            try transaction.execute(
                "UPDATE snapshots SET size = ? WHERE id = ?",
                [.integer(size), .integer(id.rawValue)]
            )
        }
    }

    /// The layer that `chain` names, when it is in the store.
    ///
    /// - Parameter diffID: of that layer. One that is known to be another layer's counts as damage, not as an answer.
    public func snapshot(for chain: ChainID, _ diffID: DiffID) throws -> SnapshotID? {
        // One look may see the tables as they were before somebody unpacked the layer, and the disk as it is afterwards.
        try database.read { try snapshot(for: chain, diffID, $0) }
            ?? database.read { try snapshot(for: chain, diffID, $0) }
    }

    private func snapshot(
        for chain: ChainID,
        _ diffID: DiffID,
        _ transaction: MetadataDatabase.Transaction
    ) throws -> SnapshotID? {
        let row = try transaction.query(
            """
            SELECT s.id, s.root FROM chains c JOIN snapshots s ON s.id = c.snapshot
            WHERE c.chain_id = ? AND s.diff_id = ?
            """,
            [.text(chain.description), .text(diffID.description)]
        ).first
        guard let id = row?.integer(0).map(SnapshotID.init), try isPresent(id, row?.text(1)) else { return nil }
        return id
    }

    /// The layers of an image, bottom first; nil for one that is not in the store.
    public func snapshots(for diffIDs: [DiffID]) throws -> [SnapshotID?] {
        try zip(ChainID.chain(diffIDs), diffIDs).map { try snapshot(for: $0, $1) }
    }

    /// Names the layer at the top of a stack. The first name given stays.
    ///
    /// - Parameter diffID: the layer's.
    public func setChain(_ chain: ChainID, _ diffID: DiffID, _ id: SnapshotID) throws {
        try database.write { transaction in
            if try snapshot(for: chain, diffID, transaction) != nil { return }
            try transaction.execute(
                "INSERT OR REPLACE INTO chains VALUES (?, ?)",
                [.text(chain.description), .integer(id.rawValue)]
            )
        }
    }

    /// Removes layers that were not used since `used` (nanoseconds since 1970), and what names them.
    ///
    /// Their directories are renamed away inside the transaction and deleted after it.
    public func remove(_ ids: [SnapshotID], unusedSince used: Int64) throws -> [SnapshotID] {
        var doomed: [RawPath] = []
        let removed = try database.write { transaction in
            try take(ids, unusedSince: used, transaction, &doomed)
        }
        for path in doomed { try removeTree(path) }
        return removed
    }

    func take(
        _ ids: some Sequence<SnapshotID>,
        unusedSince used: Int64,
        _ transaction: MetadataDatabase.Transaction,
        _ doomed: inout [RawPath]
    ) throws -> [SnapshotID] {
        var removed: [SnapshotID] = []
        for id in ids {
            try transaction.execute(
                "DELETE FROM snapshots WHERE id = ? AND used <= ?",
                [.integer(id.rawValue), .integer(used)]
            )
            guard transaction.changes == 1 else { continue }
            try transaction.execute("DELETE FROM chains WHERE snapshot = ?", [.integer(id.rawValue)])
            let away = root.temporaryPath("removed")
            do throws(SystemError) {
                try renameFile(snapshotsPath.appending("\(id)"), to: workingDirectory, away)
                doomed.append(away)
            } catch {
                if !error.isNotFound { throw error }
            }
            removed.append(id)
        }
        return removed
    }
}
