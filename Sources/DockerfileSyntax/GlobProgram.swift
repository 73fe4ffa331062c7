// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A shell pattern as a set-of-positions automaton: one pass over the text, whatever the pattern.
///
/// Bit `i` of the state means that tokens before `i` are matched; the bit after the last token accepts.
struct GlobProgram: Sendable {
    /// Longer patterns cannot name a path (PATH_MAX).
    private static let longestPattern = 4096

    private let tokens: [GlobToken]
    /// What every match begins with, and how many tokens that is.
    private let prefix: [UInt8]
    private let prefixTokens: Int
    /// ASCII characters that every match contains, and the one that it ends in.
    private var required = ASCIISet()
    private var last = ASCIISet()
    /// Words of 64 positions.
    private let wordCount: Int
    /// For each ASCII character the positions that it advances, `wordCount` words each; empty for literals.
    private let advancing: [UInt64]
    private let staysOnAny: [UInt64]
    private let staysOffSlash: [UInt64]
    /// Positions that may be left without reading anything.
    private let skippable: [UInt64]
    private let entries: [UInt64]

    init(_ pattern: String, knowsDoubleStar: Bool) throws(PatternError) {
        guard pattern.utf8.count <= Self.longestPattern else {
            throw PatternError(
                "pattern is longer than \(Self.longestPattern) bytes",
                pattern: String(pattern.prefix(80))
            )
        }
        var tokenizer = GlobTokenizer(pattern)
        let tokens = try tokenizer.tokens(knowsDoubleStar: knowsDoubleStar)
        var text = String.UnicodeScalarView()
        var prefixTokens = 0
        for case .literal(let scalar) in tokens.prefix(while: { if case .literal = $0 { true } else { false } }) {
            text.append(Unicode.Scalar(scalar) ?? "\u{FFFD}")
            prefixTokens += 1
        }
        let words = tokens.count / 64 + 1
        var masks = Masks(words: words)
        if prefixTokens < tokens.count {
            masks.fill(tokens)
        }
        self.tokens = tokens
        self.prefix = Array(String(text).utf8)
        self.prefixTokens = prefixTokens
        wordCount = words
        advancing = masks.advancing
        staysOnAny = masks.staysOnAny
        staysOffSlash = masks.staysOffSlash
        skippable = masks.skippable
        entries = masks.entries
        for case .literal(let scalar) in tokens where scalar < 128 { required.insert(UInt8(scalar)) }
        if case .literal(let scalar)? = tokens.last, scalar < 128 { last.insert(UInt8(scalar)) }
    }

    private struct Masks {
        let words: Int
        var advancing: [UInt64] = []
        var staysOnAny: [UInt64]
        var staysOffSlash: [UInt64]
        var skippable: [UInt64]
        var entries: [UInt64]

        init(words: Int) {
            self.words = words
            staysOnAny = .init(repeating: 0, count: words)
            staysOffSlash = staysOnAny
            skippable = staysOnAny
            entries = staysOnAny
        }

        mutating func fill(_ tokens: [GlobToken]) {
            advancing = .init(repeating: 0, count: 128 * words)
            for (index, token) in tokens.enumerated() {
                let word = index / 64
                let bit = UInt64(1) << UInt64(index % 64)
                switch token {
                case .star:
                    staysOffSlash[word] |= bit
                    skippable[word] |= bit
                case .tail:
                    staysOnAny[word] |= bit
                    skippable[word] |= bit
                case .deepEntry:
                    skippable[word] |= bit
                    entries[word] |= bit
                case .deepInside: staysOnAny[word] |= bit
                default: break
                }
                for scalar in 0..<128 where token.consumes(UInt32(scalar)) { advancing[scalar * words + word] |= bit }
            }
        }
    }

    // MARK: Questions

    /// Whether the pattern matches the whole text.
    func matchesWhole(_ text: UnsafeBufferPointer<UInt8>, isASCII: Bool) -> Bool {
        guard hasPrefix(text) else { return false }
        if prefixTokens == tokens.count { return text.count == prefix.count }
        return run(text, isASCII: isASCII) == .accepted
    }

    /// Whether the pattern matches the path or a parent of it.
    func matchesPathOrParent(
        _ path: UnsafeBufferPointer<UInt8>,
        isASCII: Bool,
        summary: PathSummary
    ) -> Bool {
        guard required.isSubset(of: summary.characters), last.isSubset(of: summary.componentEnds), hasPrefix(path)
        else {
            return false
        }
        if prefixTokens == tokens.count {
            return path.count == prefix.count || path[prefix.count] == UInt8(ascii: "/")
        }
        return run(path, isASCII: isASCII, acceptsParents: true) == .accepted
    }

    /// Whether some path below the directory could match.
    func canMatchBelow(_ directory: UnsafeBufferPointer<UInt8>, isASCII: Bool) -> Bool {
        if directory.count < prefix.count {
            return prefix.starts(with: directory) && prefix[directory.count] == UInt8(ascii: "/")
        }
        guard hasPrefix(directory), prefixTokens < tokens.count else { return false }
        return run(directory, isASCII: isASCII, thenSlash: true) != .dead
    }

    private func hasPrefix(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        guard text.count >= prefix.count else { return false }
        for index in prefix.indices where prefix[index] != text[index] { return false }
        return true
    }

    // MARK: Running

    private enum Outcome {
        case accepted
        case alive
        case dead
    }

    /// Runs from behind the literal prefix, which the caller has checked.
    private func run(
        _ text: UnsafeBufferPointer<UInt8>,
        isASCII: Bool,
        acceptsParents: Bool = false,
        thenSlash: Bool = false
    ) -> Outcome {
        let rest = UnsafeBufferPointer(rebasing: text[prefix.count...])
        if wordCount == 1, isASCII {
            return runSingle(rest, acceptsParents: acceptsParents, thenSlash: thenSlash)
        }
        var state = [UInt64](repeating: 0, count: wordCount)
        state[prefixTokens / 64] |= 1 << UInt64(prefixTokens % 64)
        close(&state)
        for scalar in String(decoding: rest, as: UTF8.self).unicodeScalars {
            if scalar == "/", acceptsParents, accepts(state) { return .accepted }
            if !step(&state, scalar.value) { return .dead }
        }
        if thenSlash { return step(&state, 0x2F) ? .alive : .dead }
        return accepts(state) ? .accepted : .alive
    }

    /// The common case: at most 63 tokens and an ASCII path.
    private func runSingle(
        _ text: UnsafeBufferPointer<UInt8>,
        acceptsParents: Bool,
        thenSlash: Bool
    ) -> Outcome {
        let accepting = UInt64(1) << UInt64(tokens.count)
        let any = staysOnAny[0]
        let offSlash = any | staysOffSlash[0]
        let skips = skippable[0]
        let deep = entries[0]
        func closed(_ state: UInt64) -> UInt64 {
            var state = state
            while true {
                let next = state | (state & skips) << 1 | (state & deep) << 2
                if (next ^ state) & skips == 0 { return next }
                state = next
            }
        }
        return advancing.withUnsafeBufferPointer { advancing in
            var state = closed(UInt64(1) << UInt64(prefixTokens))
            for byte in text {
                if byte == 0x2F {
                    if acceptsParents, state & accepting != 0 { return .accepted }
                    state = (state & advancing[0x2F]) << 1 | state & any
                } else {
                    state = (state & advancing[Int(byte)]) << 1 | state & offSlash
                }
                if state == 0 { return .dead }
                state = closed(state)
            }
            if thenSlash { return (state & advancing[0x2F]) << 1 | state & any == 0 ? .dead : .alive }
            return state & accepting != 0 ? .accepted : .alive
        }
    }

    private func accepts(_ state: [UInt64]) -> Bool {
        state[tokens.count / 64] & (1 << UInt64(tokens.count % 64)) != 0
    }

    /// False when nothing is left.
    private func step(_ state: inout [UInt64], _ scalar: UInt32) -> Bool {
        var next = [UInt64](repeating: 0, count: wordCount)
        var carry: UInt64 = 0
        var any: UInt64 = 0
        for word in 0..<wordCount {
            let moved = state[word] & (scalar < 128 ? advancing[Int(scalar) * wordCount + word] : wide(scalar, word))
            let stays = staysOnAny[word] | (scalar == 0x2F ? 0 : staysOffSlash[word])
            next[word] = moved << 1 | carry | state[word] & stays
            carry = moved >> 63
            any |= next[word]
        }
        state = next
        close(&state)
        return any != 0
    }

    /// The positions of a word that a character beyond ASCII advances.
    private func wide(_ scalar: UInt32, _ word: Int) -> UInt64 {
        var mask: UInt64 = 0
        for index in word * 64..<min(tokens.count, word * 64 + 64) where tokens[index].consumes(scalar) {
            mask |= 1 << UInt64(index % 64)
        }
        return mask
    }

    private func close(_ state: inout [UInt64]) {
        var changed = true
        while changed {
            changed = false
            var carry: UInt64 = 0
            for word in 0..<wordCount {
                let skipping = state[word] & skippable[word]
                let entering = state[word] & entries[word]
                let next = state[word] | skipping << 1 | entering << 2 | carry
                carry = skipping >> 63 | entering >> 62
                if next != state[word] {
                    state[word] = next
                    changed = true
                }
            }
        }
    }
}

/// A set of ASCII characters.
struct ASCIISet: Sendable {
    private var low: UInt64 = 0
    private var high: UInt64 = 0

    mutating func insert(_ byte: UInt8) {
        let bit = UInt64(1) << UInt64(byte & 63)
        if byte < 64 { low |= bit } else if byte < 128 { high |= bit }
    }

    func isSubset(of other: ASCIISet) -> Bool { low & ~other.low == 0 && high & ~other.high == 0 }
}

/// What rejects most patterns for a path without running them.
struct PathSummary {
    private(set) var characters = ASCIISet()
    private(set) var componentEnds = ASCIISet()
    private(set) var isASCII = true

    init(_ path: UnsafeBufferPointer<UInt8>) {
        var previous: UInt8?
        for byte in path {
            if byte >= 0x80 { isASCII = false }
            characters.insert(byte)
            if byte == UInt8(ascii: "/"), let previous { componentEnds.insert(previous) }
            previous = byte
        }
        if let previous { componentEnds.insert(previous) }
    }
}
