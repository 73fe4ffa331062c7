// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

extension Heredoc {
    /// A word that opens a heredoc: `[fd]<<[-]NAME`.
    struct Marker: Hashable {
        var name: String
        var fileDescriptor: Int
        var expands: Bool
        var stripsTabs: Bool

        /// Nil when `word` opens no heredoc.
        init?(word: String) {
            var rest = word.utf8[...]
            let digits = rest.prefix { $0 >= 0x30 && $0 <= 0x39 }
            rest = rest.dropFirst(digits.count)
            guard rest.starts(with: "<<".utf8) else { return nil }
            rest = rest.dropFirst(2)
            stripsTabs = rest.first == UInt8(ascii: "-")
            if stripsTabs { rest = rest.dropFirst() }
            rest = rest.drop(while: isBlank)
            guard !rest.contains(UInt8(ascii: "<")), let delimiter = String(rest) else { return nil }
            guard let descriptor = digits.isEmpty ? 0 : Int(String(decoding: digits, as: UTF8.self)) else { return nil }
            fileDescriptor = descriptor
            let expander = WordExpander(mode: .init(keepsUnset: true))
            let quoting = WordExpander(mode: .init(keepsQuotes: true, keepsUnset: true))
            guard let words = try? expander.expandToWords(delimiter, environment: [:]), words.count == 1,
                let quoted = try? quoting.expand(delimiter, environment: [:])
            else { return nil }
            name = words[0]
            func quotes(_ text: String) -> Int {
                text.utf8.count { $0 == UInt8(ascii: "'") || $0 == UInt8(ascii: "\"") }
            }
            // A quote that is removed makes the body literal; an escape alone does not.
            expands = quotes(name) == quotes(quoted)
        }
    }

    /// How many heredocs one instruction may open.
    static let most = 1000

    /// The words of an instruction that open heredocs, in order, at most one more than allowed; none when a quote is left open.
    static func markers(in line: ArraySlice<UInt8>) -> [(marker: Marker, range: Range<Int>)] {
        var result: [(Marker, Range<Int>)] = []
        var index = line.startIndex
        while index < line.endIndex, result.count <= Self.most {
            if isBlank(line[index]) {
                index += 1
                continue
            }
            guard let end = endOfShellWord(line, from: index) else { return [] }
            if let shift = line[index..<end].firstIndex(of: UInt8(ascii: "<")),
                line[index..<shift].allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
                let marker = Marker(word: String(decoding: line[index..<end], as: UTF8.self))
            {
                result.append((marker, index..<end))
            }
            index = end
        }
        return result
    }

    /// The end of the word that begins at `start`, nil when one of its quotes is not closed.
    private static func endOfShellWord(_ line: ArraySlice<UInt8>, from start: Int) -> Int? {
        var index = start
        while index < line.endIndex, !isBlank(line[index]) {
            let byte = line[index]
            index += 1
            switch byte {
            case UInt8(ascii: "\\"): index = min(index + 1, line.endIndex)
            case UInt8(ascii: "<") where index < line.endIndex && line[index] == byte:
                // Blanks between the operator and its delimiter belong to the word.
                index += 1
                var next = index
                if next < line.endIndex, line[next] == UInt8(ascii: "-") { next += 1 }
                if next < line.endIndex, isBlank(line[next]) { index = next }
                while index < line.endIndex, isBlank(line[index]) { index += 1 }
            case UInt8(ascii: "'"):
                guard let end = line[index...].firstIndex(of: byte) else { return nil }
                index = end + 1
            case UInt8(ascii: "\""):
                while index < line.endIndex, line[index] != byte {
                    index += line[index] == UInt8(ascii: "\\") ? 2 : 1
                }
                guard index < line.endIndex else { return nil }
                index += 1
            default: break
            }
        }
        return index
    }
}
