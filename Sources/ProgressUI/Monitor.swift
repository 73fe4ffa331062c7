// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc

/// State behind a lock, with a way for a thread to wait for it to change or for a time to come.
///
/// `Synchronization.Mutex` cannot be waited on with a timeout.
// @unchecked: `state` is read and written only while `mutex` is held; the pointers never change.
final class Monitor<State>: @unchecked Sendable {
    private var state: State
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init(_ state: sending State) {
        self.state = state
        pthread_mutex_init(mutex, nil)
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

    func withLock<Result>(_ body: (inout State) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&state)
    }

    /// Wakes all who wait.
    func signal() { pthread_cond_broadcast(condition) }

    /// Waits until `deadline` gives a time of the monotonic clock that has come, in nanoseconds; nil is never.
    ///
    /// It is asked anew after each `signal`.
    func wait(until deadline: (State) -> Int64?) {
        pthread_mutex_lock(mutex)
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

func monotonicNanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}
