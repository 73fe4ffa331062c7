// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// An instruction's line with its continuations joined, which still knows where each byte came from.
struct LogicalLine {
    private struct Piece {
        /// Where the piece begins in the joined line.
        let joined: Int
        let source: Int
        let line: Int
        let lineStart: Int
    }

    private(set) var bytes: [UInt8] = []
    private var pieces: [Piece] = []

    /// Appends `count` bytes of a file that begin at `offset` of the given line.
    mutating func append(_ slice: ArraySlice<UInt8>, line: Int, lineStart: Int) {
        if slice.isEmpty { return }
        pieces.append(Piece(joined: bytes.count, source: slice.startIndex, line: line, lineStart: lineStart))
        bytes += slice
    }

    /// The joined line without white space at both ends.
    var trimmed: Range<Int> {
        let slice = trimmingSpace(bytes)
        return slice.startIndex..<slice.endIndex
    }

    func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

    func word(_ range: Range<Int>) -> Word { Word(text(range), range: sourceRange(range)) }

    /// The span in the file from the first to the last byte of the range.
    func sourceRange(_ range: Range<Int>) -> SourceRange {
        let start = position(range.lowerBound)
        if range.isEmpty { return SourceRange(start: start, end: start) }
        var end = position(range.upperBound - 1)
        end.column += 1
        end.offset += 1
        return SourceRange(start: start, end: end)
    }

    private func position(_ index: Int) -> SourcePosition {
        var low = 0
        var high = pieces.count
        guard high > 0 else { return .start }
        while high - low > 1 {
            let middle = (low + high) / 2
            if pieces[middle].joined <= index { low = middle } else { high = middle }
        }
        let piece = pieces[low]
        let offset = piece.source + index - piece.joined
        return SourcePosition(line: piece.line, column: offset - piece.lineStart + 1, offset: offset)
    }
}

extension LogicalLine {
    /// The range without blanks at both ends.
    func trimming(_ range: Range<Int>) -> Range<Int> {
        let slice = trimmingSpace(bytes[range])
        return slice.startIndex..<slice.endIndex
    }

    /// Splits at blanks; quotes mean nothing here.
    func blankSeparated(_ range: Range<Int>) -> [Range<Int>] {
        bytes[range].split(whereSeparator: isBlank).map { $0.startIndex..<$0.endIndex }
    }

    /// Splits at white space outside quotes; quotes and escapes stay.
    func quotedWords(_ range: Range<Int>, escape: UInt8) -> [Range<Int>] {
        var words: [Range<Int>] = []
        var index = range.lowerBound
        while index < range.upperBound {
            let space = spaceLength(bytes[..<range.upperBound], at: index)
            if space > 0 {
                index += space
                continue
            }
            let start = index
            var end = range.upperBound
            var quote: UInt8?
            scanning: while index < range.upperBound {
                let byte = bytes[index]
                if quote == nil, spaceLength(bytes[..<range.upperBound], at: index) > 0 {
                    end = index
                    break
                }
                index += 1
                switch byte {
                case escape where quote != UInt8(ascii: "'"):
                    if index == range.upperBound {
                        // An escape with nothing behind it is dropped.
                        end = index - 1
                        break scanning
                    }
                    index += 1
                case UInt8(ascii: "'"), UInt8(ascii: "\""):
                    if quote == nil { quote = byte } else if quote == byte { quote = nil }
                default: break
                }
            }
            if end > start { words.append(start..<end) }
        }
        return words
    }
}
