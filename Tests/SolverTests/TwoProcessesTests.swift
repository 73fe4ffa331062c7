// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Solver
import Testing

/// Two processes that share an index and need the same step at the same time.
struct TwoProcessesTests {
    private struct Broken: Error {}

    private let first: FakeKitchen
    private let second: FakeKitchen
    private let running = Barrier(2)
    private let release = Barrier(2)

    init() {
        first = FakeKitchen()
        second = FakeKitchen(index: first.index)
    }

    /// Step "a" of the first ends when the test lets it, with `outcome`; that of the second is ready at once.
    private func addSteps(outcome: @escaping @Sendable () throws -> Void = {}) {
        first.add("source")
        first.add("a", ["source"]) { [running, release] in
            $0.body = {
                try await running.arrive()
                try await release.arrive()
                try outcome()
            }
        }
        second.add("source")
        second.add("a", ["source"])
    }

    /// Starts the first, then the second, and returns when that one waits.
    private func startBoth(_ target: String) async throws -> (
        first: Task<[FakeValue], any Error>, second: Task<[FakeValue], any Error>
    ) {
        let (one, other) = (first.solver(), second.solver())
        let working = Task { try await one.solve([FakeKitchen.id(target)]) }
        try await running.arrive()
        let waiting = Task { try await other.solve([FakeKitchen.id(target)]) }
        while second.journal.count("started a") == 0 { await Task.yield() }
        return (working, waiting)
    }

    @Test func oneDoesTheStepAndTheOtherShowsIt() async throws {
        addSteps()
        first.add("b", ["a"])
        second.add("b", ["a"])
        let both = try await startBoth("b")
        try await release.arrive()
        _ = try await (both.first.value, both.second.value)
        #expect(first.executed.contains("a"))
        #expect(!second.executed.contains("a"))
        #expect(second.journal.all.contains("succeeded a"))
        #expect(second.journal.announced == ["a", "b"])
    }

    @Test func theOtherTakesOverWhenTheFirstFails() async throws {
        addSteps { throw Broken() }
        let both = try await startBoth("a")
        try await release.arrive()
        _ = try await both.second.value
        await #expect(throws: StepFailure.self) { try await both.first.value }
        #expect(second.executed == ["source", "a"])
        #expect(second.journal.announced == ["a"])
        #expect(second.journal.all.last == "succeeded a")
    }

    /// The build that waits ends at once, and says so.
    @Test func aWaitCanBeCancelled() async throws {
        addSteps()
        let both = try await startBoth("a")
        both.second.cancel()
        await #expect(throws: CancellationError.self) { try await both.second.value }
        #expect(second.journal.all.last == "cancelled a")
        try await release.arrive()
        _ = try await both.first.value
    }
}
