// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Content
public import OCI
import Synchronization

/// Digests of what a step selected from a tree that never changes: in `galley.db`, and those that this process met in
/// memory, since a build asks for the same ones again and again.
public final class SelectionDigestMemory: Sendable {
    private static let limit: Int64 = 50_000
    private static let limitInMemory = 20_000
    private let database: MetadataDatabase
    private let met = Mutex([Digest: Digest]())

    public init(_ database: MetadataDatabase) { self.database = database }

    /// What this process met; nil says nothing of what is remembered. Does not block.
    public func recall(_ key: Digest) -> Digest? { met.withLock { $0[key] } }

    /// Blocks. Damaged data counts as none.
    public func load(_ key: Digest) throws -> Digest? {
        if let digest = recall(key) { return digest }
        let digest = try database.read { transaction in
            try transaction.query("SELECT digest FROM selection_digests WHERE key = ?", [.text(key.hex)]).first?.text(0)
        }.flatMap { try? Digest($0) }
        if let digest { keep(key, digest) }
        return digest
    }

    public func save(_ key: Digest, _ digest: Digest) throws {
        try database.write { transaction in
            try transaction.execute(
                "INSERT OR REPLACE INTO selection_digests (key, digest) VALUES (?, ?)",
                [.text(key.hex), .text(digest.description)]
            )
            // Of many builds each leaves some; the oldest serve for nothing.
            try transaction.execute(
                "DELETE FROM selection_digests WHERE id <= ?",
                [.integer(transaction.lastInsertedID - Self.limit)]
            )
        }
        keep(key, digest)
    }

    private func keep(_ key: Digest, _ digest: Digest) {
        met.withLock { met in
            if met.count >= Self.limitInMemory { met.removeAll(keepingCapacity: true) }
            met[key] = digest
        }
    }
}
