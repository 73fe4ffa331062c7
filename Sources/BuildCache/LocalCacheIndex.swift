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
        let decode: @Sendable ([UInt8]) throws -> Value?
        let encodeInput: @Sendable (Value) -> [UInt8]
        let decodeInput: @Sendable ([UInt8]) -> Value?

        /// - Parameters:
        ///   - encode: nil for a result that cannot be kept.
        ///   - decode: nil when the data that the record names is gone. Blocks.
        ///   - encodeInput: what a result was made of, to be compared with later inputs; no line ends.
        ///   - decodeInput: nil for damaged bytes. Whether the data is there is not looked at.
        public init(
            encode: @escaping @Sendable (Value) throws -> [UInt8]?,
            decode: @escaping @Sendable ([UInt8]) throws -> Value?,
            encodeInput: @escaping @Sendable (Value) -> [UInt8],
            decodeInput: @escaping @Sendable ([UInt8]) -> Value?
        ) {
            self.encode = encode
            self.decode = decode
            self.encodeInput = encodeInput
            self.decodeInput = decodeInput
        }
    }

    let database: MetadataDatabase
    let codec: Codec
    let claims: any StepClaims

    /// - Parameter claims: where it is agreed with other processes who does what.
    public init(_ database: MetadataDatabase, codec: Codec, claims: any StepClaims) {
        self.database = database
        self.codec = codec
        self.claims = claims
    }

    public func lookup(_ key: CacheKey) async throws -> Value? {
        try await blocking { try find(key) }
    }

    private func find(_ key: CacheKey) throws -> Value? {
        let row = try database.read { transaction in
            try transaction.query(
                """
                SELECT r.id, r.payload, r.digest FROM cache_keys k JOIN cache_records r ON r.id = k.record
                WHERE k.key = ?
                """,
                [.text(key.digest.hex)]
            ).first
        }
        guard let row, let id = row.integer(0), let payload = row.blob(1) else { return nil }
        return try decode(id, payload, digest: row.text(2))
    }

    /// The result that a record names; one that is damaged, or whose data is gone, is forgotten.
    func decode(_ id: Int64, _ payload: [UInt8], digest: String?) throws -> Value? {
        if digest == Digest.sha256(payload).hex, let value = try codec.decode(payload) {
            try database.write { transaction in
                try transaction.execute(
                    "UPDATE cache_records SET used = ?, uses = uses + 1 WHERE id = ?",
                    [.integer(FileTime.now.seconds), .integer(id)]
                )
            }
            return value
        }
        try database.write { transaction in
            // Another record may have the number by now.
            let isSame = try !transaction.query(
                "SELECT 1 FROM cache_records WHERE id = ? AND digest IS ? AND payload = ?",
                [.integer(id), digest.map(SQLValue.text) ?? .null, .blob(payload)]
            )
            .isEmpty
            if isSame { try removeRecord(id, transaction) }
        }
        return nil
    }

    private func removeRecord(_ id: Int64, _ transaction: MetadataDatabase.Transaction) throws {
        for table in ["cache_keys", "cache_origins"] {
            try transaction.execute("DELETE FROM \(table) WHERE record = ?", [.integer(id)])
        }
        try transaction.execute("DELETE FROM cache_records WHERE id = ?", [.integer(id)])
    }

    public func record(_ value: Value, of step: RecordedStep, inputs: [Value], key: CacheKey) async throws {
        guard let payload = try codec.encode(value) else { return }
        let made = inputs.map(codec.encodeInput)
        try await blocking {
            try database.write { transaction in
                let id = try record(payload, of: step, transaction)
                let replaced = try transaction.query(
                    "SELECT record FROM cache_keys WHERE key = ? AND record != ?",
                    [.text(key.digest.hex), .integer(id)]
                ).first?.integer(0)
                try transaction.execute(
                    "INSERT OR REPLACE INTO cache_keys VALUES (?, ?)",
                    [.text(key.digest.hex), .integer(id)]
                )
                try recordOrigin(id, step.operation, made, transaction)
                if let replaced { try removeUnreachable(replaced, transaction) }
            }
        }
    }

    /// The number of the record with this payload, which is made if there is none.
    private func record(
        _ payload: [UInt8],
        of step: RecordedStep,
        _ transaction: MetadataDatabase.Transaction
    ) throws -> Int64 {
        let digest = Digest.sha256(payload).hex
        let known = try transaction.query(
            "SELECT id FROM cache_records WHERE digest = ? AND payload = ?",
            [.text(digest), .blob(payload)]
        ).first?.integer(0)
        if let known { return known }
        try transaction.execute(
            """
            INSERT INTO cache_records (digest, payload, created, used, uses, description)
            VALUES (?1, ?2, ?3, ?3, 1, ?4)
            """,
            [.text(digest), .blob(payload), .integer(FileTime.now.seconds), .text(step.info.name)]
        )
        return transaction.lastInsertedID
    }

    /// A record that nothing leads to would never be found again, nor removed.
    func removeUnreachable(_ id: Int64, _ transaction: MetadataDatabase.Transaction) throws {
        try transaction.execute(
            """
            DELETE FROM cache_records WHERE id = ?1
            AND NOT EXISTS (SELECT 1 FROM cache_keys WHERE record = ?1)
            AND NOT EXISTS (SELECT 1 FROM cache_origins WHERE record = ?1)
            """,
            [.integer(id)]
        )
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
            """,
            // Records of the first form do not say what their results were made of.
            """
            DROP TABLE cache_keys;
            DROP TABLE cache_records;
            CREATE TABLE cache_records (
                id INTEGER PRIMARY KEY, digest TEXT NOT NULL, payload BLOB NOT NULL, created INTEGER NOT NULL);
            CREATE INDEX cache_records_digest ON cache_records(digest);
            CREATE TABLE cache_keys (key TEXT PRIMARY KEY, record INTEGER NOT NULL) WITHOUT ROWID;
            CREATE INDEX cache_keys_record ON cache_keys(record);
            CREATE TABLE cache_origins (
                id INTEGER PRIMARY KEY AUTOINCREMENT, operation TEXT NOT NULL, inputs BLOB NOT NULL,
                digest TEXT NOT NULL, record INTEGER NOT NULL, UNIQUE (operation, digest));
            CREATE INDEX cache_origins_record ON cache_origins(record);
            DROP TABLE selection_digests;
            CREATE TABLE selection_digests (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, digest TEXT NOT NULL);
            """,
            // Which step made the record, when it was last found (seconds since 1970), how often it was made or found.
            """
            ALTER TABLE cache_records ADD COLUMN description TEXT NOT NULL DEFAULT '';
            ALTER TABLE cache_records ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
            ALTER TABLE cache_records ADD COLUMN uses INTEGER NOT NULL DEFAULT 1;
            UPDATE cache_records SET used = created;
            """,
            // All digests of a directory in one row were copied several times in memory.
            """
            DROP TABLE directory_digests;
            CREATE TABLE directory_digests (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, updated INTEGER NOT NULL);
            CREATE TABLE file_digests (
                id INTEGER PRIMARY KEY,
                directory INTEGER NOT NULL REFERENCES directory_digests(id) ON DELETE CASCADE, number INTEGER NOT NULL,
                checksum INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (directory, number));
            """,
        ]
    )
}
