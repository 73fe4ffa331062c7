// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Solver

/// Shows a build as lines that are only ever added: `#6 0.345 text`.
///
/// Lines of one step are kept together. Steps that have ended are printed first; another running step takes over when
/// the one being shown has been silent, or has had its time.
struct PlainRenderer: EventRenderer {
    private static let silence: Int64 = 500_000_000
    private static let turn: Int64 = 5_000_000_000
    /// A step that waits with more than this takes over at once.
    private static let impatient = 1 << 20

    private var state: DisplayState
    private var feeds: [PlainFeed] = []
    private let limit: LogLimit
    private let color: Bool
    /// Bytes that wait in all feeds.
    private var backlog = PlainBacklog()

    private var shown: Int?
    private var shownSince = EventTime(nanoseconds: 0)
    private var lastOutput = EventTime(nanoseconds: 0)
    private var isFirst = true
    private var printedEnds = 0

    /// - Parameter explains: whether steps show why they run.
    init(limit: LogLimit, color: Bool, explains: Bool = false) {
        state = DisplayState(explains: explains)
        self.limit = limit
        self.color = color
    }

    var failedSteps: [FailedStep] { state.failedSteps }

    mutating func receive(_ event: SolverEvent) -> Bool {
        state.apply(event)
        while feeds.count < state.steps.count {
            feeds.append(PlainFeed(number: feeds.count + 1, limit: limit, keepingColors: color))
        }
        switch event {
        case .log(let id, let stream, let bytes, let time):
            guard let position = state.position(of: id), state.steps[position].phase == .running else { return false }
            let elapsed = time.since(state.steps[position].started)
            feeds[position].append(bytes, of: stream, elapsed: elapsed, backlog: &backlog)
            return backlog.bytes > 256 << 10
        case .transfer(let id, let transfer):
            guard let position = state.position(of: id), state.steps[position].phase == .running else { return false }
            feeds[position].transfers.append(PlainTransfer(transfer))
        case .warning(let id?, let warning):
            guard let position = state.position(of: id), state.steps[position].phase == .running else { return false }
            feeds[position].add("WARN: \(headline(warning))", backlog: &backlog)
        case .completed(let id, _, _):
            if let position = state.position(of: id) { feeds[position].flush(&backlog) }
        case .reason(let id, _):
            guard let position = state.position(of: id), let reason = state.steps[position].reason else { return false }
            for line in reasonLines(reason) { feeds[position].add(line, backlog: &backlog) }
        case .started, .cached, .rebased, .warning(nil, _): break
        }
        return false
    }

    mutating func render(now: EventTime, size: TerminalSize, ending: BuildEnding?) -> [UInt8] {
        var out: [UInt8] = []
        if ending != nil {
            for position in state.running { feeds[position].flush(&backlog) }
            state.cancelRunning(at: now)
        }
        for position in feeds.indices where !feeds[position].transfers.isEmpty {
            feeds[position].sampleTransfers(now: now, ended: state.steps[position].phase != .running, &backlog)
        }
        if let shown { show(shown, now: now, into: &out) }
        while printedEnds < state.finished.count {
            let position = state.finished[printedEnds]
            printedEnds += 1
            if !feeds[position].isClosed { show(position, now: now, into: &out) }
        }
        if let next = nextStep(now: now) { show(next, now: now, into: &out) }
        if ending != nil {
            out += failureReports(state.failedSteps).utf8
            out += warningSummary(state, expanded: true).utf8
        }
        return out
    }

    /// The running step that takes over now.
    private func nextStep(now: EventTime) -> Int? {
        let others = state.running.filter { $0 != shown && (!feeds[$0].isAnnounced || feeds[$0].waitingBytes > 0) }
        guard !others.isEmpty else { return nil }
        let loudest = others.max { feeds[$0].waitingBytes < feeds[$1].waitingBytes }
        if let loudest, feeds[loudest].waitingBytes > Self.impatient { return loudest }
        if shown != nil {
            let isOver = now.since(lastOutput) >= Self.silence || now.since(shownSince) >= Self.turn
            guard isOver else { return nil }
        }
        // Who waits longest; what says nothing comes after what does.
        return others.min { waitingSince($0) < waitingSince($1) }
    }

    private func waitingSince(_ position: Int) -> (Int, Int) {
        (feeds[position].waitingBytes > 0 ? 0 : 1, feeds[position].lastTurn)
    }

    private mutating func show(_ position: Int, now: EventTime, into out: inout [UInt8]) {
        let step = state.steps[position]
        if shown != position {
            if let shown { out += "#\(state.steps[shown].number) ...\n".utf8 }
            if !isFirst { out.append(0x0A) }
            isFirst = false
            out += "#\(step.number) \(step.name)\n".utf8
            shown = position
            shownSince = now
            lastOutput = now
            turns += 1
            feeds[position].isAnnounced = true
        }
        feeds[position].lastTurn = turns
        let waiting = feeds[position].take(&backlog)
        if !waiting.isEmpty { lastOutput = now }
        out += waiting
        if let closing = Self.closing(of: step) {
            out += "#\(step.number) \(closing)\n".utf8
            feeds[position].isClosed = true
            shown = nil
        }
    }

    private var turns = 0

    private static func closing(of step: DisplayState.Step) -> String? {
        switch step.phase {
        case .running: nil
        case .cached: step.isRebased ? "CACHED (rebased: the same layer on a changed base)" : "CACHED"
        case .ended(.succeeded): "DONE \(duration(step.elapsed(at: step.started)))"
        case .ended(.cancelled): "CANCELED"
        case .ended(.failed(let message)): "ERROR: \(LogText.message(message))"
        }
    }
}
