// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// The pattern of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`: `*`, `?` and escapes, no classes.
///
/// Wildcards do not match a newline.
struct SubstitutionPattern {
    private enum Token: Equatable {
        case literal(Unicode.Scalar)
        case any
        case star
    }

    /// Steps that one substitution may take; an honest one takes a few thousand.
    private static let mostSteps = 4_000_000

    private let tokens: [Token]
    private var steps = 0

    init(_ text: String) throws(ExpansionError) {
        var tokens: [Token] = []
        var scalars = text.unicodeScalars[...]
        while let scalar = scalars.popFirst() {
            switch scalar {
            case "*": if tokens.last != .star { tokens.append(.star) }
            case "?": tokens.append(.any)
            case "\\":
                guard let next = scalars.popFirst() else {
                    throw ExpansionError(.invalidPattern, "invalid pattern (\(text)) in substitution: trailing escape")
                }
                guard next == "*" || next == "?" || next == "\\" || next == "}" || next == "/" else {
                    throw ExpansionError(
                        .invalidPattern,
                        "invalid pattern (\(text)) in substitution: invalid escape '\\\(next)'"
                    )
                }
                tokens.append(.literal(next))
            default: tokens.append(.literal(scalar))
            }
        }
        self.tokens = tokens
    }

    /// The value without the shortest or longest match at one of its ends.
    mutating func trimming(_ value: String, fromEnd: Bool, longest: Bool) throws(ExpansionError) -> String {
        let scalars = Array(value.unicodeScalars)
        if fromEnd {
            let length = try matchLength(
                tokens.reversed(),
                scalars.reversed(),
                from: 0,
                longest: longest
            )
            return Self.text(scalars.dropLast(length ?? 0))
        }
        return Self.text(scalars.dropFirst(try matchLength(tokens, scalars, from: 0, longest: longest) ?? 0))
    }

    /// The value with the first or every match replaced; matches are as long as possible.
    mutating func replacing(
        in value: String,
        with replacement: String,
        all: Bool,
        limit: Int
    ) throws(ExpansionError) -> String {
        let scalars = Array(value.unicodeScalars)
        var result = ""
        var index = 0
        var lastEnd = -1
        while index <= scalars.count {
            guard let length = try matchLength(tokens, scalars, from: index, longest: true),
                length > 0 || index != lastEnd
            else {
                if index < scalars.count { result.unicodeScalars.append(scalars[index]) }
                index += 1
                continue
            }
            result += replacement
            guard result.utf8.count <= limit else {
                throw ExpansionError(.limit, "the substitution makes more than \(limit >> 20) MiB")
            }
            if !all { return result + Self.text(scalars[(index + length)...]) }
            if length == 0, index < scalars.count { result.unicodeScalars.append(scalars[index]) }
            index += max(1, length)
            lastEnd = length == 0 ? -1 : index
        }
        return result
    }

    private static func text(_ scalars: some Sequence<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    /// How many scalars from `start` the tokens match, nil when they do not.
    private mutating func matchLength(
        _ tokens: [Token],
        _ scalars: [Unicode.Scalar],
        from start: Int,
        longest: Bool
    ) throws(ExpansionError) -> Int? {
        // The set of tokens that may come next, in increasing order.
        var active = [0]
        if tokens.first == .star { active.append(1) }
        var best: Int?
        var index = start
        while true {
            if active.last == tokens.count {
                best = index - start
                if !longest { return best }
            }
            guard index < scalars.count, !active.isEmpty else { return best }
            let scalar = scalars[index]
            index += 1
            steps += active.count + 1
            guard steps <= Self.mostSteps else {
                throw ExpansionError(.limit, "the substitution takes more than \(Self.mostSteps) steps")
            }
            var next: [Int] = []
            for position in active where position < tokens.count {
                let target: Int
                switch tokens[position] {
                case .literal(let wanted) where wanted == scalar: target = position + 1
                case .any where scalar != "\n": target = position + 1
                case .star where scalar != "\n": target = position
                default: continue
                }
                if next.last ?? -1 >= target { continue }
                next.append(target)
                if target < tokens.count, tokens[target] == .star { next.append(target + 1) }
            }
            active = next
        }
    }
}
