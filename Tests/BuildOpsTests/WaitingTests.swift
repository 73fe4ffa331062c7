// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import OCI
import Testing

@testable import BuildOps

@Suite(.endsHangs) struct SlotsTests {
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

@Suite struct LinkResolutionTests {
    private static let links = [
        "abs": "/real/x", "rel": "real", "real/up": "../other", "real/x/out": "../../../../other", "a": "b", "b": "a",
        "self": "self", "dot": ".", "real/root": "/", "twice": "rel/up", "empty": "",
    ]

    @Test(
        arguments: [
            ("", ""), ("/", ""), ("a/..", nil), ("x/y", "x/y"), ("/x//./y/", "x/y"), ("../../x", "x"),
            ("x/../../y", "y"),
            ("abs/f", "real/x/f"), ("rel/f", "real/f"), ("rel/../f", "f"), ("real/up/f", "other/f"),
            ("rel/up/f", "other/f"),
            ("real/x/out/f", "other/f"), ("a", nil), ("self/x", nil), ("dot/x", "x"), ("real/root/x", "x"),
            ("twice/x", "other/x"),
            ("abs/../f", "real/f"), ("empty/x", "x"),
        ] as [(String, String?)]
    ) func follows(path: String, expected: String?) throws {
        let resolve = { try resolveLinks(RawPath(path)) { Self.links[$0.description].map { RawPath($0) } }.description }
        if let expected {
            #expect(try resolve() == expected)
        } else {
            #expect(throws: BuildOpsError.self) { try resolve() }
        }
    }

    @Test func lastComponentMayStay() throws {
        let found = try resolveLinks("rel/up", followingLast: false) { Self.links[$0.description].map { RawPath($0) } }
        #expect(found == "real/up")
    }

    @Test func manyLinksEnd() {
        #expect(throws: BuildOpsError.self) { try resolveLinks("x") { _ in RawPath("x/x/x") } }
    }
}
