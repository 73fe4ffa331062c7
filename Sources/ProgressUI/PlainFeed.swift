// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Solver

/// How many bytes wait to be printed, over all steps.
struct PlainBacklog: Sendable {
    /// Beyond this, output is dropped: whoever reads is slower than the build, and the build does not wait.
    static let limit = 16 << 20
    var bytes = 0
}

/// The lines of one step that wait to be printed.
struct PlainFeed: Sendable {
    private let prefix: String
    private let keepingColors: Bool
    private var clipper: LogClipper
    private var output = LineBuffer()
    private var errors = LineBuffer()
    private var waiting: [UInt8] = []
    private var dropped = 0

    var transfers: [PlainTransfer] = []
    var isAnnounced = false
    var isClosed = false
    /// When the step was last shown, counted in turns.
    var lastTurn = 0

    init(number: Int, limit: LogLimit, keepingColors: Bool) {
        prefix = "#\(number) "
        self.keepingColors = keepingColors
        clipper = LogClipper(limit)
    }

    var waitingBytes: Int { waiting.count }

    mutating func append(_ bytes: [UInt8], of stream: LogStream, elapsed: Int64, backlog: inout PlainBacklog) {
        let (kept, notice) = clipper.admit(bytes.count, elapsed: elapsed)
        var buffer = stream == .standardOutput ? output : errors
        if stream == .standardOutput { output = LineBuffer() } else { errors = LineBuffer() }
        buffer.append(bytes[..<kept], at: elapsed) { line, time in
            add(LogText.line(line, keepingColors: keepingColors), time: time, backlog: &backlog)
        }
        if let notice {
            buffer.flush { line, time in
                add(LogText.line(line, keepingColors: keepingColors), time: time, backlog: &backlog)
            }
            add(notice, time: elapsed, backlog: &backlog)
        }
        if stream == .standardOutput { output = buffer } else { errors = buffer }
    }

    /// Adds what has no end of line yet: the step writes no more.
    mutating func flush(_ backlog: inout PlainBacklog) {
        for var buffer in [output, errors] {
            buffer.flush { line, time in
                add(LogText.line(line, keepingColors: keepingColors), time: time, backlog: &backlog)
            }
        }
        output = LineBuffer()
        errors = LineBuffer()
    }

    mutating func add(_ text: String, backlog: inout PlainBacklog) {
        let length = prefix.utf8.count + text.utf8.count + 1
        guard backlog.bytes + length <= PlainBacklog.limit else {
            dropped += length
            return
        }
        let before = waiting.count
        if dropped > 0 { noteDropped() }
        waiting += prefix.utf8
        waiting += text.utf8
        waiting.append(0x0A)
        backlog.bytes += waiting.count - before
    }

    mutating func sampleTransfers(now: EventTime, ended: Bool, _ backlog: inout PlainBacklog) {
        var lines: [String] = []
        for index in transfers.indices {
            if let line = transfers[index].line(now: now, ended: ended) { lines.append(line) }
        }
        transfers.removeAll { $0.isDone || ended }
        for line in lines { add(line, backlog: &backlog) }
    }

    /// What waits, which is then gone.
    mutating func take(_ backlog: inout PlainBacklog) -> [UInt8] {
        backlog.bytes -= waiting.count
        if dropped > 0 { noteDropped() }
        defer { waiting = [] }
        return waiting
    }

    private mutating func add(_ text: String, time: Int64, backlog: inout PlainBacklog) {
        add("\(logTime(time)) \(text)", backlog: &backlog)
    }

    private mutating func noteDropped() {
        waiting += "\(prefix)[\(byteCount(Int64(dropped))) of output dropped: it is read too slowly]\n".utf8
        dropped = 0
    }
}

/// Decides when the state of a transfer is worth a line: after a second, then every five, and at its end.
struct PlainTransfer: Sendable {
    private static let firstDelay: Int64 = 1_000_000_000
    private static let interval: Int64 = 5_000_000_000

    private let progress: TransferProgress
    private var due: EventTime
    private var lastCurrent: Int64 = -1
    private(set) var isDone = false

    init(_ progress: TransferProgress) {
        self.progress = progress
        due = EventTime(nanoseconds: progress.started.nanoseconds &+ Self.firstDelay)
    }

    /// The line to print now, if any. When its step has `ended`, an unfinished transfer gets a last line.
    mutating func line(now: EventTime, ended: Bool) -> String? {
        let sample = TransferSample(progress)
        isDone = sample.completed != nil
        guard isDone || ended || (now >= due && sample.current != lastCurrent) else { return nil }
        due = EventTime(nanoseconds: now.nanoseconds &+ Self.interval)
        lastCurrent = sample.current
        return Self.text(sample, now: now)
    }

    private static func text(_ sample: TransferSample, now: EventTime) -> String {
        var text = sample.name
        if let total = sample.total, total > 0 {
            text += " \(byteCount(sample.current)) / \(byteCount(total))"
        } else if sample.current > 0 {
            text += " \(byteCount(sample.current))"
        }
        let elapsed = (sample.completed ?? now).since(sample.started)
        if elapsed > 10_000_000 { text += " \(duration(elapsed))" }
        return sample.completed == nil ? text : text + " done"
    }
}
