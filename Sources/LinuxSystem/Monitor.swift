// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux
import Glibc

/// A mutex with a condition, for threads that wait for each other or for a time.
///
/// `Synchronization.Mutex` cannot be waited on.
public final class Monitor<State: Sendable>: @unchecked Sendable {
    // Proof of @unchecked: `state` is only touched with `mutex` held, by `withLock` and `wait`; the pointers never
    // change.
    private var state: State
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    public init(_ state: State) {
        self.state = state
        var kind = pthread_mutexattr_t()
        pthread_mutexattr_init(&kind)
        pthread_mutexattr_settype(&kind, CInt(PTHREAD_MUTEX_ERRORCHECK))
        pthread_mutex_init(mutex, &kind)
        pthread_mutexattr_destroy(&kind)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        // Timeouts must not follow a wall clock that is set.
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    private func lock() {
        let code = pthread_mutex_lock(mutex)
        precondition(code == 0, "a thread enters a monitor that it is in")
    }

    /// Which of the waiting threads look at the state again.
    public enum Waking: Sendable { case none, one, all }

    /// Runs `body` alone, then wakes those that wait.
    public func withLock<R>(waking: Waking = .all, _ body: (inout State) throws -> R) rethrows -> R {
        lock()
        defer {
            wake(waking)
            pthread_mutex_unlock(mutex)
        }
        return try body(&state)
    }

    /// Needs no lock: what changed the state had it.
    public func wake(_ waking: Waking) {
        switch waking {
        case .none: break
        case .one: pthread_cond_signal(condition)
        case .all: pthread_cond_broadcast(condition)
        }
    }

    /// Blocks this thread until `body` returns a value, then wakes those that wait.
    public func wait<R>(waking: Waking = .all, _ body: (inout State) throws -> R?) rethrows -> R {
        lock()
        defer {
            wake(waking)
            pthread_mutex_unlock(mutex)
        }
        while true {
            if let result = try body(&state) { return result }
            pthread_cond_wait(condition, mutex)
        }
    }

    /// Blocks this thread until `deadline` gives a time that has come, in nanoseconds of the monotonic clock; nil is
    /// never. It is asked again whenever this thread is woken. Wakes nobody.
    public func wait(until deadline: (State) -> Int64?) {
        lock()
        defer { pthread_mutex_unlock(mutex) }
        while true {
            guard let time = deadline(state) else {
                pthread_cond_wait(condition, mutex)
                continue
            }
            if time <= monotonicNanoseconds() { return }
            var limit = timespec(tv_sec: Int(time / 1_000_000_000), tv_nsec: Int(time % 1_000_000_000))
            pthread_cond_timedwait(condition, mutex, &limit)
        }
    }
}

/// The monotonic clock's time: nanoseconds since some moment before this machine's programs began.
public func monotonicNanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
