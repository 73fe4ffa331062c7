// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Synchronization

/// A clock on which short waits are over at once, and long ones only when the test advances it.
final class TestClock: Clock, Sendable {
    struct Instant: InstantProtocol {
        var offset: Duration
        func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
        func duration(to other: Instant) -> Duration { other.offset - offset }
        static func < (a: Instant, b: Instant) -> Bool { a.offset < b.offset }
    }

    private struct Sleeper {
        var id: Int
        var deadline: Instant
        var continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var now = Instant(offset: .zero)
        var nextID = 0
        var sleepers: [Sleeper] = []
        var naps: [Duration] = []
    }

    private let longest: Duration
    private let state = Mutex(State())

    /// - Parameter longest: waits up to this are over at once.
    init(shortUpTo longest: Duration = .seconds(20)) { self.longest = longest }

    var now: Instant { state.withLock { $0.now } }
    var minimumResolution: Duration { .nanoseconds(1) }
    /// The short waits so far.
    var naps: [Duration] { state.withLock { $0.naps } }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let resume = state.withLock { state -> (() -> Void)? in
                    if Task.isCancelled { return { continuation.resume(throwing: CancellationError()) } }
                    let duration = state.now.duration(to: deadline)
                    if duration <= .zero { return { continuation.resume() } }
                    if duration <= longest {
                        state.now = deadline
                        state.naps.append(duration)
                        return { continuation.resume() }
                    }
                    state.sleepers.append(Sleeper(id: id, deadline: deadline, continuation: continuation))
                    return nil
                }
                resume?()
            }
        } onCancel: {
            state.withLock { state -> Sleeper? in
                guard let position = state.sleepers.firstIndex(where: { $0.id == id }) else { return nil }
                return state.sleepers.remove(at: position)
            }?.continuation.resume(throwing: CancellationError())
        }
    }

    func advance(by duration: Duration) {
        let due = state.withLock { state -> [Sleeper] in
            state.now = state.now.advanced(by: duration)
            let due = state.sleepers.filter { $0.deadline <= state.now }
            state.sleepers.removeAll { $0.deadline <= state.now }
            return due
        }
        for sleeper in due { sleeper.continuation.resume() }
    }
}
