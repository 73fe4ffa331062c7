// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import OCI

/// Looking at names of images whose rows may be damaged. Calls block.
extension ImageStore {
    /// A row that does not tell what image it is about.
    public struct UnreadableImage: Sendable {
        /// What the row has for a name.
        public var name: String
        fileprivate var row: Int64
    }

    public func unreadable() throws -> [UnreadableImage] {
        try database.read { transaction in
            try transaction.query("SELECT rowid, name FROM images ORDER BY rowid").compactMap { found in
                guard let row = found.integer(0) else { return nil }
                guard (try? Self.record(row, transaction)) == nil else { return nil }
                return UnreadableImage(name: found.text(1) ?? "?", row: row)
            }
        }
    }

    /// All tags but the `unreadable` ones.
    public func readable() throws -> [ImageRecord] {
        try database.read { transaction in
            try transaction.query("SELECT rowid FROM images ORDER BY rowid").compactMap { found in
                try? found.integer(0).flatMap { try Self.record($0, transaction) }
            }
        }
    }

    /// Removes a row that is still unreadable: another image may have taken its place since it was seen.
    public func removeUnreadable(_ image: UnreadableImage) throws {
        try database.write { transaction in
            guard (try? Self.record(image.row, transaction)) == nil else { return }
            try transaction.execute("DELETE FROM images WHERE rowid = ?", [.integer(image.row)])
        }
    }

    /// Removes a tag unless it was moved to another image.
    public func remove(_ reference: Reference, config: Digest) throws {
        try database.write { transaction in
            try transaction.execute(
                "DELETE FROM images WHERE name = ? AND config = ?",
                [.text(reference.withDefaultTag.description), .text(config.description)]
            )
        }
    }

    /// Every blob of which a layer is known, also those that are not in the store. Damaged rows are left out.
    public func knownLayerBlobs() throws -> [Descriptor] {
        try database.read { transaction in
            try transaction.query("SELECT digest, media_type, size FROM layer_blobs").compactMap { row in
                guard let digest = row.text(0).flatMap({ try? Digest($0) }), let type = row.text(1),
                    let size = row.integer(2)
                else { return nil }
                return Descriptor(mediaType: MediaType(type), digest: digest, size: size)
            }
        }
    }

    private static func record(_ row: Int64, _ transaction: MetadataDatabase.Transaction) throws -> ImageRecord? {
        try transaction.query("\(select) WHERE rowid = ?", [.integer(row)]).first.flatMap {
            try record($0, transaction)
        }
    }
}
