// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Synchronization

/// Tells a blocking thread that the task it works for was cancelled.
public final class CancellationFlag: Sendable {
    private let flag = Atomic(false)

    public init() {}

    fileprivate func set() { flag.store(true, ordering: .relaxed) }

    /// Throws `CancellationError` once the task was cancelled.
    public func check() throws {
        if flag.load(ordering: .relaxed) { throw CancellationError() }
    }
}

/// Runs `body` on a blocking thread; it should check the flag now and then.
public func cancellableBlocking<R: Sendable>(
    _ body: @escaping @Sendable (CancellationFlag) throws -> R
) async throws -> R {
    let flag = CancellationFlag()
    return try await withTaskCancellationHandler {
        try await blocking { try body(flag) }
    } onCancel: {
        flag.set()
    }
}
