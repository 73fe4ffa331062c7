// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Content
public import LinuxSystem
public import OCI

/// What layers cost, when they were used, and how they go.
extension OverlaySnapshotter {
    /// A layer as a list of all shows it.
    public struct Layer: Hashable, Sendable {
        public var id: SnapshotID
        public var diffID: DiffID?
        /// Seconds since 1970.
        public var created: Int64
        /// Nanoseconds since 1970.
        public var used: Int64
        /// How many processes used it, the one that made it counted.
        public var uses: Int
        /// Bytes on disk; nil until they are measured.
        public var disk: Int64?
    }

    /// Every layer, oldest first.
    public func all() throws -> [Layer] {
        try database.read { transaction in
            try transaction.query("SELECT id, created, used, uses, disk, diff_id FROM snapshots ORDER BY id").compactMap
            {
                row in
                guard let id = row.integer(0), let created = row.integer(1), let used = row.integer(2) else {
                    return nil
                }
                return Layer(
                    id: SnapshotID(id),
                    diffID: row.text(5).flatMap { try? Digest($0) }.map { DiffID($0) },
                    created: created,
                    used: used,
                    uses: Int(row.integer(3) ?? 0),
                    disk: row.integer(4)
                )
            }
        }
    }

    /// How many layers this process made.
    public var madeCount: Int { counted.withLock { $0.made } }

    /// Measures the layers that were not measured before. A layer never changes but for its form, so once is enough.
    ///
    /// - Parameter limit: no further layer is begun after this moment, but one is measured in any case: whoever calls
    ///   this again and again comes to an end.
    public func measure(until limit: FileTime? = nil, _ cancellation: CancellationFlag = CancellationFlag()) throws {
        let rows = try database.read { transaction in
            try transaction.query("SELECT id, root FROM snapshots WHERE disk IS NULL ORDER BY id").compactMap { row in
                row.integer(0).map { (id: $0, mark: row.text(1)) }
            }
        }
        var sizes: [(id: Int64, mark: String?, bytes: Int64)] = []
        for (id, mark) in rows {
            if let limit, !sizes.isEmpty, FileTime.now > limit { break }
            try cancellation.check()
            sizes.append((id, mark, try diskUsage(of: snapshotsPath.appending("\(id)"))))
        }
        if sizes.isEmpty { return }
        try database.write { transaction in
            for (id, mark, bytes) in sizes {
                // One that was unpacked meanwhile is measured the next time. Settling changes the mark too.
                try transaction.execute(
                    "UPDATE snapshots SET disk = ? WHERE id = ? AND disk IS NULL AND (root IS ?3 OR ?3 LIKE root || ' %')",
                    [.integer(bytes), .integer(id), SQLValue(mark)]
                )
            }
        }
    }

    /// Bytes on disk of all layers that were measured.
    public func measuredTotal() throws -> Int64 {
        try database.read { try $0.query("SELECT sum(disk) FROM snapshots").first?.integer(0) ?? 0 }
    }

    /// Removes those of the layers that nobody can be using: last used at `horizon` or before (see
    /// `StoreRoot.pruneHorizon`), and before any other process that runs now began.
    ///
    /// Others are held up for as long as a few renames take; directories are deleted afterwards.
    /// - Parameter also: removes what leads to the layers that go, in the transaction with which they go.
    /// - Returns: what was removed.
    public func removeUnused(
        _ ids: [SnapshotID],
        before horizon: Int64,
        _ cancellation: CancellationFlag = CancellationFlag(),
        also: (_ removed: [SnapshotID], MetadataDatabase.Transaction) throws -> Void = { _, _ in }
    ) throws -> [SnapshotID] {
        var removed: [SnapshotID] = []
        var rest = ids[...]
        while !rest.isEmpty {
            var doomed: [RawPath] = []
            removed += try database.write { transaction in
                let horizon = try min(horizon, root.pruneHorizon())
                let taken = try take(rest.prefix(Self.batch), unusedSince: horizon, transaction, &doomed)
                try also(taken, transaction)
                return taken
            }
            rest = rest.dropFirst(Self.batch)
            for path in doomed {
                // Whatever stays is where the next command looks for what is left behind.
                try cancellation.check()
                try removeTree(path)
            }
        }
        return removed
    }

    private static let batch = 32

    /// Puts right the stamps of layers that were used before the clock was set back: they would seem in use for long.
    public func clampStamps(to now: Int64) throws {
        let isAhead = try database.read {
            try !$0.query("SELECT 1 FROM snapshots WHERE used > ? LIMIT 1", [.integer(now)]).isEmpty
        }
        guard isAhead else { return }
        try database.write {
            try $0.execute("UPDATE snapshots SET used = ?1 WHERE used > ?1", [.integer(now)])
        }
    }
}
