// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Content
public import OCI

/// What builds are one thing, so that the next can be compared with the last.
public struct BuildPlace: Hashable, Sendable {
    /// An absolute path or an address without its password.
    public var context: String
    public var dockerfile: String
    public var platform: String

    public init(context: String, dockerfile: String, platform: String) {
        self.context = context
        self.dockerfile = dockerfile
        self.platform = platform
    }
}

/// A build that is over, as it is asked about later.
public struct RecordedBuild: Hashable, Sendable {
    public var place: BuildPlace
    /// Nil for the last stage.
    public var target: String?
    /// Seconds since 1970.
    public var time: Int64
    public var succeeded: Bool
    public var steps: [StepRecord]

    public init(place: BuildPlace, target: String?, time: Int64, succeeded: Bool, steps: [StepRecord]) {
        self.place = place
        self.target = target
        self.time = time
        self.succeeded = succeeded
        self.steps = steps
    }
}

/// What former builds did, and what each of their steps was made of. Bounded by number, size and age.
public struct StepHistory: Sendable {
    /// How much is kept.
    public struct Limits: Sendable {
        public var builds = 200
        /// Of all builds' steps.
        public var buildBytes: Int64 = 16 << 20
        public var places = 200
        public var stages = 200
        /// Seconds.
        public var age: Int64 = 90 * 86400
        /// Of one directory.
        public var manifests = 4
        /// Of all directories.
        public var manifestBytes: Int64 = 256 << 20

        public init() {}
    }

    public static let schema = DatabaseSchema(
        name: "step_history",
        steps: [
            """
            CREATE TABLE step_places (
                id INTEGER PRIMARY KEY, context TEXT NOT NULL, dockerfile TEXT NOT NULL, platform TEXT NOT NULL,
                fingerprint TEXT NOT NULL, updated INTEGER NOT NULL, found_again INTEGER NOT NULL,
                last_build INTEGER NOT NULL,
                UNIQUE (context, dockerfile, platform));
            CREATE TABLE step_states (place INTEGER PRIMARY KEY, data BLOB NOT NULL);
            CREATE TABLE step_builds (
                id INTEGER PRIMARY KEY AUTOINCREMENT, place INTEGER NOT NULL, target TEXT, time INTEGER NOT NULL,
                succeeded INTEGER NOT NULL, size INTEGER NOT NULL, steps BLOB NOT NULL);
            CREATE INDEX step_builds_place ON step_builds(place);
            CREATE TABLE context_manifests (
                id INTEGER PRIMARY KEY, directory TEXT NOT NULL, digest TEXT NOT NULL, used INTEGER NOT NULL,
                size INTEGER NOT NULL, UNIQUE (directory, digest));
            CREATE TABLE context_manifest_data (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
            """
        ]
    )

    let database: MetadataDatabase
    let limits: Limits

    public init(_ database: MetadataDatabase, limits: Limits = Limits()) {
        self.database = database
        self.limits = limits
    }

    // MARK: Reading. All block.

    /// The stages of a place as their steps were last done; nil when it was never built.
    public func stages(_ place: BuildPlace) throws -> [StageFacts]? {
        try database.read { try Self.stages(place, $0) }
    }

    static func stages(_ place: BuildPlace, _ transaction: MetadataDatabase.Transaction) throws -> [StageFacts]? {
        let row = try transaction.query(
            """
            SELECT s.data FROM step_places p JOIN step_states s ON s.place = p.id
            WHERE p.context = ? AND p.dockerfile = ? AND p.platform = ?
            """,
            place.values
        ).first
        return row?.blob(0).flatMap(StageFacts.decode)
    }

    /// The platforms that the same Dockerfile was built for with the same context, the last one first.
    public func platforms(_ place: BuildPlace) throws -> [String] {
        try database.read { transaction in
            try transaction.query(
                "SELECT platform FROM step_places WHERE context = ? AND dockerfile = ? ORDER BY updated DESC",
                [.text(place.context), .text(place.dockerfile)]
            ).compactMap { $0.text(0) }
        }
    }

    /// What a directory held when it had this digest; nil when it is not kept.
    public func manifest(_ directory: String, _ digest: Digest) throws -> [UInt8]? {
        try database.read { transaction in
            try transaction.query(
                """
                SELECT d.data FROM context_manifests m JOIN context_manifest_data d ON d.id = m.id
                WHERE m.directory = ? AND m.digest = ?
                """,
                [.text(directory), .text(digest.hex)]
            ).first?.blob(0)
        }
    }

    /// Builds, the last one first: of a context, a Dockerfile and a platform, where they are given.
    public func builds(
        context: String? = nil,
        dockerfile: String? = nil,
        platform: String? = nil,
        limit: Int = 1
    ) throws -> [RecordedBuild] {
        let rows = try database.read { transaction in
            try transaction.query(
                """
                SELECT p.context, p.dockerfile, p.platform, b.target,
                    CASE WHEN b.id = p.last_build THEN max(b.time, p.found_again) ELSE b.time END AS at,
                    b.succeeded, b.steps, b.id = p.last_build AND p.found_again > 0
                FROM step_builds b JOIN step_places p ON p.id = b.place
                WHERE (?1 IS NULL OR p.context = ?1) AND (?2 IS NULL OR p.dockerfile = ?2)
                    AND (?3 IS NULL OR p.platform = ?3)
                ORDER BY at DESC, b.id DESC LIMIT ?4
                """,
                [SQLValue(context), SQLValue(dockerfile), SQLValue(platform), .integer(Int64(limit))]
            )
        }
        return rows.compactMap { row in
            guard let context = row.text(0), let dockerfile = row.text(1), let platform = row.text(2),
                let time = row.integer(4), var steps = row.blob(6).flatMap(StepRecord.decode)
            else { return nil }
            if row.integer(7) == 1 {
                // The same build once more, which found everything.
                for index in steps.indices {
                    steps[index].outcome = .found
                    steps[index].reason = nil
                }
            }
            return RecordedBuild(
                place: BuildPlace(context: context, dockerfile: dockerfile, platform: platform),
                target: row.text(3),
                time: time,
                succeeded: row.integer(5) == 1,
                steps: steps
            )
        }
    }
}

extension BuildPlace {
    var values: [SQLValue] { [.text(context), .text(dockerfile), .text(platform)] }
}
