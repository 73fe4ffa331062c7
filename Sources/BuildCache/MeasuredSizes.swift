// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Content
public import LinuxSystem

/// Sizes of directories that change only while somebody uses them, measured once for each use.
public struct MeasuredSizes: Sendable {
    public static let schema = DatabaseSchema(
        name: "space",
        steps: [
            """
            CREATE TABLE measured_sizes (name TEXT PRIMARY KEY, last_use INTEGER NOT NULL, bytes INTEGER NOT NULL)
                WITHOUT ROWID;
            CREATE TABLE space_state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
            """
        ]
    )

    private let database: MetadataDatabase

    public init(_ database: MetadataDatabase) { self.database = database }

    /// Bytes on disk of `directory`. Blocks.
    ///
    /// - Parameter lastUse: when its last use began; nil while it is in use, when a measurement tells nothing for later.
    public func size(of directory: RawPath, as name: String, lastUse: Int64?) throws -> Int64 {
        guard let lastUse else { return try diskUsage(of: directory) }
        let known = try database.read { transaction in
            try transaction.query(
                "SELECT bytes FROM measured_sizes WHERE name = ? AND last_use = ?",
                [.text(name), .integer(lastUse)]
            ).first?.integer(0)
        }
        if let known { return known }
        let bytes = try diskUsage(of: directory)
        try database.write { transaction in
            try transaction.execute(
                "INSERT OR REPLACE INTO measured_sizes VALUES (?, ?, ?)",
                [.text(name), .integer(lastUse), .integer(bytes)]
            )
        }
        return bytes
    }

    /// Forgets a directory that was removed.
    public func forget(_ names: [String]) throws {
        if names.isEmpty { return }
        try database.write { transaction in
            for name in names { try transaction.execute("DELETE FROM measured_sizes WHERE name = ?", [.text(name)]) }
        }
    }
}

/// What the automatic policy knows between two runs.
public struct SpaceState: Hashable, Sendable {
    /// When it last looked at everything: seconds since 1970, 0 for never.
    public var checked: Int64 = 0
    /// Bytes that it found in use by the cache then.
    public var used: Int64 = 0
    /// Bytes of all layers then.
    public var layers: Int64 = 0
    /// 1 when the cache was larger than it should be all the same: everything was needed.
    public var stuck: Int64 = 0

    public init() {}

    private static var names: [(String, WritableKeyPath<SpaceState, Int64>)] {
        [("checked", \.checked), ("used", \.used), ("layers", \.layers), ("stuck", \.stuck)]
    }

    /// Blocks.
    public init(reading database: MetadataDatabase) throws {
        let rows = try database.read { try $0.query("SELECT name, value FROM space_state") }
        let values = Dictionary(
            rows.compactMap { row in row.text(0).flatMap { name in row.integer(1).map { (name, $0) } } },
            uniquingKeysWith: { $1 }
        )
        for (name, path) in Self.names { self[keyPath: path] = values[name] ?? 0 }
    }

    /// Blocks.
    public func save(_ database: MetadataDatabase) throws {
        try database.write { transaction in
            for (name, path) in Self.names {
                try transaction.execute(
                    "INSERT OR REPLACE INTO space_state VALUES (?, ?)",
                    [.text(name), .integer(self[keyPath: path])]
                )
            }
        }
    }
}
