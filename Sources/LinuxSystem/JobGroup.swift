// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux

/// Jobs that several threads do while more are added: the caller's own, and one for each further processor as soon as
/// there is work for two.
///
/// A few jobs may wait; whoever adds another then does it itself. The first error drops what has not begun.
public final class JobGroup: Sendable {
    public typealias Job = @Sendable () throws -> Void

    private struct State: Sendable {
        var waiting: [Job] = []
        var threads = 0
        /// Threads that have no job.
        var idle = 0
        var isOver = false
        var failure: (any Error)?

        mutating func fail(_ error: any Error) {
            if failure == nil { failure = error }
            waiting = []
            isOver = true
        }
    }

    private let threadLimit: Int
    private let waitingLimit: Int
    private let monitor = Monitor(State())

    private init(_ threadCount: Int) {
        threadLimit = threadCount - 1
        waitingLimit = 4 * threadLimit
    }

    /// Runs `body` and then all jobs that it added; blocks until the last has ended, also when something fails.
    ///
    /// - Parameter threadCount: how many threads there may be, the caller's included.
    /// - Throws: the first error of `body` or a job.
    public static func run<R>(
        threadCount: Int = min(processorCount, 8),
        _ body: (JobGroup) throws -> R
    ) throws -> R {
        let group = JobGroup(max(1, threadCount))
        do {
            let result = try body(group)
            while let job = group.next() { try job() }
            try group.end()
            return result
        } catch {
            group.monitor.withLock { $0.fail(error) }
            try group.end()
            throw error
        }
    }

    /// Jobs may add jobs.
    ///
    /// - Throws: what a job has thrown; nothing is added then.
    public func add(_ job: @escaping Job) throws {
        enum Action { case none, start, doIt }
        let action: Action = try monitor.withLock(waking: .one) { state in
            if let failure = state.failure { throw failure }
            guard state.waiting.count < waitingLimit else { return .doIt }
            state.waiting.append(job)
            guard state.waiting.count - state.idle > 1, state.threads < threadLimit else { return .none }
            state.threads += 1
            return .start
        }
        switch action {
        case .none: break
        case .doIt: try job()
        case .start:
            if !startThread({ self.work() }) { monitor.withLock { $0.threads -= 1 } }
        }
    }

    private func work() {
        while let job = next() {
            do { try job() } catch { monitor.withLock { $0.fail(error) } }
        }
        monitor.withLock { $0.threads -= 1 }
    }

    /// Blocks until there is a job; nil when there can be none any more.
    private func next() -> Job? {
        var isIdle = false
        let job: Job? = monitor.wait(waking: .none) { state -> Job?? in
            if !state.waiting.isEmpty {
                if isIdle { state.idle -= 1 }
                return .some(state.waiting.removeFirst())
            }
            if !isIdle {
                state.idle += 1
                isIdle = true
            }
            // The caller is one of them: it has added all that it would.
            if state.idle == state.threads + 1 { state.isOver = true }
            return state.isOver ? .some(nil) : nil
        }
        if job == nil { monitor.wake(.all) }
        return job
    }

    private func end() throws {
        let failure = monitor.wait { state -> (any Error)?? in
            state.isOver = true
            return state.threads == 0 ? .some(state.failure) : nil
        }
        if let failure { throw failure }
    }
}

/// How many processors this process may use.
public let processorCount = Int(galley_processor_count())
