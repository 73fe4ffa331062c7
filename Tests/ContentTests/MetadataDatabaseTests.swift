// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import GalleyTesting
import LinuxSystem
import OCI
import Testing

struct MetadataDatabaseTests {
    private let scratch: ScratchDirectory
    private let path: String

    init() throws {
        scratch = try ScratchDirectory()
        path = scratch.file("galley.db").description
    }

    private static let first = DatabaseSchema(
        name: "things",
        steps: ["CREATE TABLE things (a INTEGER, b TEXT, c BLOB)"]
    )
    private static let second = DatabaseSchema(
        name: "things",
        steps: first.steps + ["ALTER TABLE things ADD COLUMN d INTEGER DEFAULT 4; CREATE INDEX things_a ON things(a)"]
    )

    @Test func valuesSurviveAndSchemasGrow() throws {
        do {
            let database = try MetadataDatabase(path: path, schemas: [Self.first])
            try database.write { try $0.execute("INSERT INTO things VALUES (?, ?, ?)", [1, "ö", .blob([0, 255])]) }
        }
        let database = try MetadataDatabase(path: path, schemas: [Self.second])
        let rows = try database.read { try $0.query("SELECT a, b, c, d, NULL FROM things") }
        #expect(rows.count == 1)
        #expect(rows[0].integer(0) == 1)
        #expect(rows[0].text(1) == "ö")
        #expect(rows[0].blob(2) == [0, 255])
        #expect(rows[0].integer(3) == 4)
        #expect(rows[0].integer(4) == nil)
    }

    /// SQLite itself says what it was given: https://sqlite.org/lang_corefunc.html
    @Test(
        arguments: [
            (SQLValue.null, "null", "", nil),
            (.integer(.min), "integer", "2D39323233333732303336383534373735383038", 20),
            (.integer(.max), "integer", "39323233333732303336383534373735383037", 19),
            (.text(""), "text", "", 0),
            (.text("ö\0/"), "text", "C3B6002F", nil),
            (.blob([]), "blob", "", 0),
            (.blob([0, 255, 0x27]), "blob", "00FF27", 3),
        ] as [(SQLValue, String, String, Int64?)]
    )
    func everyValueIsStoredAsItself(value: SQLValue, type: String, hex: String, length: Int64?) throws {
        let database = try MetadataDatabase(path: path, schemas: [Self.first])
        try database.write { try $0.execute("INSERT INTO things (c) VALUES (?)", [value]) }
        let row = try #require(
            try database.read { try $0.query("SELECT c, typeof(c), hex(c), length(c) FROM things") }.first
        )
        #expect(row.values[0] == value)
        #expect(row.text(1) == type)
        #expect(row.text(2) == hex)
        if let length { #expect(row.integer(3) == length) }
    }

    /// What a damaged file holds in the place of a whole number is no reason to stop.
    @Test func otherNumbersBecomeTheNearest() throws {
        let database = try MetadataDatabase(path: path, schemas: [])
        let row = try #require(try database.read { try $0.query("SELECT 1.9, 1e300, -1e300, 'x' || x'ff'") }.first)
        #expect(row.values[..<3] == [1, .integer(.max), .integer(.min)])
        #expect(row.text(3) == "x\u{FFFD}")
    }

    @Test func anErrorNamesTheStatementAndSpoilsNothing() throws {
        let database = try MetadataDatabase(path: path, schemas: [Self.first])
        try database.write { try $0.execute("CREATE UNIQUE INDEX only ON things(a)") }
        let insert = "INSERT INTO things (a) VALUES (?)"
        for _ in 0..<2 {
            let error = #expect(throws: ContentError.self) {
                try database.write { transaction in
                    for value in [1, 2, 1] as [SQLValue] { try transaction.execute(insert, [value]) }
                }
            }
            #expect(error?.message.contains("UNIQUE constraint failed: things.a") == true)
            #expect(error?.message.contains(insert) == true)
        }
        // A name that is misspelt is no text.
        #expect(throws: ContentError.self) { try database.read { try $0.query("SELECT \"b0\" FROM things") } }
        let changes = try database.write { transaction in
            try transaction.execute(insert, [3])
            try transaction.execute("UPDATE things SET b = 'z'")
            return (transaction.lastInsertedID, transaction.changes)
        }
        #expect(changes == (1, 1))
        #expect(try database.read { try $0.query("SELECT a FROM things") }.map { $0.integer(0) } == [3])
    }

    /// SQLite undoes a transaction by itself when the disk is full or fails: what is caught must not hide that.
    @Test func nothingFollowsATransactionThatWasUndone() throws {
        let database = try MetadataDatabase(path: path, schemas: [Self.first])
        var refused = 0
        let error = #expect(throws: ContentError.self) {
            try database.write { transaction in
                try transaction.execute("INSERT INTO things (a) VALUES (1)")
                try transaction.execute("ROLLBACK")
                do { try transaction.execute("INSERT INTO things (a) VALUES (2)") } catch { refused += 1 }
                do { _ = try transaction.query("SELECT * FROM things") } catch { refused += 1 }
            }
        }
        #expect(refused == 2)
        #expect(error?.message.contains("the transaction was undone") == true)
        try database.write { try $0.execute("INSERT INTO things (a) VALUES (3)") }
        #expect(try database.read { try $0.query("SELECT a FROM things") }.map { $0.integer(0) } == [3])
    }

    @Test func manyOpenANewFileAtOnce() async throws {
        for round in 0..<30 {
            let path = scratch.file("new\(round).db").description
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        try await blocking { _ = try MetadataDatabase(path: path, schemas: [Self.second]) }
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test func aVersionThatCannotBeIsDamage() throws {
        do {
            let database = try MetadataDatabase(path: path, schemas: [Self.first])
            try database.write { try $0.execute("UPDATE schema_versions SET version = -2") }
        }
        #expect(throws: ContentError.self) { try MetadataDatabase(path: path, schemas: [Self.first]) }
        let examination = try DatabaseExamination(path: path, schemas: [Self.first])
        #expect(examination.faults == ["the version of the things tables is -2"])
    }

    @Test func aStatementIsOneAndGetsItsArguments() async {
        for (sql, count) in [("SELECT 1; SELECT 2", 0), ("SELECT ?", 0), ("SELECT ?", 2)] {
            await #expect(processExitsWith: .failure) { [sql = sql as String, count = count as Int] in
                let values = [SQLValue](repeating: 1, count: count)
                let database = try MetadataDatabase(path: "", schemas: [])
                _ = try? database.read { try $0.query(sql, values) }
            }
        }
    }

    @Test func aConnectionIsNotEnteredTwice() async {
        await #expect(processExitsWith: .failure) {
            let database = try MetadataDatabase(path: "", schemas: [])
            _ = try? database.read { _ in try database.read { try $0.query("SELECT 1") } }
        }
    }

    @Test func threadsUseAConnectionInTurn() async throws {
        let database = try MetadataDatabase(path: path, schemas: [Self.first])
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<64 {
                group.addTask {
                    try await blocking {
                        try database.write { transaction in
                            let count = try transaction.query("SELECT count(*) FROM things")[0].integer(0)
                            try transaction.execute(
                                "INSERT INTO things VALUES (?, ?, NULL)",
                                [SQLValue(count), .text(String(number))]
                            )
                        }
                        _ = try database.read { try $0.query("SELECT b FROM things ORDER BY a") }
                    }
                }
            }
            try await group.waitForAll()
        }
        let rows = try database.read { try $0.query("SELECT a FROM things ORDER BY a") }
        #expect(rows.map { $0.integer(0) } == (0..<64).map { Int64($0) })
    }

    @Test func aNewerStoreIsLeftAlone() throws {
        _ = try MetadataDatabase(path: path, schemas: [Self.second])
        #expect {
            _ = try MetadataDatabase(path: path, schemas: [Self.first])
        } throws: {
            ($0 as? ContentError)?.code == .newerStore
        }
    }

    @Test func aFailedTransactionChangesNothing() throws {
        struct Stop: Error {}
        let database = try MetadataDatabase(path: path, schemas: [Self.first])
        #expect(throws: Stop.self) {
            try database.write { transaction in
                try transaction.execute("INSERT INTO things (a) VALUES (1)")
                throw Stop()
            }
        }
        #expect(try database.read { try $0.query("SELECT * FROM things") }.isEmpty)
    }

    @Test func twoConnectionsWriteInTurns() async throws {
        let databases = try (0..<2).map { _ in try MetadataDatabase(path: path, schemas: [Self.first]) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for database in databases {
                group.addTask {
                    for number in 0..<50 {
                        try database.write {
                            try $0.execute("INSERT INTO things (a) VALUES (?)", [.integer(Int64(number))])
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try databases[0].read { try $0.query("SELECT count(*) FROM things") }.first?.integer(0) == 100)
    }

    private var logSize: Int64 { (try? status(at: workingDirectory, RawPath(path + "-wal")).size) ?? 0 }

    /// The last one out does not wait for the disk, and the next one finds everything.
    @Test func closingLeavesTheLog() throws {
        do {
            let database = try MetadataDatabase(path: path, schemas: [Self.first])
            try database.write { try $0.execute("INSERT INTO things (a) VALUES (7)") }
            database.close()
        }
        #expect(logSize > 0)
        let database = try MetadataDatabase(path: path, schemas: [Self.first])
        #expect(try database.read { try $0.query("SELECT a FROM things") }.map { $0.integer(0) } == [7])
    }

    @Test func closingEmptiesALongLog() throws {
        do {
            let database = try MetadataDatabase(path: path, schemas: [Self.first])
            let content = [UInt8](repeating: 9, count: 3 << 20)
            try database.write { try $0.execute("INSERT INTO things (c) VALUES (?)", [.blob(content)]) }
            database.close()
        }
        #expect(logSize == 0)
        let database = try MetadataDatabase(path: path, schemas: [Self.first])
        #expect(try database.read { try $0.query("SELECT length(c) FROM things") }.first?.integer(0) == 3 << 20)
    }

    /// What was written last is in the log only, also when the file has lost its beginning.
    @Test func aDamagedFileIsReadWithItsLog() throws {
        do {
            let database = try MetadataDatabase(path: path, schemas: [Self.first])
            try database.write { try $0.execute("INSERT INTO things (a) VALUES (1)") }
            try database.emptyLog()
            try database.write { try $0.execute("INSERT INTO things (a) VALUES (2)") }
            database.close()
        }
        let file = try open(RawPath(path), .readWrite)
        try writeBytes(file.raw, [UInt8](repeating: 0xee, count: 4096))
        let damaged = try DatabaseExamination(path: path, schemas: [Self.first])
        let copy = try damaged.withNewHeader(at: scratch.file("copy.db"), [Self.first])
        #expect(copy.rows(of: "things", ["a"]).compactMap { $0.integer(0) }.sorted() == [1, 2])
    }

    @Test func aFileThatIsNoDatabaseIsAnError() throws {
        try replaceFile(scratch.file("galley.db"), [UInt8](repeating: 0x78, count: 8192))
        #expect(throws: ContentError.self) { try MetadataDatabase(path: path, schemas: [Self.first]) }
    }
}

struct ImageStoreTests {
    private let scratch: ScratchDirectory
    private let images: ImageStore

    init() throws {
        scratch = try ScratchDirectory()
        let path = scratch.file("galley.db").description
        images = ImageStore(try MetadataDatabase(path: path, schemas: [ImageStore.schema]))
    }

    private func record(_ name: String, _ config: String, updated: Int64 = 1) throws -> ImageRecord {
        ImageRecord(reference: try Reference(name), config: .sha256(config), size: 5, updated: updated)
    }

    /// Tags of one second too are in the order in which they were set, and a name keeps all its platforms.
    @Test func theNewestTagIsFirst() throws {
        let arm = Platform(os: "linux", architecture: "arm64")
        let variant = ImageVariant(platform: arm, config: .sha256("arm"), size: 2)
        for name in ["b", "c", "a", "b"] {
            try images.set(
                ImageRecord(
                    reference: Reference(name),
                    config: .sha256(name),
                    size: 1,
                    updated: 7,
                    variants: name == "b" ? [variant] : []
                )
            )
        }
        #expect(try images.all().map(\.reference.familiarName) == ["b", "a", "c"])
        #expect(try images.find(Reference("b"))?.variants == [variant])
        #expect(try images.find(Reference("a"))?.variants == [])
        // Setting the name anew is for all its platforms.
        try images.set(ImageRecord(reference: Reference("b"), config: .sha256("b"), size: 1, updated: 7))
        #expect(try images.find(Reference("b"))?.variants == [])
    }

    @Test func tagsAreFoundMovedAndRemoved() throws {
        try images.set(record("app", "one"))
        try images.set(record("app:2", "two", updated: 2))
        #expect(try images.find(Reference("docker.io/library/app:latest"))?.config == .sha256("one"))
        try images.set(record("app", "two", updated: 3))
        #expect(try images.all().map(\.reference.familiar) == ["app:latest", "app:2"])
        #expect(try images.find(idPrefix: String(Digest.sha256("two").hex.prefix(7))).count == 2)
        #expect(try images.find(idPrefix: "zz") == [])
        #expect(try images.remove(Reference("app")))
        #expect(try !images.remove(Reference("app")))
        #expect(try images.find(Reference("app")) == nil)
    }

    @Test func aDigestFindsItsRepositorysTag() throws {
        var pulled = try record("example.com/a/b:1", "one")
        pulled.manifest = Descriptor(mediaType: .ociManifest, digest: .sha256("manifest"), size: 8)
        pulled.repositoryDigest = .sha256("index")
        try images.set(pulled)
        for digest in ["manifest", "index"] {
            let name = "example.com/a/b@\(Digest.sha256(digest))"
            #expect(try images.find(Reference(name)) == pulled)
        }
        #expect(try images.find(Reference("example.com/other@\(Digest.sha256("index"))")) == nil)
    }

    @Test func layerBlobsAreRemembered() throws {
        let diffID = DiffID(.sha256("tar"))
        let blobs = ["a", "b"].map { Descriptor(mediaType: .ociLayerGzip, digest: .sha256($0), size: 1) }
        for blob in blobs + blobs { try images.addLayerBlob(diffID, blob) }
        #expect(Set(try images.layerBlobs(diffID)) == Set(blobs))
        #expect(try images.layerBlobs(DiffID(.sha256("other"))).isEmpty)
    }
}
