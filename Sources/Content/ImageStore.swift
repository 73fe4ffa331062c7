// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
public import OCI

/// A tag of the local store.
public struct ImageRecord: Hashable, Sendable {
    public var reference: Reference
    /// Digest of the config: the image's id.
    public var config: Digest
    /// The manifest as it was pulled or pushed; nil for an image that only ever was built here.
    public var manifest: Descriptor?
    /// What the name resolved to in its registry: the manifest's digest, or that of the index above it.
    public var repositoryDigest: Digest?
    /// Bytes of all layers' files, unpacked.
    public var size: Int64
    /// When the tag was set: seconds since 1970.
    public var updated: Int64
    /// A base image that a build pulled: used as long as it is here, not listed, gone with the next prune.
    public var isImplicit: Bool
    /// The images for other platforms that the name also stands for.
    public var variants: [ImageVariant]

    public init(
        reference: Reference,
        config: Digest,
        manifest: Descriptor? = nil,
        repositoryDigest: Digest? = nil,
        size: Int64,
        updated: Int64,
        isImplicit: Bool = false,
        variants: [ImageVariant] = []
    ) {
        self.reference = reference
        self.config = config
        self.manifest = manifest
        self.repositoryDigest = repositoryDigest
        self.size = size
        self.updated = updated
        self.isImplicit = isImplicit
        self.variants = variants
    }
}

extension ImageRecord {
    /// One of the variants, as if it had the name for itself.
    public func variant(_ variant: ImageVariant) -> ImageRecord {
        var record = self
        record.config = variant.config
        record.manifest = variant.manifest
        record.size = variant.size
        record.variants = []
        return record
    }
}

/// An image for one of the platforms of a name.
public struct ImageVariant: Hashable, Sendable {
    public var platform: Platform
    /// Digest of the config: the image's id.
    public var config: Digest
    /// As in ``ImageRecord``.
    public var manifest: Descriptor?
    /// Bytes of all layers' files, unpacked.
    public var size: Int64

    public init(platform: Platform, config: Digest, manifest: Descriptor? = nil, size: Int64) {
        self.platform = platform
        self.config = config
        self.manifest = manifest
        self.size = size
    }
}

/// Names of images, in `galley.db`. Calls block.
public struct ImageStore: Sendable {
    public static let schema = DatabaseSchema(
        name: "images",
        steps: [
            """
            CREATE TABLE images (
                name TEXT PRIMARY KEY, config TEXT NOT NULL, manifest TEXT, manifest_type TEXT, manifest_size INTEGER,
                repository_digest TEXT, size INTEGER NOT NULL, updated INTEGER NOT NULL,
                implicit INTEGER NOT NULL);
            CREATE INDEX images_config ON images(config);
            CREATE TABLE layer_blobs (
                diff_id TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
                PRIMARY KEY (diff_id, digest)) WITHOUT ROWID;
            """,
            """
            CREATE TABLE image_variants (
                name TEXT NOT NULL REFERENCES images(name) ON DELETE CASCADE, platform TEXT NOT NULL,
                config TEXT NOT NULL, manifest TEXT, manifest_type TEXT, manifest_size INTEGER, size INTEGER NOT NULL,
                PRIMARY KEY (name, platform)) WITHOUT ROWID;
            """,
            """
            CREATE TABLE released_images (
                id INTEGER PRIMARY KEY, config TEXT NOT NULL, manifest TEXT, repository_digest TEXT,
                released INTEGER NOT NULL);
            """,
        ]
    )

    let database: MetadataDatabase

    public init(_ database: MetadataDatabase) { self.database = database }

    /// Sets or moves a tag, for all platforms at once. A name that a user gave has to be on disk before that is reported:
    /// ``MetadataDatabase/sync()``.
    public func set(_ record: ImageRecord) throws {
        if record.isImplicit {
            try database.write { try Self.set(record, $0) }
        } else {
            try database.writeBeforeSync { try Self.set(record, $0) }
        }
    }

    /// Changes what a tag stands for, in one transaction: no tag that another process sets meanwhile is lost.
    ///
    /// - Parameter change: gets what ``find(_:)`` finds, and returns what is to be set; nil leaves all as it is.
    public func update(_ reference: Reference, _ change: (ImageRecord?) throws -> ImageRecord?) throws {
        try database.write { transaction in
            guard let record = try change(Self.find(reference, transaction)) else { return }
            try Self.set(record, transaction)
        }
    }

    private static func set(_ record: ImageRecord, _ transaction: MetadataDatabase.Transaction) throws {
        let name = record.reference.withDefaultTag.description
        try release(name, unless: record.config, transaction)
        // Replacing the row takes its variants with it.
        try transaction.execute(
            "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                .text(name), .text(record.config.description),
                SQLValue(record.manifest?.digest.description), SQLValue(record.manifest?.mediaType.rawValue),
                SQLValue(record.manifest?.size), SQLValue(record.repositoryDigest?.description),
                .integer(record.size), .integer(record.updated), .integer(record.isImplicit ? 1 : 0),
            ]
        )
        for variant in record.variants {
            try transaction.execute(
                "INSERT OR REPLACE INTO image_variants VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    .text(name), .text(variant.platform.description), .text(variant.config.description),
                    SQLValue(variant.manifest?.digest.description), SQLValue(variant.manifest?.mediaType.rawValue),
                    SQLValue(variant.manifest?.size), .integer(variant.size),
                ]
            )
        }
    }

    /// The record of a tag, or of `name@digest` when a tag of that name has the digest.
    public func find(_ reference: Reference) throws -> ImageRecord? {
        try database.read { try Self.find(reference, $0) }
    }

    private static func find(
        _ reference: Reference,
        _ transaction: MetadataDatabase.Transaction
    ) throws -> ImageRecord? {
        if let digest = reference.digest {
            let rows = try transaction.query(
                "\(select) WHERE repository_digest = ? OR manifest = ? ORDER BY updated DESC",
                [.text(digest.description), .text(digest.description)]
            )
            return try rows.compactMap { try record($0, transaction) }
                .first { $0.reference.name == reference.name }
        }
        return try transaction.query("\(select) WHERE name = ?", [.text(reference.withDefaultTag.description)])
            .compactMap { try record($0, transaction) }.first
    }

    /// Every tag whose image id starts with `prefix` (hex digits).
    public func find(idPrefix prefix: String) throws -> [ImageRecord] {
        try database.read { transaction in
            try transaction.query(
                "\(Self.select) WHERE substr(config, 1, ?) = ? ORDER BY name",
                [.integer(Int64(7 + prefix.utf8.count)), .text("sha256:" + prefix)]
            ).compactMap { try Self.record($0, transaction) }
        }
    }

    /// All tags, newest first.
    public func all() throws -> [ImageRecord] {
        try database.read { transaction in
            try transaction.query("\(Self.select) ORDER BY updated DESC, rowid DESC").compactMap {
                try Self.record($0, transaction)
            }
        }
    }

    /// Removes a tag and says whether it was there. That has to be on disk before it is reported, as with ``set(_:)``.
    public func remove(_ reference: Reference) throws -> Bool {
        try database.writeBeforeSync { transaction in
            try Self.remove(reference.withDefaultTag.description, transaction)
        }
    }

    private static func remove(_ name: String, _ transaction: MetadataDatabase.Transaction) throws -> Bool {
        try release(name, unless: nil, transaction)
        try transaction.execute("DELETE FROM images WHERE name = ?", [.text(name)])
        return transaction.changes > 0
    }

    // MARK: Pruning

    /// What had a name until a moment ago: somebody who read the name before may still be at work with it.
    public struct Released: Sendable {
        public var config: Digest
        public var documents: [Digest]
    }

    /// Images that lost a name after `horizon` (nanoseconds since 1970); those that lost it before are forgotten.
    public func released(after horizon: Int64) throws -> [Released] {
        try database.write { transaction in
            try transaction.execute("DELETE FROM released_images WHERE released <= ?", [.integer(horizon)])
            return try transaction.query("SELECT config, manifest, repository_digest FROM released_images")
                .compactMap { row in
                    guard let config = row.text(0).flatMap({ try? Digest($0) }) else { return nil }
                    let documents = [row.text(1), row.text(2)].compactMap { $0.flatMap { try? Digest($0) } }
                    return Released(config: config, documents: documents)
                }
        }
    }

    /// Removes a name that no user gave, unless it was set after `horizon` (nanoseconds since 1970), is one that a user
    /// gave by now, or stands for something else.
    public func removeImplicit(_ record: ImageRecord, setBefore horizon: Int64) throws -> Bool {
        try database.write { transaction in
            let name = record.reference.withDefaultTag.description
            let isSame = try !transaction.query(
                "SELECT 1 FROM images WHERE name = ? AND config = ? AND implicit = 1 AND updated * 1000000000 <= ?",
                [.text(name), .text(record.config.description), .integer(horizon)]
            ).isEmpty
            return try isSame && Self.remove(name, transaction)
        }
    }

    private static func release(
        _ name: String,
        unless config: Digest?,
        _ transaction: MetadataDatabase.Transaction
    ) throws {
        let arguments: [SQLValue] = [
            .integer(FileTime.now.sinceEpoch), .text(name), .text(config?.description ?? ""),
        ]
        for table in ["images", "image_variants"] {
            let digest = table == "images" ? "repository_digest" : "NULL"
            try transaction.execute(
                """
                INSERT INTO released_images (config, manifest, repository_digest, released)
                SELECT config, manifest, \(digest), ?1 FROM \(table) WHERE name = ?2 AND config != ?3
                """,
                arguments
            )
        }
    }

    // MARK: Layer blobs

    /// Remembers that a blob carries a layer's tar.
    public func addLayerBlob(_ diffID: DiffID, _ blob: Descriptor) throws {
        try database.write { transaction in
            try transaction.execute(
                "INSERT OR REPLACE INTO layer_blobs VALUES (?, ?, ?, ?)",
                [
                    .text(diffID.description), .text(blob.digest.description), .text(blob.mediaType.rawValue),
                    .integer(blob.size),
                ]
            )
        }
    }

    /// The blobs known to carry a layer; their bytes need not be in the store.
    public func layerBlobs(_ diffID: DiffID) throws -> [Descriptor] {
        try database.read { transaction in
            try transaction.query(
                "SELECT digest, media_type, size FROM layer_blobs WHERE diff_id = ? ORDER BY digest",
                [.text(diffID.description)]
            ).compactMap { row in
                guard let digest = row.text(0), let type = row.text(1), let size = row.integer(2) else { return nil }
                return Descriptor(mediaType: MediaType(type), digest: try Digest(digest), size: size)
            }
        }
    }

    /// The digests of the blobs known to carry layers, by diffID.
    public func allLayerBlobs() throws -> [DiffID: [Digest]] {
        try database.read { transaction in
            var result: [DiffID: [Digest]] = [:]
            for row in try transaction.query("SELECT diff_id, digest FROM layer_blobs ORDER BY diff_id, digest") {
                guard let diffID = row.text(0).flatMap({ try? Digest($0) }),
                    let digest = row.text(1).flatMap({ try? Digest($0) })
                else { continue }
                result[DiffID(diffID), default: []].append(digest)
            }
            return result
        }
    }

    static let select = """
        SELECT name, config, manifest, manifest_type, manifest_size, repository_digest, size, updated, implicit FROM images
        """

    /// - Throws: `ContentError.database` for a row that no image has.
    static func record(_ row: SQLRow, _ transaction: MetadataDatabase.Transaction) throws -> ImageRecord? {
        do {
            return try parsed(row, transaction)
        } catch is OCIError {
            throw ContentError.damagedRow("of the image \(row.text(0) ?? "?")")
        }
    }

    private static func parsed(_ row: SQLRow, _ transaction: MetadataDatabase.Transaction) throws -> ImageRecord? {
        guard let name = row.text(0), let config = row.text(1), let size = row.integer(6), let updated = row.integer(7)
        else { return nil }
        let variants = try transaction.query(
            """
            SELECT platform, config, manifest, manifest_type, manifest_size, size FROM image_variants WHERE name = ?
            ORDER BY platform
            """,
            [.text(name)]
        )
        return ImageRecord(
            reference: try Reference(name),
            config: try Digest(config),
            manifest: try manifest(row, 2),
            repositoryDigest: try row.text(5).map { try Digest($0) },
            size: size,
            updated: updated,
            isImplicit: row.integer(8) == 1,
            variants: try variants.compactMap(variant)
        )
    }

    private static func variant(_ row: SQLRow) throws -> ImageVariant? {
        guard let platform = row.text(0), let config = row.text(1), let size = row.integer(5) else { return nil }
        return ImageVariant(
            platform: try Platform(platform),
            config: try Digest(config),
            manifest: try manifest(row, 2),
            size: size
        )
    }

    /// A descriptor in three columns from `first` on.
    private static func manifest(_ row: SQLRow, _ first: Int) throws -> Descriptor? {
        guard let digest = row.text(first), let type = row.text(first + 1), let size = row.integer(first + 2) else {
            return nil
        }
        return Descriptor(mediaType: MediaType(type), digest: try Digest(digest), size: size)
    }
}
