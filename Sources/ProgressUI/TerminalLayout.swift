// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Solver

/// The size of a terminal in characters.
struct TerminalSize: Sendable, Hashable {
    var columns: Int
    var rows: Int

    /// What a terminal is taken to be that does not tell.
    static let fallback = TerminalSize(columns: 80, rows: 24)
}

/// One line of a screen. It takes less than the width of the terminal, tabs and control characters excluded.
struct ScreenLine: Sendable, Hashable {
    enum Style: Sendable, Hashable {
        case normal
        case done
        case failed
        case cancelled
        case output
    }

    var text: String
    var style = Style.normal
}

/// Decides which lines show a build on a screen of a given size.
struct TerminalLayout {
    static let outputRows = 6

    let state: DisplayState
    let buildStarted: EventTime
    let now: EventTime
    /// Columns that lines may fill. The last column stays empty: a terminal may wrap when it is written.
    private let width: Int
    private let rows: Int

    init(_ state: DisplayState, buildStarted: EventTime, now: EventTime, size: TerminalSize) {
        self.state = state
        self.buildStarted = buildStarted
        self.now = now
        width = max(1, size.columns - 1)
        rows = max(1, size.rows - 1)
    }

    // MARK: Screens

    /// The lines while the build runs, at most one less than the screen has rows.
    func live() -> [ScreenLine] {
        var free = rows - 1
        var running = state.running
        var hidden = 0
        if running.count > free {
            hidden = running.count - max(0, free - 1)
            running = Array(running.prefix(max(0, free - 1)))
        }
        free = max(0, free - running.count - (hidden > 0 ? 1 : 0))

        let wanted = running.map { wantedRows(state.steps[$0]) }
        // Steps that are over keep a third of what is left, so that a chatty step does not push them all out.
        let reserved = min(state.finished.count, free / 3)
        let granted = Self.share(free - reserved, among: wanted.map { $0.transfers + $0.output })
        let details = Dictionary(uniqueKeysWithValues: zip(running, zip(wanted, granted)))
        let recent = state.finished.suffix(free - granted.reduce(0, +))

        var lines = [header(nil)]
        for position in (running + recent).sorted() {
            let step = state.steps[position]
            lines.append(line(of: step))
            if let (wanted, granted) = details[position] {
                lines += detail(of: step, wanted: wanted, rows: granted)
            }
        }
        if hidden > 0, rows > 1 {
            lines.append(ScreenLine(text: fitted(" => ... and \(hidden) more running", right: "")))
        }
        return lines
    }

    /// All lines, when the build is over.
    func final(_ ending: BuildEnding) -> [ScreenLine] {
        var lines = [header(ending)]
        for step in state.steps {
            lines.append(line(of: step))
            let style = style(of: step.phase)
            lines += reasonLines(of: step, rows: .max)
            for transfer in step.finishedTransfers { lines.append(line(of: transfer, bar: false, style: style)) }
        }
        return lines
    }

    // MARK: Lines

    private func header(_ ending: BuildEnding?) -> ScreenLine {
        let counts = "(\(state.finished.count)/\(state.steps.count))"
        let base = "[+] Building \(duration(now.since(buildStarted))) \(counts)"
        let (word, style): (String, ScreenLine.Style) =
            switch ending {
            case nil: ("", .normal)
            case .succeeded: (" FINISHED", .done)
            case .failed: (" FAILED", .failed)
            case .cancelled: (" CANCELED", .cancelled)
            }
        return ScreenLine(text: (base + word).truncated(toWidth: width), style: style)
    }

    private func line(of step: DisplayState.Step) -> ScreenLine {
        let tag =
            switch step.phase {
            case .running, .ended(.succeeded): ""
            case .cached: step.isRebased ? "REBASED " : "CACHED "
            case .ended(.cancelled): "CANCELED "
            case .ended(.failed): "ERROR "
            }
        let text = fitted(" => \(tag)\(step.name.withoutTabs)", right: duration(step.elapsed(at: now)))
        return ScreenLine(text: text, style: style(of: step.phase))
    }

    private func style(of phase: DisplayState.Phase) -> ScreenLine.Style {
        switch phase {
        case .running: .normal
        case .cached, .ended(.succeeded): .done
        case .ended(.cancelled): .cancelled
        case .ended(.failed): .failed
        }
    }

    private func line(of transfer: TransferSample, bar: Bool, style: ScreenLine.Style) -> ScreenLine {
        var right = duration((transfer.completed ?? now).since(transfer.started)).leftPadded(toWidth: 6)
        if let total = transfer.total, total > 0 {
            let sizes =
                "\(byteCount(transfer.current).leftPadded(toWidth: 8)) / \(byteCount(total).leftPadded(toWidth: 8))"
            right = (bar && width >= 72 ? Self.bar(transfer.current, of: total) + " " : "") + sizes + " " + right
        } else if transfer.current > 0 {
            right = byteCount(transfer.current) + " " + right
        }
        return ScreenLine(text: fitted(" => => \(shortened(transfer.name))", right: right), style: style)
    }

    /// `left` cut and filled up so that `right` ends at the right edge; on a narrow screen `right` is left out.
    private func fitted(_ left: String, right: String) -> String {
        let room = width - right.displayWidth - 1
        guard !right.isEmpty, room >= 12 else { return left.truncated(toWidth: width) }
        return left.truncated(toWidth: room).padded(toWidth: room) + " " + right
    }

    private static func bar(_ current: Int64, of total: Int64) -> String {
        let cells = 20
        let share = min(1, max(0, Double(current) / Double(total)))
        let filled = Int(share * Double(cells))
        let head = filled < cells ? ">" : ""
        return "[" + (String(repeating: "=", count: filled) + head).padded(toWidth: cells) + "]"
    }

    /// `name` with digests cut to twelve digits.
    private func shortened(_ name: String) -> String {
        guard let start = name.firstRange(of: "sha256:")?.upperBound else { return name }
        let hex = name[start...].prefix { $0.isHexDigit }
        guard hex.count == 64 else { return name }
        return String(name[..<start] + hex.prefix(12) + name[hex.endIndex...])
    }

    // MARK: What a running step shows below its line

    private typealias Rows = (transfers: Int, output: Int)

    private func wantedRows(_ step: DisplayState.Step) -> Rows {
        let list = step.transfers
        let transfers = list.items.count + (list.removedCount > 0 ? 1 : 0)
        return (transfers + (step.reason == nil ? 0 : 1), step.tail.last(Self.outputRows).count)
    }

    /// Why the step runs, in at most so many lines.
    private func reasonLines(of step: DisplayState.Step, rows: Int) -> [ScreenLine] {
        guard let reason = step.reason else { return [] }
        return ProgressUI.reasonLines(reason).prefix(rows).map { line in
            ScreenLine(text: " => => \(line.withoutTabs)".truncated(toWidth: width), style: .output)
        }
    }

    private func detail(of step: DisplayState.Step, wanted: Rows, rows: Int) -> [ScreenLine] {
        let output = min(wanted.output, max(rows - wanted.transfers, rows / 2))
        var lines = reasonLines(of: step, rows: min(1, rows - output))
        lines += transferLines(step.transfers, rows: rows - output - lines.count)
        for line in step.tail.last(output) {
            let text = " => => # \(line.text.withoutTabs)".truncated(toWidth: width)
            lines.append(ScreenLine(text: text, style: .output))
        }
        return lines
    }

    /// All transfers in their order when they fit, else what has been done in one line and some that are under way.
    private func transferLines(_ list: TransferList, rows: Int) -> [ScreenLine] {
        guard rows > 0 else { return [] }
        let samples = list.samples
        if samples.count <= rows, list.removedCount == 0 {
            return samples.map { line(of: $0, bar: true, style: $0.completed == nil ? .normal : .done) }
        }
        let done = samples.filter { $0.completed != nil }
        let active = samples.filter { $0.completed == nil }
        let count = list.removedCount + done.count
        var lines: [ScreenLine] = []
        if count > 0 {
            let bytes = done.reduce(list.removedBytes) { $0 &+ $1.current }
            lines.append(ScreenLine(text: fitted(" => => \(count) done, \(byteCount(bytes))", right: ""), style: .done))
        }
        return lines + active.prefix(rows - lines.count).map { line(of: $0, bar: true, style: .normal) }
    }

    /// Deals `rows` out one by one, so that a step that wants little gets all of it.
    static func share(_ rows: Int, among wanted: [Int]) -> [Int] {
        var granted = wanted.map { _ in 0 }
        var left = rows
        while left > 0 {
            var dealt = false
            for index in wanted.indices where left > 0 && granted[index] < wanted[index] {
                granted[index] += 1
                left -= 1
                dealt = true
            }
            if !dealt { break }
        }
        return granted
    }
}
