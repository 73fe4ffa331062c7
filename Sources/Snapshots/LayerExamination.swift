// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import Content
public import LinuxSystem
public import OCI

/// A layer as the store's tables have it.
public struct StoredLayer: Sendable {
    public var id: SnapshotID
    public var diffID: DiffID?
    fileprivate var mark: String?
    /// Whether the store remembers what the layer looked like when it was published.
    public var isMarked: Bool { mark != nil }
}

/// What a look at a layer's directory tells.
public enum LayerCondition: Hashable, Sendable {
    /// Nothing speaks against it.
    case sound
    case missing
    /// The machine went down before all of it was on disk. Nothing that is on disk was made of it.
    case incomplete
    /// It was changed after it was published; the text says what was seen.
    case altered(String)
}

/// Looking for what became of layers behind the store's back. Calls block.
extension OverlaySnapshotter {
    /// All layers of the tables.
    public func records() throws -> [StoredLayer] {
        try database.read { transaction in
            try transaction.query("SELECT id, diff_id, root FROM snapshots ORDER BY id").compactMap { row in
                guard let id = row.integer(0) else { return nil }
                // A damaged diffID is one that no archive has.
                let diffID = row.text(1).map { DiffID((try? Digest($0)) ?? Digest.sha256("damaged: \($0)")) }
                return StoredLayer(id: SnapshotID(id), diffID: diffID, mark: row.text(2))
            }
        }
    }

    /// Looks at every file's status, and at no content: finds what was removed, and what was written since the layer
    /// was published, except in a store that was copied as a whole.
    public func examine(_ layer: StoredLayer, _ checkCancellation: () throws -> Void) throws -> LayerCondition {
        let condition = try examineOnce(layer, checkCancellation)
        if condition == .sound { return .sound }
        // Somebody may have unpacked it since it was read from the tables.
        guard let now = try record(layer.id), now.mark != layer.mark else { return condition }
        return try examineOnce(now, checkCancellation)
    }

    private func record(_ id: SnapshotID) throws -> StoredLayer? { try records().first { $0.id == id } }

    private func examineOnce(_ layer: StoredLayer, _ checkCancellation: () throws -> Void) throws -> LayerCondition {
        let mark = layer.mark.map(LayerMark.init)
        if case .some(nil) = mark, try form(of: layer.id, nil) != nil {
            return .altered("what is remembered of it is damaged")
        }
        guard let form = try form(of: layer.id, mark ?? nil) else {
            let there = try statusIfPresent(at: workingDirectory, path(of: layer.id))
            return there == nil ? .missing : .altered("it is no directory")
        }
        guard let mark = mark ?? nil else { return .sound }
        if mark.mayBeIncomplete(machineStart) { return .incomplete }
        switch form {
        case .directory(let root): return try examine(layer, root, mark, checkCancellation)
        case .archive(let archive):
            guard mark.fits(archive) else { return .altered("its archive was changed") }
            guard mark.isOriginal(archive), archive.changed != mark.published else { return .sound }
            // Times may have changed and nothing else.
            let isSame = try archivedDiffID(of: layer.id, checkCancellation) == layer.diffID
            return isSame ? .sound : .altered("its archive was changed after the layer was made")
        }
    }

    private func examine(
        _ layer: StoredLayer,
        _ root: FileStatus,
        _ mark: LayerMark,
        _ checkCancellation: () throws -> Void
    ) throws -> LayerCondition {
        guard mark.fits(root) else { return .altered("its root directory was changed") }
        guard mark.isOriginal(root) else { return .sound }
        let path = try firstChange(below: layerDirectory(layer.id), since: mark.published, checkCancellation)
        guard path != nil || root.changed != mark.published else { return .sound }
        // The clock may have been put back while the layer was made; its archive knows better than the times.
        if let diffID = layer.diffID, try archivedDiffID(of: layer.id, checkCancellation) == diffID { return .sound }
        return .altered(
            path.map { "\"/\($0)\" was changed after the layer was made" } ?? "its root directory was changed"
        )
    }

    private func firstChange(
        below root: SharedFD,
        since published: FileTime,
        _ checkCancellation: () throws -> Void
    ) throws -> RawPath? {
        // One descriptor at a time: the way back up is "..", so that no depth runs out of them.
        var current = root
        var levels: [(path: RawPath, pending: [RawPath])] = []
        var next: RawPath? = RawPath("")
        while let path = next {
            var directories: [RawPath] = []
            for entry in try readDirectory(current.raw) {
                try checkCancellation()
                let status = try status(at: current.raw, entry.name)
                if published < status.changed { return path.appending(entry.name) }
                if status.kind == .directory { directories.append(entry.name) }
            }
            levels.append((path, directories))
            next = nil
            while next == nil, let level = levels.last {
                if let name = level.pending.last {
                    levels[levels.count - 1].pending.removeLast()
                    current = try open(at: current.raw, name, [.directory, .noFollow]).shared()
                    next = level.path.appending(name)
                } else {
                    levels.removeLast()
                    if !levels.isEmpty { current = try open(at: current.raw, "..", [.directory]).shared() }
                }
            }
        }
        return nil
    }

    /// The diffID that the layer has now, from all bytes of its files.
    public func archivedDiffID(of id: SnapshotID, _ checkCancellation: () throws -> Void) throws -> DiffID {
        if let packed = try packedDiffID(of: id, checkCancellation) { return packed }
        return try Snapshots.archivedDiffID(of: layerDirectory(id), checkCancellation)
    }

    /// The diffID that a layer's archive would have if it were unpacked on `lower` and archived again: to compare with
    /// `archivedDiffID` of a layer whose own tar cannot be made from files.
    ///
    /// - Parameter feed: writes the archive's bytes, compressed or not.
    public func diffIDAfterUnpacking(
        _ diffID: DiffID,
        on lower: [SnapshotID],
        feed: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void
    ) throws -> DiffID {
        try UnpackedLayer.unpack(diffID, into: self, from: feed).archive(on: lower, in: self)
    }

    // MARK: Dropping

    /// Directories of `snapshots/` that no row has: of processes that died while publishing, or of a lost database.
    public func unrecorded() throws -> [RawPath] {
        // Whoever publishes or removes a layer does so in a transaction that writes.
        try database.write(unrecorded)
    }

    private func unrecorded(_ transaction: MetadataDatabase.Transaction) throws -> [RawPath] {
        let directory = try open(snapshotsPath, [.directory])
        let known = Set(try transaction.query("SELECT id FROM snapshots").compactMap { $0.integer(0)?.description })
        return try readDirectory(directory.raw).map(\.name).filter { !known.contains($0.description) }.sorted()
    }

    /// Removes what `unrecorded` tells of. Nobody else may use the store.
    public func removeUnrecorded() throws {
        let doomed = try database.write { transaction in
            try unrecorded(transaction).map { name in
                let away = root.temporaryPath("unrecorded")
                try renameFile(snapshotsPath.appending(name), to: workingDirectory, away)
                return away
            }
        }
        for path in doomed { try removeTree(path) }
    }

    /// Makes a directory that no row has a layer again.
    ///
    /// - Parameter diffID: what its archive was found to have.
    public func adopt(_ id: SnapshotID, _ diffID: DiffID) throws {
        let mark = try currentMark(of: id)
        try database.write { transaction in
            try transaction.execute(
                "INSERT OR IGNORE INTO snapshots (id, diff_id, created, used, root) VALUES (?, ?, ?, ?, ?)",
                [
                    .integer(id.rawValue), .text(diffID.description), .integer(FileTime.now.seconds),
                    .integer(root.useStamp), .text(mark.description),
                ]
            )
        }
    }

    /// Remembers what a layer looks like whose content was proved just now, as if it had been published.
    public func mark(_ id: SnapshotID) throws {
        let mark = try currentMark(of: id)
        try database.write { transaction in
            try transaction.execute(
                "UPDATE snapshots SET root = ? WHERE id = ?",
                [.text(mark.description), .integer(id.rawValue)]
            )
        }
    }

    private func currentMark(of id: SnapshotID) throws -> LayerMark {
        guard let form = try form(of: id, nil) else { throw goneWhileUsed(id) }
        return LayerMark(form.status)
    }

    /// Forgets layers and what names them, so that nobody finds them any more. Their directories stay for those who use
    /// them now, as `unrecorded`.
    public func forget(_ ids: Set<SnapshotID>) throws {
        try database.write { transaction in
            try transaction.execute("DELETE FROM snapshots WHERE id IN (SELECT value FROM json_each(?))", [.list(ids)])
            try transaction.execute(
                "DELETE FROM chains WHERE snapshot IN (SELECT value FROM json_each(?))",
                [.list(ids)]
            )
        }
    }

    /// How many chains name layers that are gone.
    public func danglingChains() throws -> Int {
        try database.read { transaction in
            try transaction.query("SELECT count(*) FROM chains WHERE snapshot NOT IN (SELECT id FROM snapshots)")
                .first?.integer(0).map(Int.init) ?? 0
        }
    }

    public func removeDanglingChains() throws {
        try database.write { transaction in
            try transaction.execute("DELETE FROM chains WHERE snapshot NOT IN (SELECT id FROM snapshots)")
        }
    }
}

/// The diffID of a layer's directory, from all bytes of its files.
func archivedDiffID(of directory: SharedFD, _ checkCancellation: () throws -> Void) throws -> DiffID {
    try checkCancellation()
    let writer = try LayerWriter { _ in }
    try withExtendedLifetime(directory) { try LayerArchiver(directory.raw, to: writer).walk() }
    return try writer.finish().diffID
}
