// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
public import Solver

/// Shows a build while it runs.
public protocol ProgressDisplay: SolverEventSink {
    /// Shows what is left to show, puts the terminal back in order, and returns when all of it is written.
    ///
    /// Steps without an end count as cancelled. Events that come later are ignored; a second call only waits.
    func finish(_ ending: BuildEnding)

    /// The steps that failed so far, in the order of their failing; also after `finish`.
    var failedSteps: [FailedStep] { get }
}

/// How a whole build ended.
public enum BuildEnding: Sendable, Hashable {
    case succeeded
    case failed
    case cancelled
}

/// Makes the display for `mode` that writes to `descriptor`, which stays the caller's and must outlive the display.
///
/// `environment` gives `TERM`, `NO_COLOR`, `BUILDKIT_STEP_LOG_MAX_SIZE` and `BUILDKIT_STEP_LOG_MAX_SPEED`.
///
/// - Parameter explains: whether steps show why they run; `rawjson` always tells it.
public func makeProgressDisplay(
    _ mode: ProgressMode,
    on descriptor: CInt = 2,
    explains: Bool = false,
    environment: (String) -> String? = environmentVariable
) -> any ProgressDisplay {
    let limit = LogLimit(environment: environment)
    let color = environment("NO_COLOR").map(\.isEmpty) ?? true
    switch mode.resolved(isTerminal: isatty(descriptor) == 1, terminalName: environment("TERM")) {
    case .tty:
        return ThreadedDisplay(
            TerminalRenderer(color: color, startedAt: .now, explains: explains),
            output: .terminal(descriptor)
        )
    case .rawjson:
        return ThreadedDisplay(JSONRenderer(limit: limit), output: .stream(descriptor))
    case .quiet:
        return QuietDisplay()
    case .plain, .auto:
        return ThreadedDisplay(
            PlainRenderer(limit: limit, color: color, explains: explains),
            output: .stream(descriptor)
        )
    }
}

/// A variable of this process's environment.
public func environmentVariable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
}
