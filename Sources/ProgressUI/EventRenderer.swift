// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Solver

/// Turns events into output, without a clock or a terminal of its own.
protocol EventRenderer: Sendable {
    var failedSteps: [FailedStep] { get }

    /// Takes an event; true when it should be seen before the next tick.
    mutating func receive(_ event: SolverEvent) -> Bool

    /// What to write now. With an `ending` it is the last time.
    mutating func render(now: EventTime, size: TerminalSize, ending: BuildEnding?) -> [UInt8]
}

/// Shows a build on a terminal, redrawn in place.
struct TerminalRenderer: EventRenderer {
    private var state: DisplayState
    private var screen: TerminalScreen
    private let startedAt: EventTime

    /// - Parameter explains: whether steps show why they run.
    init(color: Bool, startedAt: EventTime, explains: Bool = false) {
        state = DisplayState(explains: explains)
        screen = TerminalScreen(color: color)
        self.startedAt = startedAt
    }

    var failedSteps: [FailedStep] { state.failedSteps }

    mutating func receive(_ event: SolverEvent) -> Bool {
        state.apply(event)
        switch event {
        case .started, .cached, .completed: return true
        case .log, .transfer, .warning, .rebased, .reason: return false
        }
    }

    mutating func render(now: EventTime, size: TerminalSize, ending: BuildEnding?) -> [UInt8] {
        if ending != nil { state.cancelRunning(at: now) }
        let layout = TerminalLayout(state, buildStarted: startedAt, now: now, size: size)
        guard let ending else { return screen.draw(layout.live(), size: size) }
        let report = failureReports(state.failedSteps) + warningSummary(state, expanded: false)
        return screen.close(layout.final(ending), then: report)
    }
}
