// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import LinuxSystem
import OCI
public import Solver

/// What results were made of, so that a step finds them by content when its definition is new.
extension LocalCacheIndex {
    /// Of one operation; a step that makes something new each time must not fill the database.
    private static var originLimit: Int { 32 }

    func recordOrigin(
        _ record: Int64,
        _ operation: CacheKey,
        _ inputs: [[UInt8]],
        _ transaction: MetadataDatabase.Transaction
    ) throws {
        let joined = Array(inputs.joined(separator: [UInt8(ascii: "\n")]))
        let digest = Digest.sha256(joined).hex
        // Replaced with a new number: what was made last is looked at first.
        let replaced = try transaction.query(
            "SELECT record FROM cache_origins WHERE operation = ? AND digest = ?",
            [.text(operation.digest.hex), .text(digest)]
        ).first?.integer(0)
        try transaction.execute(
            "INSERT OR REPLACE INTO cache_origins (operation, inputs, digest, record) VALUES (?, ?, ?, ?)",
            [.text(operation.digest.hex), .blob(joined), .text(digest), .integer(record)]
        )
        let old = try transaction.query(
            "SELECT id, record FROM cache_origins WHERE operation = ? ORDER BY id DESC LIMIT -1 OFFSET ?",
            [.text(operation.digest.hex), .integer(Int64(Self.originLimit))]
        )
        for row in old { try transaction.execute("DELETE FROM cache_origins WHERE id = ?", [SQLValue(row.integer(0))]) }
        for case let id? in [replaced] + old.map({ $0.integer(1) }) where id != record {
            try removeUnreachable(id, transaction)
        }
    }

    public func formerResults(of operation: CacheKey) async throws -> [FormerResult<Value>] {
        try await blocking {
            let rows = try database.read { transaction in
                try transaction.query(
                    """
                    SELECT cache_records.digest, inputs FROM cache_origins JOIN cache_records ON cache_records.id = record
                    WHERE operation = ? ORDER BY cache_origins.id DESC
                    """,
                    [.text(operation.digest.hex)]
                )
            }
            return rows.compactMap { row in
                guard let hex = row.text(0), let result = try? Digest("sha256:\(hex)"), let joined = row.blob(1) else {
                    return nil
                }
                let parts = joined.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
                let inputs = parts.map { codec.decodeInput(Array($0)) }
                // A damaged input counts as none.
                guard !inputs.contains(where: { $0 == nil }) else { return nil }
                return FormerResult(result: result, inputs: inputs.compactMap(\.self))
            }
        }
    }

    /// - Note: A record's number may name another record by now; its digest does not.
    public func result(_ former: FormerResult<Value>) async throws -> Value? {
        try await blocking {
            let row = try database.read { transaction in
                try transaction.query(
                    "SELECT id, payload, digest FROM cache_records WHERE digest = ?",
                    [.text(former.result.hex)]
                )
                .first
            }
            guard let row, let id = row.integer(0), let payload = row.blob(1) else { return nil }
            return try decode(id, payload, digest: row.text(2))
        }
    }

    public func withClaim<R: Sendable>(
        _ key: CacheKey,
        waiting: @Sendable () async -> Void,
        _ body: @Sendable () async throws -> R
    ) async throws -> R {
        try await claims.withClaim(key.digest.hex, waiting: waiting, body)
    }
}

/// Where processes that share a store agree who does what.
public protocol StepClaims: Sendable {
    /// Runs `body` while nobody else does so under this name. Who dies gives way.
    ///
    /// - Parameter waiting: called once when that takes a wait that a user would notice.
    func withClaim<R: Sendable>(
        _ name: String,
        waiting: @Sendable () async -> Void,
        _ body: @Sendable () async throws -> R
    ) async throws -> R
}
