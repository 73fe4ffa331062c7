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
            // `\s` of BuildKit's expression, which knows no vertical tab.
            rest = rest.drop { isBlank($0) && $0 != 0x0B }
            guard !rest.contains(UInt8(ascii: "<")), let delimiter = String(rest) else { return nil }
            fileDescriptor = digits.isEmpty ? 0 : Int(String(decoding: digits, as: UTF8.self)) ?? .max
            let expander = WordExpander(mode: .init(keepsUnset: true))
            let quoting = WordExpander(mode: .init(keepsQuotes: true, keepsUnset: true))
            guard let words = try? expander.expandToWords(delimiter, environment: [:]), words.count == 1,
                let quoted = try? quoting.expandToWords(delimiter, environment: [:]), quoted.count == 1
            else { return nil }
            name = words[0]
            func quotes(_ text: String) -> Int {
                text.utf8.count { $0 == UInt8(ascii: "'") || $0 == UInt8(ascii: "\"") }
            }
            // A quote that is removed makes the body literal; an escape alone does not.
            expands = quotes(name) == quotes(quoted[0])
        }
    }

    /// How many heredocs one instruction may open.
    static let most = 1000

    /// The words of an instruction that open heredocs, in order, at most one more than allowed; none when the line
    /// has an open quote or a malformed substitution.
    static func markers(in line: ArraySlice<UInt8>) -> [(marker: Marker, range: Range<Int>)] {
        var scanner = WordScanner(
            Array(line),
            escape: "\\",
            mode: .init(keepsQuotes: true, keepsEscapes: true, keepsUnset: true),
            environment: [String: String]()
        )
        guard let words = try? scanner.words() else { return [] }
        var result: [(Marker, Range<Int>)] = []
        for (text, place) in words where text.utf8.contains(UInt8(ascii: "<")) {
            guard let marker = Marker(word: text) else { continue }
            result.append((marker, place.lowerBound + line.startIndex..<place.upperBound + line.startIndex))
            if result.count > Self.most { break }
        }
        return result
    }
}
