// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Content
import LinuxSystem
import OCI
public import Solver

/// Results of former steps in `galley.db`.
///
/// A record is written in one transaction, after its data is in the store. A record whose data is gone is dropped when it
/// is looked up.
public struct LocalCacheIndex<Value: SolverValue>: CacheIndex {
    /// How a result is written into a record, and found again.
    public struct Codec: Sendable {
        let encode: @Sendable (Value) throws -> [UInt8]?
        let decode: @Sendable ([UInt8], CacheKey) throws -> Value?

        /// - Parameters:
        ///   - encode: nil for a result that cannot be kept.
        ///   - decode: nil when the data that the record names is gone. Blocks.
        public init(
            encode: @escaping @Sendable (Value) throws -> [UInt8]?,
            decode: @escaping @Sendable ([UInt8], CacheKey) throws -> Value?
        ) {
            self.encode = encode
            self.decode = decode
        }
    }

    private let database: MetadataDatabase
    private let codec: Codec

    public init(_ database: MetadataDatabase, codec: Codec) {
        self.database = database
        self.codec = codec
    }

    public func lookup(_ key: CacheKey) async throws -> Value? {
        try await blocking { try find(key) }
    }

    private func find(_ key: CacheKey) throws -> Value? {
        let row = try database.read { transaction in
            try transaction.query(
                """
                SELECT r.id, r.identity, r.payload FROM cache_keys k JOIN cache_records r ON r.id = k.record
                WHERE k.key = ?
                """,
                [.text(key.digest.hex)]
            ).first
        }
        guard let row, let id = row.integer(0), let identity = row.text(1), let payload = row.blob(2) else {
            return nil
        }
        // A damaged identity counts as a result that is gone.
        guard let digest = try? Digest("sha256:\(identity)"), let value = try codec.decode(payload, CacheKey(digest))
        else {
            try database.write { transaction in
                try transaction.execute("DELETE FROM cache_keys WHERE record = ?", [.integer(id)])
                try transaction.execute("DELETE FROM cache_records WHERE id = ?", [.integer(id)])
            }
            return nil
        }
        return value
    }

    /// The payload of every record. Blocks.
    public func payloads() throws -> [[UInt8]] {
        try database.read { transaction in
            try transaction.query("SELECT payload FROM cache_records").compactMap { $0.blob(0) }
        }
    }

    /// Forgets everything and returns how many records there were. Blocks.
    public func removeAll() throws -> Int {
        try database.write { transaction in
            try transaction.execute("DELETE FROM cache_keys")
            try transaction.execute("DELETE FROM selection_digests")
            try transaction.execute("DELETE FROM cache_records")
            return transaction.changes
        }
    }

    public func record(_ value: Value, of step: VertexInfo, keys: [CacheKey]) async throws {
        guard let payload = try codec.encode(value) else { return }
        let identity = value.identity
        try await blocking {
            try database.write { transaction in
                let known = try transaction.query(
                    "SELECT id FROM cache_records WHERE identity = ? AND payload = ?",
                    [.text(identity.digest.hex), .blob(payload)]
                ).first?.integer(0)
                let id: Int64
                if let known {
                    id = known
                } else {
                    try transaction.execute(
                        "INSERT INTO cache_records (identity, payload, created) VALUES (?, ?, ?)",
                        [.text(identity.digest.hex), .blob(payload), .integer(FileTime.now.seconds)]
                    )
                    id = transaction.lastInsertedID
                }
                for key in keys {
                    let replaced = try transaction.query(
                        "SELECT record FROM cache_keys WHERE key = ? AND record != ?",
                        [.text(key.digest.hex), .integer(id)]
                    ).first?.integer(0)
                    try transaction.execute(
                        "INSERT OR REPLACE INTO cache_keys VALUES (?, ?)",
                        [.text(key.digest.hex), .integer(id)]
                    )
                    // A record that no key leads to would never be found again, nor removed.
                    try transaction.execute(
                        """
                        DELETE FROM cache_records WHERE id = ?1
                        AND NOT EXISTS (SELECT 1 FROM cache_keys WHERE record = ?1)
                        """,
                        [SQLValue(replaced)]
                    )
                }
            }
        }
    }
}

/// The cache's tables.
public enum BuildCacheSchema {
    public static let schema = DatabaseSchema(
        name: "cache",
        steps: [
            """
            CREATE TABLE cache_records (
                id INTEGER PRIMARY KEY, identity TEXT NOT NULL, payload BLOB NOT NULL, created INTEGER NOT NULL);
            CREATE INDEX cache_records_identity ON cache_records(identity);
            CREATE TABLE cache_keys (key TEXT PRIMARY KEY, record INTEGER NOT NULL) WITHOUT ROWID;
            CREATE INDEX cache_keys_record ON cache_keys(record);
            CREATE TABLE directory_digests (path TEXT PRIMARY KEY, data BLOB NOT NULL, updated INTEGER NOT NULL);
            CREATE TABLE selection_digests (key TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID;
            """
        ]
    )
}
