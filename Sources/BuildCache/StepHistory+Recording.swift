// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
public import OCI

/// A directory's content as it is kept.
public struct KeptManifest: Sendable {
    public var directory: String
    public var digest: Digest
    /// Makes the bytes; called only when they are not kept yet.
    public var bytes: @Sendable () -> [UInt8]

    public init(directory: String, digest: Digest, bytes: @escaping @Sendable () -> [UInt8]) {
        self.directory = directory
        self.digest = digest
        self.bytes = bytes
    }
}

extension StepHistory {
    /// Notes that a build found all of its steps, when the last one of its place succeeded and had the same
    /// `fingerprint`.
    ///
    /// - Returns: false when it did not, so that the build has to be recorded. Blocks.
    public func noteFound(_ place: BuildPlace, fingerprint: Digest, time: Int64) throws -> Bool {
        try database.write { transaction in
            try transaction.execute(
                """
                UPDATE step_places SET found_again = ?4
                WHERE context = ?1 AND dockerfile = ?2 AND platform = ?3 AND fingerprint = ?5
                AND EXISTS (SELECT 1 FROM step_builds WHERE id = last_build AND succeeded = 1)
                """,
                place.values + [.integer(time), .text(fingerprint.hex)]
            )
            return transaction.changes == 1
        }
    }

    /// Writes down a build, in one transaction. Blocks.
    ///
    /// - Parameters:
    ///   - merge: what is kept of the place's stages, given what is kept now.
    ///   - manifests: of the directories that the build read.
    public func record(
        _ build: RecordedBuild,
        fingerprint: Digest,
        manifests: [KeptManifest],
        merge: ([StageFacts]) -> [StageFacts]
    ) throws {
        let steps = StepRecord.encode(build.steps)
        let known = try database.read { transaction in
            try manifests.map { try Self.manifestID($0, transaction) != nil }
        }
        let contents = zip(manifests, known).map { $1 ? nil : $0.bytes() }
        try database.write { transaction in
            let stages = merge(try Self.stages(build.place, transaction) ?? [])
                .sorted { $0.updated > $1.updated }.prefix(limits.stages)
            try transaction.execute(
                """
                INSERT INTO step_places (context, dockerfile, platform, fingerprint, updated, found_again, last_build)
                VALUES (?1, ?2, ?3, ?4, ?5, 0, 0)
                ON CONFLICT (context, dockerfile, platform)
                DO UPDATE SET fingerprint = ?4, updated = ?5, found_again = 0
                """,
                build.place.values + [.text(fingerprint.hex), .integer(build.time)]
            )
            let place = try transaction.query(
                "SELECT id FROM step_places WHERE context = ? AND dockerfile = ? AND platform = ?",
                build.place.values
            ).first?.integer(0)
            try transaction.execute(
                "INSERT OR REPLACE INTO step_states VALUES (?, ?)",
                [SQLValue(place), .blob(StageFacts.encode(Array(stages)))]
            )
            try transaction.execute(
                "INSERT INTO step_builds (place, target, time, succeeded, size, steps) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    SQLValue(place), SQLValue(build.target), .integer(build.time), build.succeeded ? 1 : 0,
                    .integer(Int64(steps.count)), .blob(steps),
                ]
            )
            try transaction.execute(
                "UPDATE step_places SET last_build = ? WHERE id = ?",
                [.integer(transaction.lastInsertedID), SQLValue(place)]
            )
            for (manifest, content) in zip(manifests, contents) { try keep(manifest, content, transaction) }
            try removeOld(now: build.time, transaction)
        }
    }

    private static func manifestID(
        _ manifest: KeptManifest,
        _ transaction: MetadataDatabase.Transaction
    ) throws -> Int64? {
        try transaction.query(
            "SELECT id FROM context_manifests WHERE directory = ? AND digest = ?",
            [.text(manifest.directory), .text(manifest.digest.hex)]
        ).first?.integer(0)
    }

    private func keep(
        _ manifest: KeptManifest,
        _ content: [UInt8]?,
        _ transaction: MetadataDatabase.Transaction
    ) throws {
        // The order of use; a clock may stand still or be set.
        let used = try transaction.query("SELECT ifnull(max(used), 0) + 1 FROM context_manifests").first?.integer(0)
        if let id = try Self.manifestID(manifest, transaction) {
            try transaction.execute(
                "UPDATE context_manifests SET used = ? WHERE id = ?",
                [SQLValue(used), .integer(id)]
            )
        } else if let content, Int64(content.count) <= limits.manifestBytes / 4 {
            try transaction.execute(
                "INSERT INTO context_manifests (directory, digest, used, size) VALUES (?, ?, ?, ?)",
                [
                    .text(manifest.directory), .text(manifest.digest.hex), SQLValue(used),
                    .integer(Int64(content.count)),
                ]
            )
            try transaction.execute(
                "INSERT INTO context_manifest_data VALUES (?, ?)",
                [.integer(transaction.lastInsertedID), .blob(content)]
            )
        }
        try transaction.execute(
            """
            DELETE FROM context_manifests WHERE directory = ?1 AND id NOT IN (
                SELECT id FROM context_manifests WHERE directory = ?1 ORDER BY used DESC LIMIT ?2)
            """,
            [.text(manifest.directory), .integer(Int64(limits.manifests))]
        )
        try transaction.execute(
            """
            DELETE FROM context_manifests WHERE id IN (
                SELECT id FROM (SELECT id, sum(size) OVER (ORDER BY used DESC) AS total FROM context_manifests)
                WHERE total > ?)
            """,
            [.integer(limits.manifestBytes)]
        )
    }

    private func removeOld(now: Int64, _ transaction: MetadataDatabase.Transaction) throws {
        try transaction.execute(
            """
            DELETE FROM step_builds WHERE time < ?1 OR id IN (
                SELECT id FROM (
                    SELECT id, row_number() OVER (ORDER BY id DESC) AS number, sum(size) OVER (ORDER BY id DESC) AS total
                    FROM step_builds)
                WHERE number > ?2 OR (number > 1 AND total > ?3))
            """,
            [.integer(now - limits.age), .integer(Int64(limits.builds)), .integer(limits.buildBytes)]
        )
        try transaction.execute(
            """
            DELETE FROM step_places WHERE updated < ?1 OR id NOT IN (
                SELECT id FROM step_places ORDER BY updated DESC, id DESC LIMIT ?2)
            """,
            [.integer(now - limits.age), .integer(Int64(limits.places))]
        )
        try transaction.execute("DELETE FROM step_states WHERE place NOT IN (SELECT id FROM step_places)")
        try transaction.execute("DELETE FROM step_builds WHERE place NOT IN (SELECT id FROM step_places)")
        try transaction.execute("DELETE FROM context_manifest_data WHERE id NOT IN (SELECT id FROM context_manifests)")
    }
}
