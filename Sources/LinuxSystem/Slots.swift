// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A number of places that tasks wait for, in order of arrival.
public actor Slots {
    private var free: Int
    private var waiting: [(id: Int, continuation: CheckedContinuation<Bool, Never>)] = []
    private var nextID = 0

    public init(_ count: Int) { free = count }

    var freeCount: Int { free }
    var waitingCount: Int { waiting.count }

    /// Runs `body` when a place is free; gives up the wait when the task is cancelled.
    public func run<R: Sendable>(_ body: @Sendable () async throws -> R) async throws -> R {
        try await acquire()
        defer { release() }
        return try await body()
    }

    private func acquire() async throws {
        if free > 0 {
            free -= 1
            return
        }
        nextID += 1
        let id = nextID
        let granted = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled {
                    continuation.resume(returning: false)
                } else {
                    waiting.append((id, continuation))
                }
            }
        } onCancel: {
            Task { await self.giveUp(id) }
        }
        if !granted { throw CancellationError() }
    }

    private func giveUp(_ id: Int) {
        guard let index = waiting.firstIndex(where: { $0.id == id }) else { return }
        waiting.remove(at: index).continuation.resume(returning: false)
    }

    private func release() {
        if waiting.isEmpty {
            free += 1
        } else {
            waiting.removeFirst().continuation.resume(returning: true)
        }
    }
}
