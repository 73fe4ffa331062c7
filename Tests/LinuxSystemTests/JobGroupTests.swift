// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import Synchronization
import Testing

struct JobGroupTests {
    private struct Failure: Error, Equatable { let number: Int }

    private final class Count: Sendable {
        private let number = Atomic(0)
        var value: Int { number.load(ordering: .relaxed) }
        func add() { number.add(1, ordering: .relaxed) }
    }

    @Test(arguments: [0, 1, 2, 8])
    func everyJobIsDoneOnce(threads: Int) throws {
        for jobs in [0, 1, 2, 1000] {
            let done = Mutex([Int](repeating: 0, count: jobs))
            let result = try JobGroup.run(threadCount: threads) { group in
                for job in 0..<jobs { try group.add { done.withLock { $0[job] += 1 } } }
                return "result"
            }
            #expect(result == "result")
            #expect(done.withLock { $0.allSatisfy { $0 == 1 } })
        }
    }

    /// As a walk of a tree does.
    private static func add(_ depth: Int, to group: JobGroup, _ count: Count) throws {
        try group.add {
            count.add()
            if depth > 0 { for _ in 0..<3 { try add(depth - 1, to: group, count) } }
        }
    }

    @Test(arguments: [1, 2, 8])
    func jobsAddJobs(threads: Int) throws {
        let count = Count()
        try JobGroup.run(threadCount: threads) { try Self.add(7, to: $0, count) }
        // 1 + 3 + ... + 3^7
        #expect(count.value == 3280)
    }

    @Test(arguments: [1, 2, 8])
    func theFirstErrorEndsAll(threads: Int) {
        let count = Count()
        #expect(throws: Failure(number: 10)) {
            try JobGroup.run(threadCount: threads) { group in
                for job in 0..<100_000 {
                    try group.add {
                        if job == 10 { throw Failure(number: job) }
                        count.add()
                    }
                }
            }
        }
        let atEnd = count.value
        #expect(atEnd < 100_000)
        // Nothing runs any more.
        for _ in 0..<1000 { #expect(count.value == atEnd) }
    }

    @Test func anErrorOfTheCallerWaitsForTheJobs() {
        let count = Count()
        #expect(throws: Failure(number: 1)) {
            try JobGroup.run(threadCount: 4) { group in
                for _ in 0..<8 { try group.add { count.add() } }
                throw Failure(number: 1)
            }
        }
        let atEnd = count.value
        for _ in 0..<1000 { #expect(count.value == atEnd) }
    }

    /// Two jobs that each wait for the other to begin.
    @Test func jobsRunAtOnce() throws {
        let begun = Monitor(0)
        try JobGroup.run(threadCount: 2) { group in
            for _ in 0..<2 {
                try group.add {
                    begun.withLock { $0 += 1 }
                    begun.wait { $0 == 2 ? () : nil }
                }
            }
        }
        #expect(begun.withLock { $0 } == 2)
    }
}
