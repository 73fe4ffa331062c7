// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// One element of a shell pattern.
enum GlobToken: Equatable {
    case literal(UInt32)
    /// `?`: one character, not `/`.
    case anyCharacter
    /// `[...]`, which as in Go may match `/` too.
    case characterClass([ClosedRange<UInt32>], negated: Bool)
    /// `*`: anything without `/`.
    case star
    /// `**` before more of the pattern: nothing, or anything that ends in `/`. Always followed by `deepInside`.
    case deepEntry
    case deepInside
    /// `**` at the end, or before a literal end: anything.
    case tail

    func consumes(_ scalar: UInt32) -> Bool {
        switch self {
        case .literal(let wanted): wanted == scalar
        case .anyCharacter: scalar != 0x2F
        case .characterClass(let ranges, let negated): ranges.contains { $0.contains(scalar) } != negated
        case .deepInside: scalar == 0x2F
        case .star, .deepEntry, .tail: false
        }
    }
}

/// Reads a shell pattern into tokens.
struct GlobTokenizer {
    private let pattern: String
    private let scalars: [UInt32]
    private var index = 0

    init(_ pattern: String) {
        self.pattern = pattern
        scalars = pattern.unicodeScalars.map(\.value)
    }

    private static let backslash: UInt32 = 0x5C

    mutating func tokens(knowsDoubleStar: Bool) throws(PatternError) -> [GlobToken] {
        var tokens: [GlobToken] = []
        if knowsDoubleStar, let suffix = literalSuffix() { return [.tail] + suffix }
        while index < scalars.count {
            let scalar = scalars[index]
            index += 1
            switch scalar {
            case 0x2A:
                if knowsDoubleStar, index < scalars.count, scalars[index] == 0x2A {
                    index += 1
                    if index < scalars.count, scalars[index] == 0x2F { index += 1 }
                    if index == scalars.count {
                        tokens.append(.tail)
                    } else if tokens.last != .deepInside {
                        tokens += [.deepEntry, .deepInside]
                    }
                } else if tokens.last != .star {
                    tokens.append(.star)
                }
            case 0x3F: tokens.append(.anyCharacter)
            case 0x5B: tokens.append(try characterClass(allowsReversed: !knowsDoubleStar))
            case Self.backslash: tokens.append(.literal(try escaped()))
            default: tokens.append(.literal(scalar))
            }
        }
        return tokens
    }

    /// The text of `**text`, which as in BuildKit matches every path that ends in it: `**.log` takes `a/b.log`.
    private func literalSuffix() -> [GlobToken]? {
        let rest = scalars.dropFirst(2)
        guard scalars.starts(with: [0x2A, 0x2A]), let first = rest.first, first != 0x2F,
            !rest.contains(where: { $0 == 0x2A || $0 == 0x3F || $0 == 0x5B || $0 == 0x5D || $0 == Self.backslash })
        else { return nil }
        return rest.map { .literal($0) }
    }

    private mutating func characterClass(allowsReversed: Bool) throws(PatternError) -> GlobToken {
        var negated = false
        if index < scalars.count, scalars[index] == 0x5E {
            negated = true
            index += 1
        }
        var ranges: [ClosedRange<UInt32>] = []
        while true {
            if index < scalars.count, scalars[index] == 0x5D, !ranges.isEmpty {
                index += 1
                return .characterClass(ranges, negated: negated)
            }
            let low = try classMember()
            var high = low
            if index < scalars.count, scalars[index] == 0x2D {
                index += 1
                high = try classMember()
            }
            // A reversed range matches nothing, but makes the class non-empty; ignore files may not have one.
            if low > high, !allowsReversed { throw malformed() }
            ranges.append(low <= high ? low...high : UInt32.max...UInt32.max)
        }
    }

    private mutating func classMember() throws(PatternError) -> UInt32 {
        guard index < scalars.count, scalars[index] != 0x2D, scalars[index] != 0x5D else { throw malformed() }
        let scalar = scalars[index]
        index += 1
        return scalar == Self.backslash ? try escaped() : scalar
    }

    private mutating func escaped() throws(PatternError) -> UInt32 {
        guard index < scalars.count else { throw malformed() }
        index += 1
        return scalars[index - 1]
    }

    private func malformed() -> PatternError {
        PatternError("syntax error in pattern \"\(pattern)\"", pattern: pattern)
    }
}
