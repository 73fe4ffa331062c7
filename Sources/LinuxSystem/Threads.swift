// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux
import Glibc

/// A thread that runs one function and returns its number.
final class SingleUseThread: Sendable {
    private final class Body {
        let run: @Sendable () -> CInt
        var result: CInt = 0
        init(_ run: @escaping @Sendable () -> CInt) { self.run = run }
    }

    // The pointer is written once before the thread starts and read again only after it was joined.
    private nonisolated(unsafe) let body: Unmanaged<Body>
    private let thread: pthread_t

    init(_ run: @escaping @Sendable () -> CInt) {
        body = Unmanaged.passRetained(Body(run))
        var id = pthread_t()
        let status = pthread_create(
            &id,
            nil,
            { raw in
                guard let raw else { return nil }
                let body = Unmanaged<Body>.fromOpaque(raw).takeUnretainedValue()
                body.result = body.run()
                return nil
            },
            body.toOpaque()
        )
        precondition(status == 0, "the system has no thread left")
        thread = id
    }

    func join() -> CInt {
        pthread_join(thread, nil)
        return body.takeRetainedValue().result
    }
}

/// Starts a thread that is never joined; false when the system has none left.
func startThread(_ run: @escaping @Sendable () -> Void) -> Bool {
    final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
    let body = Unmanaged.passRetained(Body(run))
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
    defer { pthread_attr_destroy(&attributes) }
    var id = pthread_t()
    let status = pthread_create(
        &id,
        &attributes,
        { raw in
            guard let raw else { return nil }
            Unmanaged<Body>.fromOpaque(raw).takeRetainedValue().run()
            return nil
        },
        body.toOpaque()
    )
    if status != 0 { body.release() }
    return status == 0
}

/// A mutex with a condition, for threads that wait for each other.
public final class Monitor<State: Sendable>: @unchecked Sendable {
    // Proof of @unchecked: `state` is only touched with `mutex` held, by `withLock` and `wait`.
    private var state: State
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    public init(_ state: State) {
        self.state = state
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Which of the waiting threads look at the state again.
    public enum Waking: Sendable { case none, one, all }

    /// Runs `body` alone, then wakes those that wait.
    public func withLock<R>(waking: Waking = .all, _ body: (inout State) throws -> R) rethrows -> R {
        pthread_mutex_lock(mutex)
        defer {
            wake(waking)
            pthread_mutex_unlock(mutex)
        }
        return try body(&state)
    }

    private func wake(_ waking: Waking) {
        switch waking {
        case .none: break
        case .one: pthread_cond_signal(condition)
        case .all: pthread_cond_broadcast(condition)
        }
    }

    /// Blocks this thread until `body` returns a value, then wakes those that wait.
    public func wait<R>(waking: Waking = .all, _ body: (inout State) throws -> R?) rethrows -> R {
        pthread_mutex_lock(mutex)
        defer {
            wake(waking)
            pthread_mutex_unlock(mutex)
        }
        while true {
            if let result = try body(&state) { return result }
            pthread_cond_wait(condition, mutex)
        }
    }
}
