// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Builder
import LinuxSystem
import ProgressUI
import Solver
import Synchronization

/// Runs `body` with a display on standard error that is finished on every path, also when a signal cancels it.
func withProgress<R: Sendable>(
    _ mode: ProgressMode,
    explains: Bool = false,
    _ body: @escaping @Sendable (any SolverEventSink) async throws -> R
) async throws -> R {
    let display = makeProgressDisplay(mode, on: 2, explains: explains)
    do {
        let result = try await interruptible { try await body(display) }
        try await blocking { display.finish(.succeeded) }
        return result
    } catch {
        let isCancelled = (error as? UserFacingError).map { $0.exitCode > 128 } ?? (error is CancellationError)
        try await blocking { display.finish(isCancelled ? .cancelled : .failed) }
        if mode == .quiet, !isCancelled {
            for step in display.failedSteps { writeError(failureReport(vertexName: step.name, logTail: step.output)) }
        }
        throw error
    }
}

/// A display that appears with the first event: most runs have nothing to show.
final class LateDisplay: SolverEventSink {
    private let display = Mutex<(any ProgressDisplay)?>(nil)

    func send(_ event: SolverEvent) {
        let sink = display.withLock { display in
            let sink = display ?? makeProgressDisplay(.plain, on: 2)
            display = sink
            return sink
        }
        sink.send(event)
    }

    func finish(_ ending: BuildEnding) async throws {
        guard let sink = display.withLock({ $0 }) else { return }
        try await blocking { sink.finish(ending) }
    }
}
