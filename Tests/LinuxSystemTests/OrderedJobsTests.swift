// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import Synchronization
import Testing

struct OrderedJobsTests {
    private struct Failure: Error, Equatable { let number: Int }

    @Test(arguments: [0, 1, 2, 3, 8]) func resultsComeInOrder(threads: Int) throws {
        for jobs in [0, 1, 2, 17, 2000] {
            let taken = Mutex([Int]())
            let taking = Atomic(0)
            try OrderedJobs<Int>.run(threadCount: threads) { number in
                #expect(taking.add(1, ordering: .relaxed).newValue == 1)
                taken.withLock { $0.append(number) }
                taking.subtract(1, ordering: .relaxed)
            } _: { group in
                for job in 0..<jobs {
                    try group.add {
                        if job % 13 == 0 { usleep(UInt32(job % 7) * 50) }
                        return job
                    }
                }
            }
            #expect(taken.withLock { $0 } == Array(0..<jobs))
        }
    }

    @Test(arguments: [1, 2, 8]) func fewResultsWait(threads: Int) throws {
        let made = Atomic(0)
        let most = Atomic(0)
        try OrderedJobs<Int>.run(threadCount: threads) { number in
            most.max(made.load(ordering: .relaxed) - number, ordering: .relaxed)
        } _: { group in
            for job in 0..<500 {
                try group.add {
                    if job % 50 == 0 { usleep(2000) }
                    made.add(1, ordering: .relaxed)
                    return job
                }
            }
        }
        #expect(most.load(ordering: .relaxed) <= 4 * threads + 1)
    }

    @Test(arguments: [1, 2, 8], ["job", "taker", "body"]) func theFirstErrorEndsAll(threads: Int, place: String) throws
    {
        let taken = Mutex([Int]())
        #expect(throws: Failure(number: 100)) {
            try OrderedJobs<Int>.run(threadCount: threads) { number in
                if place == "taker", number == 100 { throw Failure(number: number) }
                taken.withLock { $0.append(number) }
            } _: { group in
                for job in 0..<1000 {
                    if place == "body", job == 100 { throw Failure(number: 100) }
                    try group.add {
                        if place == "job", job == 100 { throw Failure(number: 100) }
                        return job
                    }
                }
            }
        }
        let numbers = taken.withLock { $0 }
        #expect(numbers == Array(0..<numbers.count) && numbers.count <= 100)
    }
}
