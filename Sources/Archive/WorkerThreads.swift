// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc

/// A fixed number of threads that run jobs in the order they were submitted.
///
/// Compression belongs neither on Swift's cooperative pool, which it would block, nor on a pool whose size others
/// decide: it wants one thread a core, and a bounded number of jobs.
///
/// `@unchecked Sendable`: all state is read and written with `mutex` held, but for the threads, which only the owner
/// touches.
final class WorkerThreads: @unchecked Sendable {
    /// What a thread does; `worker` is the thread's number.
    typealias Job = @Sendable (_ worker: Int) -> Void

    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let changed: UnsafeMutablePointer<pthread_cond_t>
    private var jobs: [Job] = []
    private var stopping = false
    private var threads: [pthread_t] = []

    init() {
        mutex = .allocate(capacity: 1)
        changed = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(changed)
        mutex.deallocate()
        changed.deallocate()
    }

    /// Starts `count` threads; fewer when the system refuses more, but an error when it refuses any.
    func start(_ count: Int) throws(ArchiveError) {
        // Signals belong to the threads that expect them.
        var all = sigset_t()
        var previous = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_BLOCK, &all, &previous)
        defer { pthread_sigmask(SIG_SETMASK, &previous, nil) }
        for number in 0..<count {
            let start = Unmanaged.passRetained(ThreadStart(pool: self, number: number))
            var thread = pthread_t()
            let result = pthread_create(
                &thread,
                nil,
                { raw in
                    guard let raw else { return nil }
                    let start = Unmanaged<ThreadStart>.fromOpaque(raw).takeRetainedValue()
                    start.pool.run(start.number)
                    return nil
                },
                start.toOpaque()
            )
            if result == 0 {
                threads.append(thread)
            } else {
                start.release()
                guard !threads.isEmpty else { throw ArchiveError(.system, "cannot start a thread (error \(result))") }
                return
            }
        }
    }

    func submit(_ job: @escaping Job) {
        pthread_mutex_lock(mutex)
        jobs.append(job)
        pthread_cond_broadcast(changed)
        pthread_mutex_unlock(mutex)
    }

    /// Calls `condition` with the lock held, again after each completed job, until it is true.
    func wait(until condition: () -> Bool) {
        pthread_mutex_lock(mutex)
        while !condition() { pthread_cond_wait(changed, mutex) }
        pthread_mutex_unlock(mutex)
    }

    /// Runs `body` with the lock held and wakes who waits.
    func update(_ body: () -> Void) {
        pthread_mutex_lock(mutex)
        body()
        pthread_cond_broadcast(changed)
        pthread_mutex_unlock(mutex)
    }

    /// Drops jobs that have not begun and returns when every thread has ended.
    func stop() {
        update {
            stopping = true
            jobs.removeAll()
        }
        for thread in threads { pthread_join(thread, nil) }
        threads.removeAll()
    }

    private func run(_ number: Int) {
        while let job = next() { job(number) }
    }

    private func next() -> Job? {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while jobs.isEmpty, !stopping { pthread_cond_wait(changed, mutex) }
        return stopping ? nil : jobs.removeFirst()
    }

    private final class ThreadStart {
        let pool: WorkerThreads
        let number: Int

        init(pool: WorkerThreads, number: Int) {
            self.pool = pool
            self.number = number
        }
    }

    static var availableCores: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
}
