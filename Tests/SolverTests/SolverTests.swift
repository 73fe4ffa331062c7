// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
import Solver
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1))) struct SolverTests {
    private struct Broken: Error {}

    /// source -> a -> (b, c) -> d
    private func diamond(_ kitchen: FakeKitchen, revision: String = "", _ change: (inout FakeOp) -> Void = { _ in }) {
        kitchen.add("source") { $0.revision = revision }
        for (name, inputs) in [("a", ["source"]), ("b", ["a"]), ("c", ["a"]), ("d", ["b", "c"])] {
            kitchen.add(name, inputs, change)
        }
    }

    @Test func doesEachStepOnce() async throws {
        let kitchen = FakeKitchen()
        diamond(kitchen)
        try await kitchen.solve("d", "b", "d")
        for name in ["source", "a", "b", "c", "d"] {
            #expect(kitchen.journal.count("execute \(name)") == 1)
            #expect(kitchen.journal.count("key \(name)") >= 1)
        }
        #expect(kitchen.journal.announced.count == 4)
        #expect(kitchen.journal.announced.first == "a")
        #expect(kitchen.journal.announced.last == "d")
    }

    @Test func definitionHitMakesInputsUnnecessary() async throws {
        let kitchen = FakeKitchen()
        diamond(kitchen)
        try await kitchen.solve("d")
        let before = kitchen.index.count
        kitchen.clear()
        diamond(kitchen)
        try await kitchen.solve("d")
        #expect(kitchen.executed.isEmpty)
        #expect(kitchen.index.count == before + 1)
        #expect(kitchen.journal.announced.count == 4)
        #expect(kitchen.journal.announced.first == "a")
        #expect(kitchen.journal.announced.last == "d")
        #expect(kitchen.journal.count("unused source") >= 1)
    }

    @Test func equalIdentityStopsTheWave() async throws {
        let kitchen = FakeKitchen()
        diamond(kitchen) { $0.result = "same \($0.info.name)" }
        try await kitchen.solve("d")
        kitchen.clear()
        diamond(kitchen, revision: "changed") { $0.result = "same \($0.info.name)" }
        try await kitchen.solve("d")
        #expect(kitchen.executed == ["source", "a"])
        #expect(kitchen.journal.all.filter { $0.hasPrefix("cached") }.last == "cached d")
        // What was found is recorded under the new definition: the next time nothing runs at all.
        kitchen.clear()
        diamond(kitchen, revision: "changed") { $0.result = "same \($0.info.name)" }
        try await kitchen.solve("d")
        #expect(kitchen.executed.isEmpty)
    }

    @Test func equalContentStopsTheWave() async throws {
        let kitchen = FakeKitchen()
        for revision in ["1", "2"] {
            kitchen.clear()
            diamond(kitchen, revision: revision) { if $0.info.name == "a" { $0.reads = { _ in "read bytes" } } }
            try await kitchen.solve("d")
        }
        #expect(kitchen.executed == ["source"])
        #expect(kitchen.journal.count("cached") == 4)
    }

    @Test func firstTimeNothingIsCompared() async throws {
        let kitchen = FakeKitchen()
        diamond(kitchen)
        try await kitchen.solve("d")
        #expect(kitchen.journal.count("compare") == 0)
    }

    /// What lies below changed, and the step's own part is kept; what follows sees another whole and runs.
    @Test func movesWhatOnlyLiesOnItsInputs() async throws {
        let kitchen = FakeKitchen()
        for revision in ["1", "2", "3"] {
            kitchen.clear()
            diamond(kitchen, revision: revision) {
                $0.canRebase = $0.info.name == "b"
                if $0.info.name == "a" { $0.result = "a \(revision)" }
            }
            try await kitchen.solve("d")
        }
        #expect(kitchen.executed == ["source", "a", "c", "d"])
        #expect(kitchen.journal.count("rebased") == 1)
        #expect(kitchen.journal.all.contains("cached b"))
    }

    /// The newest former result could be moved; an older one fits as it is, and stops the wave.
    @Test func prefersWhatFitsToWhatCanBeMoved() async throws {
        let kitchen = FakeKitchen()
        for (revision, below) in [("1", "x"), ("2", "y"), ("3", "x")] {
            kitchen.clear()
            kitchen.add("source") { $0.revision = revision }
            kitchen.add("a", ["source"]) { $0.result = below }
            kitchen.add("b", ["a"]) { $0.canRebase = true }
            kitchen.add("c", ["b"])
            try await kitchen.solve("c")
            #expect(kitchen.journal.count("rebased") == (below == "y" ? 1 : 0), "revision \(revision)")
        }
        #expect(kitchen.executed == ["source", "a"])
    }

    @Test func runsAnewWhatIgnoresTheCacheAndWhatFollows() async throws {
        let kitchen = FakeKitchen()
        let runs = Mutex(0)
        for _ in 0..<2 {
            kitchen.clear()
            runs.withLock { $0 += 1 }
            let run = runs.withLock { $0 }
            diamond(kitchen) {
                $0.ignoresCache = $0.info.name == "b"
                if $0.info.name == "b" { $0.result = "run \(run)" }
            }
            try await kitchen.solve("d")
        }
        #expect(kitchen.executed == ["b", "d"])
        #expect(kitchen.journal.count("cached a") == 1)
        // Recorded all the same.
        kitchen.clear()
        diamond(kitchen)
        try await kitchen.solve("d")
        #expect(kitchen.executed.isEmpty)
    }

    @Test func ignoringTheCacheEndsWhereTheResultIsEqual() async throws {
        let kitchen = FakeKitchen()
        for _ in 0..<2 {
            kitchen.clear()
            diamond(kitchen) { $0.ignoresCache = $0.info.name == "b" }
            try await kitchen.solve("d")
        }
        #expect(kitchen.executed == ["b"])
    }

    @Test func resultThatMustNotBeReusedIsNotRecorded() async throws {
        let kitchen = FakeKitchen()
        diamond(kitchen) { $0.isReusable = $0.info.name != "a" }
        try await kitchen.solve("a")
        kitchen.clear()
        diamond(kitchen)
        try await kitchen.solve("a")
        #expect(kitchen.executed == ["source", "a"])
    }

    /// A source that changed while it was read is in all that was made of it, under keys that know nothing of that.
    @Test func nothingMadeOfSuchAResultIsRecordedEither() async throws {
        let kitchen = FakeKitchen()
        diamond(kitchen) { $0.isReusable = $0.info.name != "a" }
        try await kitchen.solve("d")
        kitchen.clear()
        diamond(kitchen)
        try await kitchen.solve("d")
        #expect(kitchen.executed == ["source", "a", "b", "c", "d"])
        kitchen.clear()
        diamond(kitchen)
        try await kitchen.solve("d")
        #expect(kitchen.executed.isEmpty)
    }

    @Test func independentStepsRunAtTheSameTime() async throws {
        let kitchen = FakeKitchen()
        let barrier = Barrier(20)
        kitchen.add("source")
        for number in 0..<20 { kitchen.add("\(number)", ["source"]) { $0.body = { try await barrier.arrive() } } }
        kitchen.add("all", (0..<20).map(String.init))
        try await kitchen.solve("all")
        #expect(kitchen.executed.count == 22)
    }

    /// The other step would wait for ever: only the failure can end it, also where one step waits for both.
    @Test(arguments: [["broken", "waiting"], ["waiting", "broken"], ["both"]])
    func failureCancelsTheRest(targets: [String]) async throws {
        let kitchen = FakeKitchen()
        let started = Barrier(2)
        let never = Barrier(2)
        let journal = kitchen.journal
        kitchen.add("source")
        kitchen.add("waiting", ["source"]) {
            $0.body = {
                do {
                    try await started.arrive()
                    try await never.arrive()
                } catch {
                    journal.add("cleaned up")
                    throw error
                }
            }
        }
        kitchen.add("broken", ["source"]) {
            $0.body = {
                try await started.arrive()
                throw Broken()
            }
        }
        kitchen.add("both", ["waiting", "broken"])
        do {
            _ = try await kitchen.solver().solve(targets.map(FakeKitchen.id))
            Issue.record("solved")
        } catch let failure as StepFailure {
            #expect(failure.vertex.name == "broken")
            #expect(failure.cause is Broken)
            journal.add("thrown")
        }
        #expect(journal.all.last == "thrown")
        for line in ["cleaned up", "cancelled waiting", "failed broken"] { #expect(journal.all.contains(line)) }
        #expect(!kitchen.executed.contains("both"))
    }

    @Test func nothingStartsAfterAFailure() async throws {
        let kitchen = FakeKitchen()
        let started = Barrier(2)
        let never = Barrier(2)
        kitchen.add("source")
        // Ends well although it was cancelled; the step above it must not begin.
        kitchen.add("stubborn", ["source"]) {
            $0.body = {
                try await started.arrive()
                try? await never.arrive()
            }
        }
        kitchen.add("next", ["stubborn"])
        kitchen.add("broken", ["source"]) {
            $0.body = {
                try await started.arrive()
                throw Broken()
            }
        }
        await #expect(throws: StepFailure.self) { try await kitchen.solve("broken", "next") }
        #expect(!kitchen.executed.contains("next"))
        await #expect(throws: (any Error).self) { try await kitchen.solver().solve([FakeKitchen.id("broken")]) }
    }

    @Test func failureOfAKeyNamesItsStep() async throws {
        let kitchen = FakeKitchen()
        kitchen.add("source") { $0.keyBody = { throw Broken() } }
        kitchen.add("a", ["source"])
        kitchen.add("b", ["a"])
        do {
            try await kitchen.solve("b")
            Issue.record("solved")
        } catch let failure as StepFailure {
            #expect(failure.vertex.name == "source")
        }
    }

    /// Cancelled while step `at` of a chain runs: everything is waited for and nothing above it begins.
    @Test(arguments: [0, 1, 5, 9]) func cancellationLeavesNothingRunning(at: Int) async throws {
        let kitchen = FakeKitchen()
        let reached = Barrier(2)
        let never = Barrier(2)
        kitchen.add("0") {
            if at == 0 {
                $0.body = {
                    try await reached.arrive()
                    try await never.arrive()
                }
            }
        }
        for step in 1..<10 {
            kitchen.add("\(step)", ["\(step - 1)"]) {
                if step == at {
                    $0.body = {
                        try await reached.arrive()
                        try await never.arrive()
                    }
                }
            }
        }
        let solver = kitchen.solver()
        let solving = Task { try await solver.solve([FakeKitchen.id("9")]) }
        try await reached.arrive()
        solving.cancel()
        await #expect(throws: CancellationError.self) { try await solving.value }
        let after = kitchen.journal.all
        #expect(kitchen.executed == Set((0...at).map(String.init)))
        #expect(
            kitchen.journal.count("started") == kitchen.journal.count("cancelled") + kitchen.journal.count("succeeded")
        )
        for _ in 0..<100 { await Task.yield() }
        #expect(kitchen.journal.all == after)
    }

    @Test func cancelledBeforeItBegins() async throws {
        let kitchen = FakeKitchen()
        diamond(kitchen)
        let solver = kitchen.solver()
        let gate = Barrier(2)
        let solving = Task {
            try? await gate.arrive()
            return try await solver.solve([FakeKitchen.id("d")])
        }
        solving.cancel()
        await #expect(throws: CancellationError.self) { try await solving.value }
        #expect(!kitchen.executed.contains("d"))
    }

    /// `shared` is below a step that is found and one that is not: it must not be shown as found and then run.
    @Test func inputOfAFoundStepThatRunsAfterAllIsAnnouncedOnce() async throws {
        let kitchen = FakeKitchen()
        func fill(_ gate: Barrier?) {
            kitchen.add("source")
            kitchen.add("shared", ["source"])
            kitchen.add("found", ["shared"])
            kitchen.add("late", ["shared"]) { if let gate { $0.keyBody = { try await gate.arrive() } } }
        }
        fill(nil)
        try await kitchen.solve("found")
        let source = CacheKey(.sha256("source  []"))
        kitchen.index.forget(CacheKey(.sha256("shared  \([source])")), "shared")
        kitchen.clear()
        let gate = Barrier(2)
        fill(gate)
        let solver = kitchen.solver()
        let solving = Task { try await solver.solve([FakeKitchen.id("found"), FakeKitchen.id("late")]) }
        while !kitchen.journal.all.contains("cached found") { await Task.yield() }
        try await gate.arrive()
        _ = try await solving.value
        #expect(kitchen.executed == ["source", "shared", "late"])
        #expect(kitchen.journal.announced == ["found", "shared", "late"])
    }

    // MARK: Size

    private func chain(_ kitchen: FakeKitchen, _ length: Int) {
        kitchen.add("0")
        for step in 1..<length { kitchen.add("\(step)", ["\(step - 1)"]) }
    }

    @Test func longChainsAndWideGraphs() async throws {
        let kitchen = FakeKitchen()
        chain(kitchen, 3000)
        try await kitchen.solve("2999")
        #expect(kitchen.executed.count == 3000)
        #expect(kitchen.journal.announced == (1..<3000).map(String.init))
        kitchen.clear()
        chain(kitchen, 3000)
        try await kitchen.solve("2999")
        #expect(kitchen.executed.isEmpty)
        #expect(kitchen.journal.announced == (1..<3000).map(String.init))
        kitchen.clear()
        kitchen.add("0")
        for step in 1...3000 { kitchen.add("w\(step)", ["0"]) }
        kitchen.add("all", (1...3000).map { "w\($0)" })
        try await kitchen.solve("all")
        #expect(kitchen.executed.count == 3002)
    }

    /// Four times the steps may take about four times as long, never sixteen: also when the end fails.
    @Test(arguments: [false, true]) func timeIsLinear(failing: Bool) async throws {
        func run(_ length: Int) async throws -> Duration {
            let kitchen = FakeKitchen()
            chain(kitchen, length)
            if failing { kitchen.add("end", ["\(length - 1)"]) { $0.body = { throw Broken() } } }
            return try await ContinuousClock().measure {
                if failing {
                    await #expect(throws: StepFailure.self) { try await kitchen.solve("end") }
                } else {
                    try await kitchen.solve("\(length - 1)")
                }
            }
        }
        _ = try await run(1000)
        let small = try await run(1000)
        let large = try await run(8000)
        #expect(large < small * 32, "\(small) for 1,000 steps, \(large) for 8,000")
    }
}
