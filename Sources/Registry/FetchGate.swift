// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Synchronization

/// Lets one task at a time through for each key, in order of arrival.
final class FetchGate: Sendable {
    private struct Waiter {
        let id: UInt64
        let continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var nextID: UInt64 = 0
        /// The keys that are held, with who waits for them.
        var waiters: [String: [Waiter]] = [:]
    }

    private let state = Mutex(State())

    func passing<T>(_ key: String, _ body: () async throws -> T) async throws -> T {
        try await enter(key)
        defer { leave(key) }
        return try await body()
    }

    private func enter(_ key: String) async throws {
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let resume = state.withLock { state -> (() -> Void)? in
                    if Task.isCancelled { return { continuation.resume(throwing: CancellationError()) } }
                    guard state.waiters[key] != nil else {
                        state.waiters[key] = []
                        return { continuation.resume() }
                    }
                    state.waiters[key]?.append(Waiter(id: id, continuation: continuation))
                    return nil
                }
                resume?()
            }
        } onCancel: {
            state.withLock { state -> Waiter? in
                guard let position = state.waiters[key]?.firstIndex(where: { $0.id == id }) else { return nil }
                return state.waiters[key]?.remove(at: position)
            }?.continuation.resume(throwing: CancellationError())
        }
    }

    private func leave(_ key: String) {
        state.withLock { state -> Waiter? in
            guard let waiting = state.waiters[key], !waiting.isEmpty else {
                state.waiters[key] = nil
                return nil
            }
            return state.waiters[key]?.removeFirst()
        }?.continuation.resume()
    }
}
