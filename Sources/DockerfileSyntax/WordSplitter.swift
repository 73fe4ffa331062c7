// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Splits expanded text at white space, except where it was quoted or escaped.
struct WordSplitter {
    typealias Word = (text: String, place: Range<Int>)

    private var isActive = true
    private var word: [UInt8] = []
    private var place = 0..<0
    private var words: [Word] = []

    /// Adds text that comes from a range of the source.
    mutating func add(_ text: ArraySlice<UInt8>, from source: Range<Int>) {
        guard isActive else { return }
        var index = text.startIndex
        while index < text.endIndex {
            let length = spaceLength(text, at: index)
            if length > 0 {
                endWord()
                index += length
            } else {
                extend(to: source)
                word.append(text[index])
                index += 1
            }
        }
    }

    /// Adds text whose blanks separate nothing.
    mutating func addQuoted(_ text: some Collection<UInt8>, from source: Range<Int>) {
        guard isActive, !text.isEmpty else { return }
        extend(to: source)
        word += text
    }

    private mutating func extend(to source: Range<Int>) {
        place = (word.isEmpty ? source.lowerBound : place.lowerBound)..<source.upperBound
    }

    /// Forgets the unfinished word and ignores what is added until ``resume(_:)``.
    mutating func suspend() -> Bool {
        defer { isActive = false }
        word = []
        return isActive
    }

    mutating func resume(_ wasActive: Bool) { isActive = wasActive }

    mutating func finish() -> [Word] {
        endWord()
        return words
    }

    private mutating func endWord() {
        if word.isEmpty { return }
        words.append((String(decoding: word, as: UTF8.self), place))
        word = []
    }
}
