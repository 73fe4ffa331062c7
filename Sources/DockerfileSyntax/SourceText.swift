// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// The bytes of a file and where its lines begin.
public struct SourceText: Sendable {
    /// The name used in messages.
    public let name: String
    public let bytes: [UInt8]
    /// Offsets of the first byte of each line.
    let lineStarts: [Int]

    public init(_ bytes: [UInt8], name: String = "Dockerfile") {
        self.name = name
        self.bytes = bytes
        var starts = [0]
        for (offset, byte) in bytes.enumerated() where byte == UInt8(ascii: "\n") { starts.append(offset + 1) }
        if starts.count > 1, starts.last == bytes.count { starts.removeLast() }
        lineStarts = starts
    }

    public var lineCount: Int { lineStarts.count }

    /// The text of a line (from one) without its line ending; empty when there is no such line.
    public func line(_ number: Int) -> String {
        String(decoding: bytes[byteRange(ofLine: number)], as: UTF8.self)
    }

    /// The bytes of a line (from one) without its line ending.
    func byteRange(ofLine number: Int) -> Range<Int> {
        guard number >= 1, number <= lineStarts.count else { return bytes.count..<bytes.count }
        let start = lineStarts[number - 1]
        var end = number < lineStarts.count ? lineStarts[number] : bytes.count
        if end > start, bytes[end - 1] == UInt8(ascii: "\n") { end -= 1 }
        if end > start, bytes[end - 1] == UInt8(ascii: "\r") { end -= 1 }
        return start..<end
    }

    /// How many bytes a line (from one) has before its line feed.
    func length(ofLine number: Int) -> Int {
        let end = number < lineStarts.count ? lineStarts[number] - 1 : bytes.count
        return (bytes.last == UInt8(ascii: "\n") && number == lineStarts.count ? end - 1 : end) - lineStarts[number - 1]
    }

    /// Line and column of a byte offset; offsets beyond the end give the end.
    public func position(at offset: Int) -> SourcePosition {
        let offset = min(max(0, offset), bytes.count)
        var low = 0
        var high = lineStarts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if lineStarts[middle] <= offset { low = middle } else { high = middle }
        }
        return SourcePosition(line: low + 1, column: offset - lineStarts[low] + 1, offset: offset)
    }

    public func range(_ offsets: Range<Int>) -> SourceRange {
        SourceRange(start: position(at: offsets.lowerBound), end: position(at: offsets.upperBound))
    }
}
