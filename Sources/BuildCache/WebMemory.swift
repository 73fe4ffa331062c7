// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Content
import LinuxSystem
public import OCI

/// What web servers said of files that were fetched before, so that an unchanged one need not be sent again.
public struct WebMemory: Sendable {
    public struct Entry: Hashable, Sendable {
        /// The validators of RFC 9110, 8.8, as they were received.
        public var entityTag: String?
        public var lastModified: String?
        /// Of the content.
        public var digest: Digest
        public var fileName: String

        public init(entityTag: String?, lastModified: String?, digest: Digest, fileName: String) {
            self.entityTag = entityTag
            self.lastModified = lastModified
            self.digest = digest
            self.fileName = fileName
        }
    }

    public static let schema = DatabaseSchema(
        name: "web",
        steps: [
            """
            CREATE TABLE web_files (
                key TEXT PRIMARY KEY, entity_tag TEXT, last_modified TEXT, digest TEXT NOT NULL,
                file_name TEXT NOT NULL, updated INTEGER NOT NULL) WITHOUT ROWID;
            """
        ]
    )

    private let database: MetadataDatabase

    public init(_ database: MetadataDatabase) { self.database = database }

    /// Blocks. Damaged data counts as none.
    public func load(_ key: Digest) throws -> Entry? {
        let row = try database.read { transaction in
            try transaction.query(
                "SELECT entity_tag, last_modified, digest, file_name FROM web_files WHERE key = ?",
                [.text(key.hex)]
            ).first
        }
        guard let row, let digest = row.text(2).flatMap({ try? Digest($0) }), let name = row.text(3) else { return nil }
        return Entry(entityTag: row.text(0), lastModified: row.text(1), digest: digest, fileName: name)
    }

    /// Blocks.
    public func save(_ key: Digest, _ entry: Entry) throws {
        try database.write { transaction in
            try transaction.execute(
                "INSERT OR REPLACE INTO web_files VALUES (?, ?, ?, ?, ?, ?)",
                [
                    .text(key.hex), SQLValue(entry.entityTag), SQLValue(entry.lastModified),
                    .text(entry.digest.description), .text(entry.fileName), .integer(FileTime.now.seconds),
                ]
            )
        }
    }
}
