// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import Executor
import LinuxSystem
import OCI

/// Seccomp filters that a runtime compiled, in `galley.db`: compiling takes longer than all the rest of a container's
/// start.
struct KeptFilters: CompiledFilters {
    static let schema = DatabaseSchema(
        name: "filters",
        steps: [
            """
            CREATE TABLE seccomp_filters (
                key TEXT PRIMARY KEY, filter BLOB NOT NULL, digest TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;
            """
        ]
    )

    let database: MetadataDatabase

    /// The library that compiles may be exchanged without a sign: seconds.
    private static let age: Int64 = 7 * 24 * 3600
    private static let limit: Int64 = 16

    func load(_ key: Digest) -> [UInt8]? {
        let row = try? database.read { transaction in
            try transaction.query(
                "SELECT filter, digest, created FROM seccomp_filters WHERE key = ?",
                [.text(key.hex)]
            ).first
        }
        guard let row, let filter = row.blob(0), let created = row.integer(2) else { return nil }
        guard (0..<Self.age).contains(FileTime.now.seconds - created) else { return nil }
        // A damaged one could let through what the profile forbids.
        return row.text(1) == Digest.sha256(filter).hex ? filter : nil
    }

    func save(_ key: Digest, _ filter: [UInt8]) {
        try? database.write { transaction in
            try transaction.execute(
                "INSERT OR REPLACE INTO seccomp_filters VALUES (?, ?, ?, ?)",
                [.text(key.hex), .blob(filter), .text(Digest.sha256(filter).hex), .integer(FileTime.now.seconds)]
            )
            try transaction.execute(
                """
                DELETE FROM seccomp_filters WHERE key NOT IN
                (SELECT key FROM seccomp_filters ORDER BY created DESC LIMIT ?)
                """,
                [.integer(Self.limit)]
            )
        }
    }
}
