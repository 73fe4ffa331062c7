// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Threads for calls that block, so that none of them ever holds one of Swift's own threads.
///
/// Threads are made when all others are busy, up to `limit`, and stay for the next call.
public final class BlockingPool: Sendable {
    private struct State: Sendable {
        /// Those before `head` were taken.
        var queue: [(@Sendable () -> Void)?] = []
        var head = 0
        var idle = 0
        var threads = 0

        mutating func take() -> (@Sendable () -> Void)? {
            guard head < queue.count else { return nil }
            let job = queue[head]
            queue[head] = nil
            head += 1
            if head * 2 >= queue.count {
                queue.removeFirst(head)
                head = 0
            }
            return job
        }
    }

    public static let shared = BlockingPool(limit: 128)

    private let limit: Int
    private let monitor = Monitor(State())

    public init(limit: Int) { self.limit = limit }

    /// Runs `body` on a thread of its own. Cancellation of the task does not interrupt it.
    public func run<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
        try await withCheckedThrowingContinuation { continuation in
            submit { continuation.resume(with: Result { try body() }) }
        }
    }

    /// Runs `job` on a thread of its own. Nobody learns when it ends.
    public func submit(_ job: @escaping @Sendable () -> Void) {
        // One job is for one thread: waking all that are idle would cost more than most jobs.
        let needsThread = monitor.withLock(waking: .one) { state in
            state.queue.append(job)
            let waiting = state.queue.count - state.head
            guard waiting > state.idle, state.threads < limit else { return false }
            state.threads += 1
            return true
        }
        guard needsThread, !startThread({ self.work() }) else { return }
        // The system has no thread left: the job waits for one of this pool's, or is done here when there is none.
        let orphan: (@Sendable () -> Void)? = monitor.withLock(waking: .none) { state in
            state.threads -= 1
            return state.threads == 0 ? state.take() : nil
        }
        orphan?()
    }

    private func work() {
        while true {
            var isIdle = false
            let job: @Sendable () -> Void = monitor.wait(waking: .none) { state in
                let job = state.take()
                if isIdle != (job == nil) { state.idle += isIdle ? -1 : 1 }
                isIdle = job == nil
                return job
            }
            job()
        }
    }
}

/// Runs a blocking call on the shared pool.
public func blocking<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    try await BlockingPool.shared.run(body)
}
