// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import LinuxSystem
import OCI
import Snapshots

/// The database: damaged, it is put aside, and a new one is made of the rows that can still be read.
extension StoreExamination {
    /// Whether there is a database that can be used now.
    mutating func examineDatabase() throws -> Bool {
        let path = Store.databasePath(root)
        guard try statusIfPresent(at: workingDirectory, path, following: true) != nil else {
            return try examineLostDatabase()
        }
        var alone: FileLock?
        if options.repairs { alone = try StoreRoot.exclusively(root) }
        return try withExtendedLifetime(alone) {
            let damaged = try DatabaseExamination(path: path.description, schemas: Store.schemas)
            guard let fault = damaged.faults.first else { return true }
            let problem = damaged.faults.count == 1 ? fault : "\(fault) (and \(damaged.faults.count - 1) more faults)"
            guard options.repairs else {
                try find("galley.db", "the database is damaged: \(problem)", advice: "run galley doctor to repair it")
                return false
            }
            guard alone != nil else {
                try find(
                    "galley.db",
                    "the database is damaged: \(problem)",
                    advice: "other galley processes use the store: run galley doctor again when they have ended"
                )
                return false
            }
            try rebuild(damaged, problem)
            return true
        }
    }

    private mutating func examineLostDatabase() throws -> Bool {
        let snapshots = try open(root.appending("snapshots"), [.directory])
        guard try !readDirectory(snapshots.raw).isEmpty else { return options.repairs }
        try find(
            "galley.db",
            "the database is gone, and with it the names of all images and the build cache",
            "made a new one",
            advice: "build and pull your images again"
        ) {}
        return options.repairs
    }

    private mutating func rebuild(_ damaged: DatabaseExamination, _ problem: String) throws {
        let path = Store.databasePath(root)
        let new = root.appending("galley.db.new")
        let copy = root.appending("galley.db.copy")
        func removeScratch() throws {
            for file in [new, copy] {
                for suffix in ["", "-wal", "-shm"] { try removeTree(RawPath(file.description + suffix)) }
            }
        }
        try removeScratch()
        defer { try? removeScratch() }
        let salvage = DatabaseSalvage([damaged, try damaged.withNewHeader(at: copy, Store.schemas)])
        let names = try salvage.write(to: new, firstLayer: try highestLayerDirectory() + 1)
        let suffix = ".damaged-\(FileTime.now.seconds)"
        isRebuilt = true
        try find(
            "galley.db",
            "the database is damaged: \(problem)",
            "put it aside as galley.db\(suffix), and made a new one with the \(names) names of images that could be read",
            advice:
                "the build cache begins anew; compare galley images with what you expect, and build or pull what is missing"
        ) {
            try MetadataDatabase.replace(path, with: new, suffix: suffix)
        }
    }

    private func highestLayerDirectory() throws -> Int64 {
        let directory = try open(root.appending("snapshots"), [.directory])
        return try readDirectory(directory.raw).compactMap { Int64($0.name.description) }.max() ?? 0
    }
}

/// What a damaged database still tells that can be proved with what is on disk: names, layers and blobs of layers.
struct DatabaseSalvage {
    private let images: [SQLRow]
    private let variants: [SQLRow]
    private let blobs: [SQLRow]
    private let layers: [SQLRow]
    private let chains: [SQLRow]

    /// - Parameter sources: the same database, seen in several ways.
    init(_ sources: [DatabaseExamination]) {
        func rows(of table: String, _ columns: [String]) -> [SQLRow] { sources.flatMap { $0.rows(of: table, columns) } }
        func isDigest(_ row: SQLRow, _ column: Int) -> Bool { row.text(column).flatMap { try? Digest($0) } != nil }
        images = rows(
            of: "images",
            [
                "name", "config", "manifest", "manifest_type", "manifest_size", "repository_digest", "size", "updated",
                "implicit",
            ]
        ).filter { row in
            row.text(0).flatMap { try? Reference($0) } != nil && isDigest(row, 1)
                && (row.text(2) == nil || isDigest(row, 2)) && (row.text(5) == nil || isDigest(row, 5))
                && [6, 7, 8].allSatisfy { row.integer($0) != nil }
        }
        let names = Set(images.compactMap { $0.text(0) })
        variants = rows(
            of: "image_variants",
            ["name", "platform", "config", "manifest", "manifest_type", "manifest_size", "size"]
        ).filter { row in
            row.text(0).map(names.contains) == true && row.text(1).flatMap { try? Platform($0) } != nil
                && isDigest(row, 2) && (row.text(3) == nil || isDigest(row, 3)) && row.integer(6) != nil
        }
        blobs = rows(of: "layer_blobs", ["diff_id", "digest", "media_type", "size"]).filter { row in
            isDigest(row, 0) && isDigest(row, 1) && row.text(2) != nil && row.integer(3) != nil
        }
        layers = rows(of: "snapshots", ["id", "diff_id", "size", "created", "used"]).filter { row in
            // Only what has a digest can be proved.
            isDigest(row, 1) && [0, 2, 3, 4].allSatisfy { row.integer($0) != nil }
        }
        let numbers = Set(layers.compactMap { $0.integer(0) })
        chains = rows(of: "chains", ["chain_id", "snapshot"]).filter { row in
            row.text(0) != nil && row.integer(1).map(numbers.contains) == true
        }
    }

    /// Makes a new database and returns how many names it has.
    ///
    /// - Parameter firstLayer: the lowest number that a new layer may get.
    func write(to path: RawPath, firstLayer: Int64) throws -> Int {
        let database = try MetadataDatabase(path: path.description, schemas: Store.schemas)
        try database.write { transaction in
            func insert(_ table: String, _ columns: String, _ rows: [SQLRow]) throws {
                for row in rows {
                    let marks = row.values.map { _ in "?" }.joined(separator: ",")
                    try transaction.execute("INSERT OR IGNORE INTO \(table) (\(columns)) VALUES (\(marks))", row.values)
                }
            }
            // A name is in two rows when its index was damaged: the newest counts.
            let newest = images.sorted { ($0.integer(7) ?? 0) > ($1.integer(7) ?? 0) }
            try insert(
                "images",
                "name, config, manifest, manifest_type, manifest_size, repository_digest, size, updated, implicit",
                newest
            )
            try insert(
                "image_variants",
                "name, platform, config, manifest, manifest_type, manifest_size, size",
                variants
            )
            try insert("layer_blobs", "diff_id, digest, media_type, size", blobs)
            try insert("snapshots", "id, diff_id, size, created, used", layers)
            try insert("chains", "chain_id, snapshot", chains)
            let highest = layers.compactMap { $0.integer(0) }.max() ?? 0
            try transaction.execute("DELETE FROM sqlite_sequence WHERE name = 'snapshots'")
            try transaction.execute(
                "INSERT INTO sqlite_sequence (name, seq) VALUES ('snapshots', ?)",
                [.integer(max(highest, firstLayer - 1))]
            )
        }
        // Its file alone will be moved.
        try database.emptyLog()
        return Set(images.filter { $0.integer(8) == 0 }.compactMap { $0.text(0) }).count
    }
}
