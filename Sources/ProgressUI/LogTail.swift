// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Solver

/// A line of a step's output.
public struct LogLine: Sendable, Hashable, CustomStringConvertible {
    /// Nanoseconds from the start of the step.
    public var elapsed: Int64
    public var text: String

    public init(elapsed: Int64, text: String) {
        self.elapsed = elapsed
        self.text = text
    }

    /// The line with the seconds since the step began in front, like `0.123 text`.
    public var description: String { "\(logTime(elapsed)) \(text)" }
}

/// The last lines of a step's output, whatever the log limits cut from the rest.
struct LogTail: Sendable {
    static let capacity = 30
    private static let lineLimit = 4096

    // As written: most lines leave the tail unseen and need not be made printable.
    private var lines: [(bytes: [UInt8], elapsed: Int64)] = []
    private var output = LineBuffer()
    private var errors = LineBuffer()

    mutating func append(_ bytes: [UInt8], of stream: LogStream, at elapsed: Int64) {
        let rest = Self.end(of: bytes)
        var lines = lines
        self.lines = []
        let emit: (ArraySlice<UInt8>, Int64) -> Void = { line, time in
            lines.append((Array(line.prefix(Self.lineLimit)), time))
            // In batches: moving 30 lines for each new one would cost more than the line.
            if lines.count >= 4 * Self.capacity { lines.removeFirst(lines.count - Self.capacity) }
        }
        switch stream {
        case .standardOutput: output.append(rest, at: elapsed, emit: emit)
        case .standardError: errors.append(rest, at: elapsed, emit: emit)
        }
        self.lines = lines
    }

    /// The last `count` lines at most, unfinished ones included.
    func last(_ count: Int = capacity) -> [LogLine] {
        var all = lines.suffix(count).map { Self.line($0.bytes[...], $0.elapsed) }
        for buffer in [output, errors] where !buffer.unfinished.isEmpty {
            all.append(Self.line(buffer.unfinished, buffer.began))
        }
        return all.suffix(count)
    }

    private static func line(_ bytes: ArraySlice<UInt8>, _ time: Int64) -> LogLine {
        LogLine(elapsed: time, text: LogText.line(bytes.prefix(lineLimit)))
    }

    /// The part of a big piece that can still be in the tail.
    private static func end(of bytes: [UInt8]) -> ArraySlice<UInt8> {
        guard bytes.count > 8192 else { return bytes[...] }
        var rest = bytes[...]
        for _ in 0...capacity {
            guard let newline = rest.lastOffset(of: 0x0A) else { return bytes[...] }
            rest = rest[..<newline]
        }
        // The newline itself stays: it ends what was unfinished before.
        return bytes[rest.endIndex...]
    }
}
