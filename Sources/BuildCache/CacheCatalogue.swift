// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Content

/// The cache as a whole: all that is remembered, to be listed and removed.
///
/// Whatever is removed here costs at most the work of finding it out again. Calls block.
public struct CacheCatalogue: Sendable {
    /// A step's result.
    public struct Record: Sendable {
        public var id: Int64
        /// As the index's codec wrote it.
        public var payload: [UInt8]
        /// The step's name when it was first recorded.
        public var description: String
        /// Seconds since 1970.
        public var created: Int64
        public var used: Int64
        /// How often it was made or found.
        public var uses: Int
    }

    /// What is remembered of one thing besides results.
    public struct Memory: Sendable {
        public enum Kind: Sendable {
            /// Digests of the files of a directory outside the store.
            case directory(path: String)
            /// Digests of what steps selected from trees of the store.
            case selections
            /// What web servers said of files.
            case web
        }

        public var kind: Kind
        /// Bytes in the database.
        public var size: Int64
        /// When it was last written, in seconds since 1970; nil when that is not known.
        public var updated: Int64?
    }

    private let database: MetadataDatabase

    public init(_ database: MetadataDatabase) { self.database = database }

    public func records() throws -> [Record] {
        try database.read { transaction in
            try transaction.query("SELECT id, payload, description, created, used, uses FROM cache_records ORDER BY id")
                .compactMap { row in
                    guard let id = row.integer(0), let created = row.integer(3) else { return nil }
                    return Record(
                        id: id,
                        // A damaged payload names nothing.
                        payload: row.blob(1) ?? [],
                        description: row.text(2) ?? "",
                        created: created,
                        used: row.integer(4) ?? created,
                        uses: Int(row.integer(5) ?? 0)
                    )
                }
        }
    }

    /// Removes records with all that leads to them, and returns how many there were. Others wait for a part of them
    /// at a time.
    public func remove(_ ids: [Int64]) throws -> Int {
        var count = 0
        var rest = ids[...]
        while !rest.isEmpty {
            try database.write { transaction in
                count += try Self.remove(rest.prefix(500), transaction)
            }
            rest = rest.dropFirst(500)
        }
        return count
    }

    /// Removes records with all that leads to them, together with what else the transaction does.
    public static func remove(
        _ ids: some Collection<Int64>,
        _ transaction: MetadataDatabase.Transaction
    ) throws -> Int {
        var count = 0
        for id in ids {
            for table in ["cache_keys", "cache_origins"] {
                try transaction.execute("DELETE FROM \(table) WHERE record = ?", [.integer(id)])
            }
            try transaction.execute("DELETE FROM cache_records WHERE id = ?", [.integer(id)])
            count += transaction.changes
        }
        return count
    }

    public func memories() throws -> [Memory] {
        try database.read { transaction in
            var result = try transaction.query(
                """
                SELECT path, length(path) + (
                    SELECT ifnull(sum(length(data)), 0) FROM file_digests WHERE directory = directory_digests.id), updated
                FROM directory_digests ORDER BY path
                """
            )
            .compactMap { row -> Memory? in
                guard let path = row.text(0), let size = row.integer(1) else { return nil }
                return Memory(kind: .directory(path: path), size: size, updated: row.integer(2))
            }
            let selections = try transaction.query("SELECT sum(length(key) + length(digest)) FROM selection_digests")
            if let size = selections.first?.integer(0), size > 0 {
                result.append(Memory(kind: .selections, size: size, updated: nil))
            }
            let web = try transaction.query(
                """
                SELECT sum(length(key) + length(digest) + length(file_name) + ifnull(length(entity_tag), 0)), max(updated)
                FROM web_files
                """
            )
            if let row = web.first, let size = row.integer(0), size > 0 {
                result.append(Memory(kind: .web, size: size, updated: row.integer(1)))
            }
            return result
        }
    }

    public func forget(_ kind: Memory.Kind) throws {
        try database.write { transaction in
            switch kind {
            case .directory(let path):
                try transaction.execute("DELETE FROM directory_digests WHERE path = ?", [.text(path)])
            case .selections: try transaction.execute("DELETE FROM selection_digests")
            case .web: try transaction.execute("DELETE FROM web_files")
            }
        }
    }
}
