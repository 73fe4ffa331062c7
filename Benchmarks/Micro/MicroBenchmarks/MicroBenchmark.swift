// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import AllocationCount

/// Something small and hot, done once per run.
struct MicroBenchmark: Sendable {
    let name: String
    /// What is done, and how often.
    let about: String
    /// Makes what is needed and returns the work to be measured. Called anew for each run.
    let prepare: Preparation

    typealias Work = @Sendable () async throws -> Void
    typealias Preparation = @Sendable () async throws -> Work

    init(_ name: String, _ about: String, _ prepare: @escaping Preparation) {
        self.name = name
        self.about = about
        self.prepare = prepare
    }
}

struct Measurement {
    var name: String
    var about: String
    /// Fewest of all runs: what the work itself needs, without what a runtime makes once.
    var allocations: UInt64
    var bytes: UInt64
    /// Median, in seconds. Depends on the machine's mood, and is never checked.
    var seconds: Double
}

extension MicroBenchmark {
    func measured(runs: Int) async throws -> Measurement {
        var counts: [(allocations: UInt64, bytes: UInt64)] = []
        var times: [Double] = []
        let clock = ContinuousClock()
        // The first fills the runtime's caches.
        for run in 0...runs {
            let work = try await prepare()
            let before = (allocation_count(), allocation_bytes())
            let start = clock.now
            try await work()
            let duration = (clock.now - start).components
            let after = (allocation_count(), allocation_bytes())
            guard run > 0 else { continue }
            counts.append((after.0 - before.0, after.1 - before.1))
            times.append(Double(duration.seconds) + Double(duration.attoseconds) / 1e18)
        }
        return Measurement(
            name: name,
            about: about,
            allocations: counts.map(\.allocations).min() ?? 0,
            bytes: counts.map(\.bytes).min() ?? 0,
            seconds: times.sorted()[times.count / 2]
        )
    }
}
