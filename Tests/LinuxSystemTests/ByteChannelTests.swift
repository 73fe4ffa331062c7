// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import Testing

@Suite(.timeLimit(.minutes(1))) struct ByteChannelTests {
    private struct Problem: Error, Equatable {}

    private static let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }

    /// Every combination of a blocking or a suspending producer and consumer, through a channel much smaller than that.
    @Test(arguments: [true, false], [true, false]) func carriesAllBytes(blockingIn: Bool, blockingOut: Bool)
        async throws
    {
        let channel = ByteChannel(capacity: 1000)
        let received = try await withThrowingTaskGroup(of: [UInt8].self) { group in
            group.addTask {
                if blockingIn {
                    try await blocking {
                        for start in stride(from: 0, to: 100_000, by: 700) {
                            try channel.sendBlocking(Self.bytes[start..<min(start + 700, 100_000)])
                        }
                    }
                } else {
                    for start in stride(from: 0, to: 100_000, by: 700) {
                        try await channel.send(Self.bytes[start..<min(start + 700, 100_000)])
                    }
                }
                channel.finish()
                return []
            }
            group.addTask {
                var all = [UInt8]()
                if blockingOut {
                    all = try await blocking {
                        var all = [UInt8]()
                        while let chunk = try channel.receiveBlocking() { all += chunk }
                        return all
                    }
                } else {
                    while let chunk = try await channel.receive() { all += chunk }
                }
                return all
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(received == Self.bytes)
    }

    @Test func errorArrivesAfterTheBytes() async throws {
        let channel = ByteChannel()
        try await channel.send([1, 2])
        channel.finish(throwing: Problem())
        #expect(try await channel.receive() == [1, 2])
        await #expect(throws: Problem.self) { try await channel.receive() }
        #expect(throws: Problem.self) { try channel.receiveBlocking() }
    }

    @Test func abandoningStopsTheProducer() async throws {
        let channel = ByteChannel(capacity: 1)
        try await channel.send([1])
        let waiting = Task { try await channel.send([2]) }
        channel.abandon(Problem())
        await #expect(throws: Problem.self) { try await waiting.value }
        #expect(throws: Problem.self) { try channel.sendBlocking([3]) }
    }

    @Test func cancellationEndsBothWaits() async throws {
        let empty = ByteChannel()
        let receiving = Task { try await empty.receive() }
        receiving.cancel()
        await #expect(throws: CancellationError.self) { try await receiving.value }
        let full = ByteChannel(capacity: 1)
        try await full.send([1])
        let sending = Task { try await full.send([2]) }
        sending.cancel()
        await #expect(throws: CancellationError.self) { try await sending.value }
    }
}

@Suite(.timeLimit(.minutes(1))) struct BlockingPoolTests {
    @Test func runsAsManyAtOnceAsItMay() async throws {
        let pool = BlockingPool(limit: 8)
        let met = Monitor(0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    // Returns only when all eight are inside at the same time.
                    try await pool.run {
                        met.withLock { $0 += 1 }
                        let _: Bool = met.wait { $0 == 8 ? true : nil }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private struct Counts {
        var now = 0
        var most = 0
        var total = 0
    }

    @Test func neverMoreThanTheLimit() async throws {
        let pool = BlockingPool(limit: 3)
        let state = Monitor(Counts())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<500 {
                group.addTask {
                    try await pool.run {
                        state.withLock {
                            $0.now += 1
                            $0.most = max($0.most, $0.now)
                        }
                        state.withLock {
                            $0.now -= 1
                            $0.total += 1
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(state.withLock { $0.total } == 500)
        #expect(state.withLock { $0.most } <= 3)
    }

    @Test func passesErrorsOn() async {
        await #expect(throws: SystemError.self) { try await blocking { _ = try readFile("/no/such/file") } }
    }
}
