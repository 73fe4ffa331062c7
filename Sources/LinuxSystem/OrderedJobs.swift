// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Jobs that several threads do, and whose results one of them at a time takes, in the order in which the jobs were added.
///
/// Nobody begins a job that is far ahead of the result to be taken next, so that few results wait. The first error drops
/// what has not begun.
public final class OrderedJobs<Result: Sendable>: Sendable {
    public typealias Job = @Sendable () throws -> Result

    private struct State: Sendable {
        /// In order; the first is job `begun`.
        var waiting: [Job] = []
        /// How many jobs were begun, or dropped.
        var begun = 0
        /// By the number of the job.
        var results: [Int: Result] = [:]
        /// How many results were taken.
        var taken = 0
        var isTaking = false
        var threads = 0
        /// The caller has added all.
        var isComplete = false
        var failure: (any Error)?
    }

    private enum Step {
        case run(Job, Int)
        case stop
    }

    private let threadLimit: Int
    /// How far the job that is begun may be ahead of the result to be taken next.
    private let window: Int
    private let take: @Sendable (Result) throws -> Void
    private let monitor = Monitor(State())

    private init(_ threadCount: Int, _ take: @escaping @Sendable (Result) throws -> Void) {
        threadLimit = threadCount - 1
        window = 4 * threadCount
        self.take = take
    }

    /// Runs `body` and then all jobs that it added; blocks until the last result is taken, or something has failed.
    ///
    /// - Parameters:
    ///   - threadCount: how many threads there may be, the caller's included.
    ///   - take: gets each result; never called by two threads at once.
    /// - Throws: the first error of `body`, a job or `take`.
    public static func run(
        threadCount: Int = min(processorCount, 8),
        take: @escaping @Sendable (Result) throws -> Void,
        _ body: (OrderedJobs) throws -> Void
    ) throws {
        let jobs = OrderedJobs(max(1, threadCount), take)
        do {
            try body(jobs)
            jobs.monitor.withLock { $0.isComplete = true }
            while jobs.doNext(endsWhenEmpty: true) {}
        } catch {
            jobs.fail(error)
        }
        let failure = jobs.monitor.wait { state -> (any Error)?? in
            state.threads == 0 ? .some(state.failure) : nil
        }
        if let failure { throw failure }
    }

    /// Only `body` adds jobs. While many wait, this does one of them.
    ///
    /// - Throws: what has failed meanwhile; nothing is added then.
    public func add(_ job: @escaping Job) throws {
        let (starts, isFull) = try monitor.withLock(waking: .one) { state in
            if let failure = state.failure { throw failure }
            state.waiting.append(job)
            let starts = state.waiting.count > 1 && state.threads < threadLimit
            if starts { state.threads += 1 }
            return (starts, state.waiting.count > window)
        }
        if starts, !startThread({ self.work() }) { monitor.withLock { $0.threads -= 1 } }
        if isFull { _ = doNext(endsWhenEmpty: true) }
    }

    private func work() {
        while doNext(endsWhenEmpty: false) {}
        monitor.withLock { $0.threads -= 1 }
    }

    private func fail(_ error: any Error) {
        monitor.withLock { state in
            if state.failure == nil { state.failure = error }
            state.waiting = []
            state.results = [:]
        }
    }

    /// Does the oldest job that waits, and takes the results whose turn it is. False when there is nothing more to do.
    ///
    /// - Parameter endsWhenEmpty: true for the caller, who is the one that adds jobs.
    private func doNext(endsWhenEmpty: Bool) -> Bool {
        let step: Step = monitor.wait(waking: .none) { state in
            if state.failure != nil { return .stop }
            if state.waiting.isEmpty { return endsWhenEmpty || state.isComplete ? .stop : nil }
            guard state.begun < state.taken + window else { return nil }
            state.begun += 1
            return .run(state.waiting.removeFirst(), state.begun - 1)
        }
        guard case .run(let job, let number) = step else { return false }
        do {
            let result = try job()
            try finish(number, result)
        } catch {
            fail(error)
        }
        return true
    }

    private func finish(_ number: Int, _ result: Result) throws {
        var next: Result? = monitor.withLock(waking: .none) { state in
            guard state.failure == nil else { return nil }
            state.results[number] = result
            guard !state.isTaking, let next = state.results.removeValue(forKey: state.taken) else { return nil }
            state.isTaking = true
            return next
        }
        while let result = next {
            try take(result)
            next = monitor.withLock { state in
                state.taken += 1
                let next = state.failure == nil ? state.results.removeValue(forKey: state.taken) : nil
                state.isTaking = next != nil
                return next
            }
        }
    }
}
