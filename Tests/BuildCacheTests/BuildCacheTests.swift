// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import Content
import GalleyTesting
import LinuxSystem
import OCI
import Solver
import Testing

struct TextValue: SolverValue, Equatable {
    var identity: CacheKey
    var text: String

    init(_ text: String, identity: String? = nil) {
        self.text = text
        self.identity = CacheKey(.sha256(identity ?? text))
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
        try MetadataDatabase(path: scratch.file("galley.db").description, schemas: [BuildCacheSchema.schema])
    }

    private func index(_ database: MetadataDatabase? = nil) -> LocalCacheIndex<TextValue> {
        LocalCacheIndex(
            database ?? self.database,
            codec: .init(
                encode: { $0.text == "transient" ? nil : Array($0.text.utf8) },
                decode: { [gone] payload, identity in
                    let text = String(decoding: payload, as: UTF8.self)
                    if gone.withLock({ $0.contains(text) }) { return nil }
                    var value = TextValue(text)
                    value.identity = identity
                    return value
                }
            )
        )
    }

    private let step = VertexInfo(id: VertexID(.sha256("step")), name: "[1/1] RUN make")

    private func key(_ text: String) -> CacheKey { CacheKey(.sha256("key \(text)")) }

    private func rows(_ table: String) throws -> Int64? {
        try database.read { try $0.query("SELECT count(*) FROM \(table)", []).first?.integer(0) }
    }

    @Test func findsWhatWasRecordedUnderEachKey() async throws {
        let index = index()
        #expect(try await index.lookup(key("a")) == nil)
        let value = TextValue("x", identity: "i")
        try await index.record(value, of: step, keys: [key("a"), key("b")])
        try await index.record(value, of: step, keys: [key("b"), key("c")])
        for name in ["a", "b", "c"] { #expect(try await index.lookup(key(name)) == value) }
        #expect(try rows("cache_records") == 1)
        try await index.record(TextValue("transient"), of: step, keys: [key("d")])
        #expect(try await index.lookup(key("d")) == nil)
    }

    @Test func replacesAndForgetsWhatNoKeyLeadsTo() async throws {
        let index = index()
        try await index.record(TextValue("1"), of: step, keys: [key("a"), key("b")])
        try await index.record(TextValue("2"), of: step, keys: [key("a")])
        #expect(try await index.lookup(key("a"))?.text == "2")
        #expect(try await index.lookup(key("b"))?.text == "1")
        #expect(try rows("cache_records") == 2)
        try await index.record(TextValue("2"), of: step, keys: [key("b")])
        #expect(try rows("cache_records") == 1)
        for number in 0..<50 { try await index.record(TextValue("n\(number)"), of: step, keys: [key("a"), key("b")]) }
        #expect(try rows("cache_records") == 1)
        #expect(try await index.lookup(key("b"))?.text == "n49")
    }

    @Test func dropsWhatIsGone() async throws {
        let index = index()
        try await index.record(TextValue("x"), of: step, keys: [key("a"), key("b")])
        try await index.record(TextValue("y"), of: step, keys: [key("c")])
        gone.withLock { _ = $0.insert("x") }
        #expect(try await index.lookup(key("a")) == nil)
        #expect(try rows("cache_records") == 1)
        #expect(try rows("cache_keys") == 1)
        gone.withLock { $0 = [] }
        #expect(try await index.lookup(key("b")) == nil)
        #expect(try await index.lookup(key("c")) != nil)
    }

    @Test(arguments: [
        "UPDATE cache_records SET identity = 'zz'", "UPDATE cache_records SET identity = ''",
        "DELETE FROM cache_records",
        "UPDATE cache_keys SET record = 999", "UPDATE cache_records SET payload = 5",
    ]) func damagedRowsCountAsNone(damage: String) async throws {
        let index = index()
        try await index.record(TextValue("x"), of: step, keys: [key("a")])
        try database.write { try $0.execute(damage, []) }
        #expect(try await index.lookup(key("a")) == nil)
        try await index.record(TextValue("x"), of: step, keys: [key("a")])
        #expect(try await index.lookup(key("a"))?.text == "x")
    }

    @Test func severalConnectionsAtOnce() async throws {
        let others = try (0..<3).map { _ in index(try Self.open(scratch)) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, index) in others.enumerated() {
                group.addTask {
                    for step in 0..<40 {
                        try await index.record(
                            TextValue("\(number) \(step)"),
                            of: self.step,
                            keys: [key("own \(number) \(step)"), key("\(step)")]
                        )
                        #expect(try await index.lookup(key("own \(number) \(step)"))?.text == "\(number) \(step)")
                        #expect(try await index.lookup(key("\(step)"))?.text.hasSuffix(" \(step)") == true)
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try rows("cache_records") == 120)
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

    @Test func fileDigestsSurvive() throws {
        let memory = FileDigestMemory(database)
        #expect(try memory.load("/a") == [:])
        let digests = Dictionary(uniqueKeysWithValues: (0..<1000).map { (fingerprint($0), Digest.sha256("\($0)")) })
        try memory.save("/a", digests)
        try memory.save("/b", [:])
        #expect(try FileDigestMemory(try Self.open(scratch)).load("/a") == digests)
        #expect(try memory.load("/b") == [:])
        try memory.save("/a", [fingerprint(1): .sha256("new")])
        #expect(try memory.load("/a") == [fingerprint(1): .sha256("new")])
    }

    @Test(arguments: ["x'00'", "x''", "NULL || 'text'", "5"]) func damagedDigestsCountAsNone(data: String) throws {
        let memory = FileDigestMemory(database)
        try memory.save("/a", [fingerprint(1): .sha256("1")])
        try? database.write { try $0.execute("UPDATE directory_digests SET data = \(data)", []) }
        let found = try memory.load("/a")
        #expect(found == [:] || data.hasPrefix("NULL"))
    }

    @Test func selectionDigests() throws {
        let memory = SelectionDigestMemory(database)
        let key = Digest.sha256("key")
        #expect(try memory.load(key) == nil)
        try memory.save(key, .sha256("1"))
        try memory.save(key, .sha256("2"))
        #expect(try memory.load(key) == .sha256("2"))
        try database.write { try $0.execute("UPDATE selection_digests SET digest = 'sha256:zz'", []) }
        #expect(try memory.load(key) == nil)
    }
}
