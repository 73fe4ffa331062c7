// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Changes to a Dockerfile's text that leave everything else as it is, byte for byte: comments, blank lines, line
/// endings, letter case.
///
/// All ranges are those of the file as it was parsed, whatever was changed before; nothing happens until ``bytes()``.
public struct DockerfileEdit: Sendable {
    private struct Change {
        var range: Range<Int>
        var bytes: [UInt8]
    }

    private let source: SourceText
    private var changes: [Change] = []

    public init(_ dockerfile: Dockerfile) { source = dockerfile.source }

    /// Replaces what stands in a range: an instruction, a word, the value of a flag or directive, a comment.
    public mutating func replace(_ range: SourceRange, with text: String) {
        changes.append(Change(range: offsets(range), bytes: Array(text.utf8)))
    }

    /// Replaces an instruction from its keyword to its end, heredocs and comments between its lines included.
    public mutating func replace(_ instruction: Instruction, with text: String) {
        replace(instruction.range, with: text)
    }

    /// Puts lines above an instruction, below the comments that belong to it or above them.
    ///
    /// - Parameter text: without the newline at its end; newlines inside it become those of the file.
    public mutating func insert(_ text: String, before instruction: Instruction, aboveComments: Bool = false) {
        var line = instruction.range.start.line
        if aboveComments {
            while line > 1, isComment(line - 1) { line -= 1 }
        }
        let offset = source.startOfLine(line)
        changes.append(Change(range: offset..<offset, bytes: lines(text)))
    }

    /// Puts lines below an instruction. Texts for the same place stand in the order in which they were given.
    public mutating func insert(_ text: String, after instruction: Instruction) {
        let offset = source.startOfLine(instruction.lineRange.upperBound + 1)
        var bytes = lines(text)
        if offset == source.bytes.count, source.bytes.last != UInt8(ascii: "\n") {
            // The file ends without a newline, and so will what is new.
            bytes = newline + bytes.dropLast(newline.count)
        }
        changes.append(Change(range: offset..<offset, bytes: bytes))
    }

    /// Removes the lines of an instruction; the comments above it stay.
    public mutating func remove(_ instruction: Instruction) {
        let lines = instruction.lineRange
        let range = source.startOfLine(lines.lowerBound)..<source.startOfLine(lines.upperBound + 1)
        changes.append(Change(range: range, bytes: []))
    }

    /// The file with all changes. Throws when two of them touch the same text, or one lies outside the file.
    public func bytes() throws(DockerfileEditError) -> [UInt8] {
        let ordered = changes.enumerated().sorted { a, b in
            let (left, right) = (a.element.range, b.element.range)
            if left.lowerBound != right.lowerBound { return left.lowerBound < right.lowerBound }
            // What is put in front of a text comes before what replaces it.
            if left.isEmpty != right.isEmpty { return left.isEmpty }
            return a.offset < b.offset
        }
        var result: [UInt8] = []
        var done = 0
        for (_, change) in ordered {
            guard change.range.upperBound <= source.bytes.count else {
                throw DockerfileEditError(message: "the change lies outside the file")
            }
            guard change.range.lowerBound >= done else {
                let line = source.position(at: change.range.lowerBound).line
                throw DockerfileEditError(message: "two changes of line \(line) overlap")
            }
            result += source.bytes[done..<change.range.lowerBound]
            result += change.bytes
            done = change.range.upperBound
        }
        return result + source.bytes[done...]
    }

    /// The file with all changes as text. Throws as ``bytes()``.
    public func text() throws(DockerfileEditError) -> String { String(decoding: try bytes(), as: UTF8.self) }

    // MARK: - Lines

    private func offsets(_ range: SourceRange) -> Range<Int> {
        let start = max(0, range.start.offset)
        return start..<max(start, range.end.offset)
    }

    /// As the first line of the file ends.
    private var newline: [UInt8] {
        guard let first = source.bytes.firstIndex(of: UInt8(ascii: "\n")), first > 0 else {
            return [UInt8(ascii: "\n")]
        }
        return source.bytes[first - 1] == UInt8(ascii: "\r") ? Array("\r\n".utf8) : [UInt8(ascii: "\n")]
    }

    private func lines(_ text: String) -> [UInt8] {
        var result: [UInt8] = []
        for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            result += line.last == UInt8(ascii: "\r") ? Array(line.dropLast()) : Array(line)
            result += newline
        }
        return result
    }

    private func isComment(_ number: Int) -> Bool {
        trimmingSpace(source.bytes[source.byteRange(ofLine: number)]).first == UInt8(ascii: "#")
    }
}

/// Why changes could not be made.
public struct DockerfileEditError: Error, Hashable, Sendable, CustomStringConvertible {
    public var message: String

    public var description: String { message }
}

extension SourceText {
    /// The offset of a line's first byte; for the line after the last one the end of the file.
    fileprivate func startOfLine(_ number: Int) -> Int {
        number <= lineStarts.count ? lineStarts[max(0, number - 1)] : bytes.count
    }
}
