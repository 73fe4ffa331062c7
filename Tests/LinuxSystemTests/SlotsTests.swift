// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Testing

@testable import LinuxSystem

@Suite(.timeLimit(.minutes(3))) struct SlotsTests {
    @Test func placesAreGivenInOrder() async throws {
        let slots = Slots(1)
        let order = Monitor<[Int]>([])
        let gate = AsyncStream<Void>.makeStream()
        let holder = Task { try await slots.run { for await _ in gate.stream { return } } }
        while await slots.freeCount == 1 { await Task.yield() }
        var waiters: [Task<Void, any Error>] = []
        for number in 0..<5 {
            waiters.append(Task { try await slots.run { order.withLock { $0.append(number) } } })
            while await slots.waitingCount <= number { await Task.yield() }
        }
        waiters[2].cancel()
        await #expect(throws: CancellationError.self) { try await waiters[2].value }
        gate.continuation.yield()
        try await holder.value
        for (number, waiter) in waiters.enumerated() where number != 2 { try await waiter.value }
        #expect(order.withLock { $0 } == [0, 1, 3, 4])
        #expect(await slots.freeCount == 1)
    }

    @Test func neverMoreThanThereAre() async throws {
        let slots = Slots(3)
        let now = Monitor(0)
        let most = Monitor(0)
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<300 {
                group.addTask {
                    let task = Task {
                        try await slots.run {
                            let count = now.withLock { value in
                                value += 1
                                return value
                            }
                            most.withLock { $0 = max($0, count) }
                            await Task.yield()
                            now.withLock { $0 -= 1 }
                        }
                    }
                    if number % 3 == 0 { task.cancel() }
                    _ = await task.result
                }
            }
        }
        #expect(most.withLock { $0 } <= 3)
        #expect(await slots.freeCount == 3)
        #expect(await slots.waitingCount == 0)
    }

    @Test func failureGivesThePlaceBack() async throws {
        let slots = Slots(1)
        await #expect(throws: CancellationError.self) { try await slots.run { throw CancellationError() } }
        #expect(try await slots.run { 5 } == 5)
    }
}
