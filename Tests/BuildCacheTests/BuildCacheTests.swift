// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import GalleyTesting
import LinuxSystem
import OCI
import Solver
import Testing

@testable import BuildCache

struct TextValue: SolverValue, Equatable {
    var text: String

    init(_ text: String) { self.text = text }
}

/// Everybody has every claim: what claims are for is tested elsewhere.
struct NoClaims: StepClaims {
    func withClaim<R: Sendable>(
        _ name: String,
        waiting: @Sendable () async -> Void,
        _ body: @Sendable () async throws -> R
    ) async throws -> R {
        try await body()
    }
}

@Suite(.timeLimit(.minutes(1))) struct BuildCacheTests {
    private let scratch: ScratchDirectory
    private let database: MetadataDatabase
    /// Texts whose data is gone.
    private let gone = Monitor<Set<String>>([])

    init() throws {
        scratch = try ScratchDirectory()
        database = try Self.open(scratch)
    }

    private static func open(_ scratch: ScratchDirectory) throws -> MetadataDatabase {
        try MetadataDatabase(
            path: scratch.file("galley.db").description,
            schemas: [BuildCacheSchema.schema, WebMemory.schema]
        )
    }

    private func index(_ database: MetadataDatabase? = nil) -> LocalCacheIndex<TextValue> {
        LocalCacheIndex(
            database ?? self.database,
            codec: .init(
                encode: { $0.text == "transient" ? nil : Array($0.text.utf8) },
                decode: { [gone] payload in
                    let text = String(decoding: payload, as: UTF8.self)
                    return gone.withLock { $0.contains(text) } ? nil : TextValue(text)
                },
                encodeInput: { Array($0.text.utf8) },
                decodeInput: { $0 == Array("damaged".utf8) ? nil : TextValue(String(decoding: $0, as: UTF8.self)) }
            ),
            claims: NoClaims()
        )
    }

    private let step = RecordedStep(
        VertexInfo(id: VertexID(.sha256("step")), name: "[1/1] RUN make"),
        operation: CacheKey(.sha256("make"))
    )

    private func key(_ text: String) -> CacheKey { CacheKey(.sha256("key \(text)")) }

    private func rows(_ table: String) throws -> Int64? {
        try database.read { try $0.query("SELECT count(*) FROM \(table)", []).first?.integer(0) }
    }

    private func record(
        _ text: String,
        _ names: String...,
        of operation: String = "make",
        from inputs: [String] = []
    ) async throws {
        var step = step
        step.operation = CacheKey(.sha256(operation))
        for name in names {
            try await index().record(TextValue(text), of: step, inputs: inputs.map(TextValue.init), key: key(name))
        }
    }

    @Test func findsWhatWasRecordedUnderEachKey() async throws {
        let index = index()
        #expect(try await index.lookup(key("a")) == nil)
        try await record("x", "a", "b", "b", "c")
        for name in ["a", "b", "c"] { #expect(try await index.lookup(key(name))?.text == "x") }
        #expect(try rows("cache_records") == 1)
        try await record("transient", "d")
        #expect(try await index.lookup(key("d")) == nil)
    }

    @Test func replacesAndForgetsWhatNothingLeadsTo() async throws {
        let index = index()
        try await record("1", "a", "b")
        try await record("2", "a")
        #expect(try await index.lookup(key("a"))?.text == "2")
        #expect(try await index.lookup(key("b"))?.text == "1")
        #expect(try rows("cache_records") == 2)
        try await record("2", "b")
        #expect(try rows("cache_records") == 1)
        for number in 0..<50 { try await record("n\(number)", "a", "b") }
        #expect(try rows("cache_records") == 1)
        #expect(try await index.lookup(key("b"))?.text == "n49")
    }

    // MARK: What results were made of

    private func former(_ operation: String) async throws -> [(inputs: [String], result: String?)] {
        let index = index()
        var result: [(inputs: [String], result: String?)] = []
        for former in try await index.formerResults(of: CacheKey(.sha256(operation))) {
            result.append((former.inputs.map(\.text), try await index.result(former)?.text))
        }
        return result
    }

    @Test func tellsWhatAnOperationMadeNewestFirst() async throws {
        #expect(try await former("make").isEmpty)
        try await record("1", "a", from: ["x", ""])
        try await record("2", "b", from: ["y", "z"])
        try await record("other", "c", of: "other", from: ["x"])
        var found = try await former("make")
        #expect(found.map(\.inputs) == [["y", "z"], ["x", ""]])
        #expect(found.map(\.result) == ["2", "1"])
        // Made anew: the newest is looked at first.
        try await record("1", "d", from: ["x", ""])
        found = try await former("make")
        #expect(found.map(\.result) == ["1", "2"])
        // Another result for the same inputs takes the place of the former one.
        try await record("3", "a", "d", from: ["x", ""])
        #expect(try await former("make").map(\.result) == ["3", "2"])
        #expect(try await index().lookup(key("a"))?.text == "3")
        #expect(try rows("cache_records") == 3)
    }

    @Test func keepsABoundedNumberOfAnOperation() async throws {
        for number in 0..<50 { try await record("n\(number)", "same", from: ["\(number)"]) }
        let found = try await former("make")
        #expect(found.count == 32)
        #expect(found.first?.result == "n49")
        #expect(found.last?.result == "n18")
        #expect(try rows("cache_records") == 32)
    }

    /// Numbers of records are given out again; what was found under one must not turn into another.
    @Test func anotherRecordWithTheNumberIsNotTheResult() async throws {
        try await record("mine", "a", from: ["in"])
        let former = try #require(try await index().formerResults(of: CacheKey(.sha256("make"))).first)
        let catalogue = CacheCatalogue(database)
        let number = try catalogue.records().map(\.id)
        _ = try catalogue.remove(number)
        try await record("another's", "b", of: "other", from: ["in"])
        #expect(try catalogue.records().map(\.id) == number)
        #expect(try await index().result(former) == nil)
        #expect(try await index().lookup(key("b"))?.text == "another's")
    }

    @Test func forgetsOriginsOfWhatIsGone() async throws {
        try await record("x", "a", from: ["in"])
        try await record("y", "b", from: ["damaged"])
        #expect(try await former("make").map(\.inputs) == [["in"]])
        gone.withLock { _ = $0.insert("x") }
        #expect(try await former("make").map(\.result) == [nil])
        #expect(try await former("make").isEmpty)
        #expect(try rows("cache_origins") == 1)
    }

    @Test func theCatalogueTellsWhatMadeARecordAndRemovesItsKeys() async throws {
        let index = index()
        let catalogue = CacheCatalogue(database)
        try await record("x", "a", "b", from: ["in"])
        try await record("y", "c", from: ["other"])
        for _ in 0..<3 { #expect(try await index.lookup(key("b")) != nil) }
        let records = try catalogue.records()
        #expect(records.map { String(decoding: $0.payload, as: UTF8.self) } == ["x", "y"])
        #expect(records.map(\.uses) == [4, 1])
        #expect(records.map(\.description) == ["[1/1] RUN make", "[1/1] RUN make"])
        #expect(records.allSatisfy { $0.used >= $0.created })
        #expect(try catalogue.remove([records[0].id, 999]) == 1)
        #expect(try await index.lookup(key("a")) == nil)
        #expect(try rows("cache_keys") == 1)
        #expect(try rows("cache_origins") == 1)
        #expect(try await index.lookup(key("c")) != nil)
    }

    @Test func memoriesAreListedAndForgotten() throws {
        let catalogue = CacheCatalogue(database)
        #expect(try catalogue.memories().isEmpty)
        let print = FileFingerprint(
            device: 1,
            inode: 2,
            size: 3,
            modifiedSeconds: 4,
            modifiedNanoseconds: 5,
            changedSeconds: 6,
            changedNanoseconds: 7
        )
        try FileDigestMemory(database).save("/some/where", [FileDigests.Element(print, .sha256("x"))])
        try SelectionDigestMemory(database).save(.sha256("k"), .sha256("d"))
        let memories = try catalogue.memories()
        #expect(memories.count == 2)
        #expect(memories.allSatisfy { $0.size > 80 })
        guard case .directory("/some/where") = memories[0].kind, case .selections = memories[1].kind else {
            throw ProgramFailure(description: "\(memories)")
        }
        for memory in memories { try catalogue.forget(memory.kind) }
        #expect(try catalogue.memories().isEmpty)
        #expect(try FileDigestMemory(database).load("/some/where").isEmpty)
    }

    @Test func dropsWhatIsGone() async throws {
        let index = index()
        try await record("x", "a", "b", from: ["1"])
        try await record("y", "c", from: ["2"])
        gone.withLock { _ = $0.insert("x") }
        #expect(try await index.lookup(key("a")) == nil)
        #expect(try rows("cache_records") == 1)
        #expect(try rows("cache_keys") == 1)
        gone.withLock { $0 = [] }
        #expect(try await index.lookup(key("b")) == nil)
        #expect(try await index.lookup(key("c")) != nil)
    }

    @Test(arguments: [
        "DELETE FROM cache_records",
        "UPDATE cache_keys SET record = 999", "UPDATE cache_records SET payload = 5",
    ]) func damagedRowsCountAsNone(damage: String) async throws {
        let index = index()
        try await record("x", "a")
        try database.write { try $0.execute(damage, []) }
        #expect(try await index.lookup(key("a")) == nil)
        try await record("x", "a")
        #expect(try await index.lookup(key("a"))?.text == "x")
    }

    @Test func severalConnectionsAtOnce() async throws {
        let others = try (0..<3).map { _ in index(try Self.open(scratch)) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, index) in others.enumerated() {
                group.addTask {
                    for step in 0..<40 {
                        for name in ["own \(number) \(step)", "\(step)"] {
                            try await index.record(
                                TextValue("\(number) \(step)"),
                                of: self.step,
                                inputs: [TextValue("\(number) \(step)")],
                                key: key(name)
                            )
                        }
                        #expect(try await index.lookup(key("own \(number) \(step)"))?.text == "\(number) \(step)")
                        #expect(try await index.lookup(key("\(step)"))?.text.hasSuffix(" \(step)") == true)
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try rows("cache_keys") == 160)
        #expect(try rows("cache_origins") == 32)
    }

    // MARK: Digests

    private func fingerprint(_ number: UInt64) -> FileFingerprint {
        FileFingerprint(
            device: number,
            inode: .max - number,
            size: .max,
            modifiedSeconds: -1,
            modifiedNanoseconds: 999_999_999,
            changedSeconds: .min,
            changedNanoseconds: 7
        )
    }

    private func digests(_ numbers: Range<UInt64>) -> FileDigests {
        FileDigests(numbers.map { FileDigests.Element(fingerprint($0), .sha256("\($0)")) })
    }

    @Test(arguments: [1, 31, 32, 33, 100] as [UInt64]) func fileDigestsSurvive(count: UInt64) throws {
        let memory = FileDigestMemory(database, filesInRow: 32)
        #expect(try memory.load("/a").isEmpty)
        try memory.save("/a", digests(0..<count))
        try memory.save("/b", FileDigests())
        let found = try FileDigestMemory(try Self.open(scratch)).load("/a")
        #expect(found == digests(0..<count))
        #expect(Array(found).last == FileDigests.Element(fingerprint(0), .sha256("0")))
        #expect(try memory.load("/b").isEmpty)
        #expect(try rows("file_digests") == Int64((count + 31) / 32))
        try memory.save("/a", digests(1..<2))
        #expect(try memory.load("/a") == digests(1..<2))
        #expect(try rows("file_digests") == 1)
    }

    @Test func findsFileDigests() throws {
        let digests = FileDigests(digests(0..<100).shuffled() + digests(10..<20))
        #expect(digests.count == 100)
        for (index, element) in digests.enumerated() {
            for near in [-1, 0, index, index + 1, 99, 100] {
                #expect(digests.index(of: element.fingerprint, near: near) == index)
            }
            var other = element.fingerprint
            other.changedNanoseconds += 1
            #expect(digests.index(of: other, near: index) == nil)
            other = element.fingerprint
            other.device = .max
            #expect(digests.index(of: other, near: index) == nil)
        }
        #expect(FileDigests().index(of: fingerprint(0), near: 0) == nil)
    }

    /// Of three rows one is damaged, or is sound but not in its place: the others count.
    @Test(arguments: [
        "data = x'00'", "data = x''", "data = 5", "data = 'text'", "data = zeroblob(80)", "data = zeroblob(2560)",
        "data = substr(data, 1, 800)", "data = data || zeroblob(80)", "checksum = checksum + 1", "checksum = 'text'",
        "data = (SELECT data FROM file_digests WHERE number = 0)", "directory = 99", "number = 77",
        "(checksum, data) = (SELECT checksum, data FROM file_digests WHERE number = 0)",
    ])
    func damagedDigestsCountAsNone(damage: String) throws {
        let memory = FileDigestMemory(database, filesInRow: 32)
        try memory.save("/a", digests(0..<96))
        try database.write {
            try $0.execute("INSERT INTO directory_digests VALUES (99, '/other', 0)", [])
            try $0.execute("UPDATE file_digests SET \(damage) WHERE number = 1", [])
        }
        let found = try memory.load("/a")
        let whole = Array(digests(0..<96))
        #expect(found.count == 64)
        #expect(Array(found) == Array(whole[..<32] + whole[64...]))
    }

    /// Digests in the former form are forgotten, and the files read once more.
    @Test func digestsOfTheFormerFormAreForgotten() throws {
        let path = scratch.file("old.db").description
        let former = DatabaseSchema(name: "cache", steps: Array(BuildCacheSchema.schema.steps.prefix(3)))
        try MetadataDatabase(path: path, schemas: [former]).write {
            try $0.execute("INSERT INTO directory_digests VALUES ('/a', zeroblob(880), 0)", [])
            try $0.execute("INSERT INTO selection_digests (key, digest) VALUES ('k', 'd')", [])
        }
        let database = try MetadataDatabase(path: path, schemas: [BuildCacheSchema.schema, WebMemory.schema])
        let memory = FileDigestMemory(database)
        #expect(try memory.load("/a").isEmpty)
        try memory.save("/a", digests(0..<3))
        #expect(try memory.load("/a") == digests(0..<3))
        #expect(try CacheCatalogue(database).memories().count == 2)
    }

    @Test func digestsOutOfOrderAreForgotten() throws {
        let memory = FileDigestMemory(database)
        try memory.save("/a", digests(0..<3).reversed())
        #expect(try memory.load("/a").isEmpty)
    }

    @Test func selectionDigests() throws {
        let memory = SelectionDigestMemory(database)
        let key = Digest.sha256("key")
        #expect(try memory.load(key) == nil)
        try memory.save(key, .sha256("1"))
        try memory.save(key, .sha256("2"))
        #expect(try memory.load(key) == .sha256("2"))
        #expect(memory.recall(key) == .sha256("2"))
        // Another process asks the database, and then itself.
        let other = SelectionDigestMemory(database)
        #expect(other.recall(key) == nil)
        #expect(try other.load(key) == .sha256("2"))
        #expect(other.recall(key) == .sha256("2"))
        try database.write { try $0.execute("UPDATE selection_digests SET digest = 'sha256:zz'", []) }
        #expect(try SelectionDigestMemory(database).load(key) == nil)
    }
}
