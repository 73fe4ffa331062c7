// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import LinuxSystem
import OCI

/// Whether layers hold the same: names, kinds, modes, owners, targets, attributes, hard links and bytes, but no times.
///
/// Each layer is read once for this, and only when something is compared with it; its digests are remembered.
extension OverlaySnapshotter {
    /// A layer that is gone equals none.
    public func haveEqualContent(
        _ a: SnapshotID,
        _ b: SnapshotID,
        checkCancellation: @escaping () throws -> Void
    ) throws -> Bool {
        if a == b { return true }
        let (first, second) = try (facts(a), facts(b))
        guard let first, let second else { return false }
        if let one = first.origin, let other = second.origin, one.operation == other.operation, one.read != other.read {
            return false
        }
        // Most layers that differ do so in more than bytes: no file is read until all else is equal.
        for part in LayerDigester.Part.allCases {
            guard let one = try first.digests[part] ?? computeDigest(part, of: a, checkCancellation),
                let other = try second.digests[part] ?? computeDigest(part, of: b, checkCancellation),
                one == other
            else { return false }
        }
        return true
    }

    public func contains(_ layers: [SnapshotID]) throws -> Bool {
        try database.read { transaction in
            let ids = Set(layers)
            let list = "[\(ids.map(\.description).joined(separator: ","))]"
            let count = try transaction.query(
                "SELECT count(*) FROM snapshots WHERE id IN (SELECT value FROM json_each(?))",
                [.text(list)]
            )
            return count.first?.integer(0) == Int64(ids.count)
        }
    }

    /// Notes what a layer was made by and of: two layers that one operation made of different content differ, and nothing
    /// of them needs to be read to know it.
    public func setOrigin(_ id: SnapshotID, operation: String, read: String) throws {
        try database.write { transaction in
            try transaction.execute(
                "UPDATE snapshots SET origin = ? WHERE id = ?",
                [.text("\(operation) \(read)"), .integer(id.rawValue)]
            )
        }
    }

    private struct Facts {
        var origin: (operation: Substring, read: Substring)?
        /// Those that were needed before.
        var digests: [LayerDigester.Part: String] = [:]
    }

    private func facts(_ id: SnapshotID) throws -> Facts? {
        let row = try database.read { transaction in
            try transaction.query(
                "SELECT origin, outline, content FROM snapshots WHERE id = ?",
                [.integer(id.rawValue)]
            )
            .first
        }
        guard let row else { return nil }
        let words = row.text(0)?.split(separator: " ") ?? []
        var facts = Facts(origin: words.count == 2 ? (words[0], words[1]) : nil)
        facts.digests[.outline] = row.text(1)
        facts.digests[.content] = row.text(2)
        return facts
    }

    /// Nil for a layer that is too deep, and for one that was removed meanwhile: what was read of it may be a part.
    private func computeDigest(
        _ part: LayerDigester.Part,
        of id: SnapshotID,
        _ checkCancellation: @escaping () throws -> Void
    ) throws -> String? {
        let directory = try layerDirectory(id)
        var digester = LayerDigester(part, checkCancellation: checkCancellation)
        guard let digest = try digester.digest(of: directory.raw)?.hex else { return nil }
        return try database.write { transaction in
            try transaction.execute(
                "UPDATE snapshots SET \(part.rawValue) = ? WHERE id = ?",
                [.text(digest), .integer(id.rawValue)]
            )
            return transaction.changes == 1 ? digest : nil
        }
    }
}
