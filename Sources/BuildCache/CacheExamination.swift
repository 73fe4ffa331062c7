// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Content
import OCI

/// Looking for cache records that lead nowhere. Calls block.
public struct CacheExamination: Sendable {
    private let database: MetadataDatabase

    public init(_ database: MetadataDatabase) { self.database = database }

    /// How many records there are.
    public func count() throws -> Int {
        try database.read { transaction in
            try transaction.query("SELECT count(*) FROM cache_records").first?.integer(0).map(Int.init) ?? 0
        }
    }

    /// The ids of records that are damaged or that `isSound` refuses, and nil when keys or origins have no record.
    public func unsound(_ isSound: ([UInt8]) -> Bool) throws -> [Int64?] {
        try database.read { transaction in
            let rows = try transaction.query("SELECT id, digest, payload FROM cache_records")
            var found: [Int64?] = rows.compactMap { row in
                guard let payload = row.blob(2), row.text(1) == Digest.sha256(payload).hex, isSound(payload) else {
                    return row.integer(0)
                }
                return nil
            }
            for table in Self.referring {
                let lost = "SELECT 1 FROM \(table) WHERE record NOT IN (SELECT id FROM cache_records) LIMIT 1"
                if try !transaction.query(lost).isEmpty { found.append(nil) }
            }
            return found
        }
    }

    /// Removes what `unsound` told of.
    public func remove(_ records: [Int64?]) throws {
        try database.write { transaction in
            for id in records.compactMap(\.self) {
                try transaction.execute("DELETE FROM cache_records WHERE id = ?", [.integer(id)])
            }
            for table in Self.referring {
                try transaction.execute("DELETE FROM \(table) WHERE record NOT IN (SELECT id FROM cache_records)")
            }
        }
    }

    /// Removes every record, and the digests of what steps read: whatever was made of them is made anew.
    public func removeAll() throws {
        try database.write { transaction in
            for table in Self.referring + ["cache_records", "selection_digests"] {
                try transaction.execute("DELETE FROM \(table)")
            }
        }
    }

    private static let referring = ["cache_keys", "cache_origins"]
}
