// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import Content
import GalleyTesting
import LinuxSystem
import OCI
import Solver
import Testing

@Suite(.timeLimit(.minutes(1))) struct StepHistoryTests {
    private let scratch: ScratchDirectory
    private let database: MetadataDatabase
    private let place = BuildPlace(context: "/c", dockerfile: "/c/Dockerfile", platform: "linux/amd64")

    init() throws {
        scratch = try ScratchDirectory()
        database = try MetadataDatabase(path: scratch.file("galley.db").description, schemas: [StepHistory.schema])
    }

    private func facts(_ name: String) -> StepFacts {
        var facts = StepFacts(
            id: VertexID(.sha256(name)),
            kind: .exec,
            name: name,
            stage: "s",
            instruction: "RUN \(name)",
            operation: "op"
        )
        facts.settings = [.init("user", ""), .init("user", "é\n")]
        facts.environment = ["A=1", "B="]
        facts.variables = ["V=1"]
        facts.arguments = ["A"]
        facts.content = ""
        facts.progress = .failed
        facts.inputs = [
            .init(id: facts.id, kind: .local, name: "i", role: "base", content: "c", identity: nil),
            .init(id: facts.id, kind: .merge, name: "j", role: "input", content: nil, identity: "1"),
        ]
        return facts
    }

    private func build(_ time: Int64, _ place: BuildPlace? = nil, _ names: [String] = ["a"]) -> RecordedBuild {
        RecordedBuild(
            place: place ?? self.place,
            target: nil,
            time: time,
            succeeded: true,
            steps: names.map {
                StepRecord(name: $0, stage: "s", outcome: .ran, reason: StepReason(.noCache, "s", details: ["d", "é"]))
            } + [StepRecord(name: "f", stage: "", outcome: .notReached)]
        )
    }

    private func rows(_ table: String) throws -> Int64? {
        try database.read { try $0.query("SELECT count(*) FROM \(table)").first?.integer(0) }
    }

    private func record(
        _ history: StepHistory,
        _ build: RecordedBuild,
        _ manifests: [KeptManifest] = [],
        _ merge: ([StageFacts]) -> [StageFacts] = { $0 }
    ) throws {
        try history.record(build, fingerprint: .sha256("f"), manifests: manifests, merge: merge)
    }

    @Test func everythingComesBack() throws {
        let history = StepHistory(database)
        #expect(try history.stages(place) == nil)
        #expect(try history.builds() == [])
        let stages = [
            StageFacts(name: "s", updated: 7, steps: [facts("a"), facts("b")]),
            StageFacts(name: "", updated: 5, steps: []),
        ]
        try record(history, build(100)) { kept in
            #expect(kept == [])
            return stages
        }
        #expect(try history.stages(place) == stages)
        #expect(try history.builds() == [build(100)])
        try record(history, build(200)) { kept in
            #expect(kept == stages)
            return []
        }
        #expect(try history.stages(place) == [])
        #expect(try history.builds(limit: 9).map(\.time) == [200, 100])
    }

    @Test func aBuildThatFindsEverythingIsARowLess() throws {
        let history = StepHistory(database)
        #expect(try !history.noteFound(place, fingerprint: .sha256("f"), time: 50))
        try record(history, build(100))
        #expect(try !history.noteFound(place, fingerprint: .sha256("other"), time: 150))
        #expect(try history.builds()[0].steps[0].outcome == .ran)
        #expect(try history.noteFound(place, fingerprint: .sha256("f"), time: 200))
        let last = try history.builds()[0]
        #expect(last.time == 200 && last.steps.map(\.outcome) == [.found, .found] && last.steps[0].reason == nil)
        #expect(try rows("step_builds") == 1)
        try record(history, build(300))
        #expect(try history.builds()[0].steps[0].outcome == .ran)
    }

    @Test func placesAreApart() throws {
        let history = StepHistory(database)
        var arm = place
        arm.platform = "linux/arm64"
        var other = place
        other.context = "/d"
        try record(history, build(1, place)) { _ in [StageFacts(name: "amd", updated: 1, steps: [])] }
        try record(history, build(2, arm)) { _ in [StageFacts(name: "arm", updated: 1, steps: [])] }
        try record(history, build(3, other))
        #expect(try history.stages(place)?.map(\.name) == ["amd"])
        #expect(try history.stages(arm)?.map(\.name) == ["arm"])
        #expect(try history.platforms(place) == ["linux/arm64", "linux/amd64"])
        #expect(try history.builds(context: "/c").first?.place == arm)
        #expect(try history.builds(platform: "linux/amd64").first?.place == other)
        #expect(try history.builds(dockerfile: "/nothing") == [])
    }

    // MARK: Bounds

    @Test func buildsAndPlacesAreBounded() throws {
        var limits = StepHistory.Limits()
        limits.builds = 3
        limits.places = 2
        limits.age = 1000
        let history = StepHistory(database, limits: limits)
        for number in 0..<10 {
            try record(
                history,
                build(Int64(number), BuildPlace(context: "/\(number / 2)", dockerfile: "D", platform: "p"))
            )
        }
        #expect(try rows("step_builds") == 3)
        #expect(try rows("step_places") == 2)
        #expect(try rows("step_states") == 2)
        #expect(try history.builds(limit: 9).map(\.time) == [9, 8, 7])
        try record(history, build(2000))
        #expect(try history.builds(limit: 9).map(\.time) == [2000])
        #expect(try rows("step_states") == 1)
    }

    @Test func theirSizeIsBounded() throws {
        var limits = StepHistory.Limits()
        limits.buildBytes = 1000
        limits.stages = 2
        let history = StepHistory(database, limits: limits)
        let large = (0..<100).map { "step number \($0)" }
        for number in 0..<5 {
            try record(history, build(Int64(number), nil, large)) { _ in
                (0..<5).map { StageFacts(name: "\($0)", updated: Int64($0), steps: []) }
            }
        }
        // The last one is always there.
        #expect(try history.builds(limit: 9).map(\.time) == [4])
        #expect(try history.stages(place)?.map(\.name) == ["4", "3"])
    }

    @Test func manifestsAreWrittenOnceAndBounded() throws {
        let history = StepHistory(database)
        let calls = Monitor(0)
        func manifest(_ number: Int, _ directory: String = "/c") -> KeptManifest {
            KeptManifest(directory: directory, digest: .sha256("\(number)")) {
                calls.withLock { $0 += 1 }
                return [UInt8(number)]
            }
        }
        for number in [1, 2, 1, 1] { try record(history, build(1), [manifest(number)]) }
        #expect(calls.withLock { $0 } == 2)
        try record(history, build(1), [manifest(9, "/d")])
        // The one that was used last stays.
        for number in [3, 4, 1, 5] { try record(history, build(1), [manifest(number)]) }
        for (number, isKept) in [(1, true), (2, false), (3, true), (4, true), (5, true)] {
            #expect(try history.manifest("/c", .sha256("\(number)")) == (isKept ? [UInt8(number)] : nil))
        }
        #expect(try history.manifest("/d", .sha256("9")) == [9])
        #expect(try rows("context_manifest_data") == 5)
    }

    @Test func allManifestsTogetherAreBounded() throws {
        var limits = StepHistory.Limits()
        limits.manifestBytes = 1000
        let history = StepHistory(database, limits: limits)
        for number in 0..<20 {
            let size = number == 19 ? 251 : 200
            let manifest = KeptManifest(directory: "/\(number)", digest: .sha256("")) {
                [UInt8](repeating: 0, count: size)
            }
            try record(history, build(1), [manifest])
        }
        #expect(try rows("context_manifests") == 5)
        #expect(try rows("context_manifest_data") == 5)
        #expect(try history.manifest("/18", .sha256("")) != nil)
        // One that would take more than a quarter of all is not kept.
        #expect(try history.manifest("/19", .sha256("")) == nil)
    }

    // MARK: Damage

    @Test(arguments: ["step_states SET data", "step_builds SET steps"])
    func damagedDataCountsAsNone(_ column: String) throws {
        let history = StepHistory(database)
        try record(history, build(1)) { _ in [StageFacts(name: "s", updated: 1, steps: [facts("a")])] }
        let whole = try #require(
            try database.read { transaction in
                let words = column.split(separator: " ")
                return try transaction.query("SELECT \(words[2]) FROM \(words[0])").first?.blob(0)
            }
        )
        var damaged = (0..<whole.count).map { Array(whole.prefix($0)) }
        for index in whole.indices {
            var bytes = whole
            bytes[index] = ~bytes[index]
            damaged.append(bytes)
        }
        for bytes in damaged {
            try database.write { try $0.execute("UPDATE \(column) = ?", [.blob(bytes)]) }
            // Neither a trap nor an error; a text may read otherwise.
            _ = try history.stages(place)
            _ = try history.builds()
        }
        try database.write { try $0.execute("UPDATE \(column) = x'0102'") }
        #expect(try history.stages(place)?.first == nil || history.builds().isEmpty)
    }
}
