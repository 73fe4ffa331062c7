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

    /// Steps that the substitutions of one word may take; an honest one takes a few thousand.
    private static let mostSteps = 4_000_000

    private let tokens: [Token]
    /// The tokens are those of the reversed pattern, for reversed values.
    private let matchesBackwards: Bool
    /// Steps taken so far, by all the substitutions of a word.
    private(set) var steps: Int

    init(_ text: String, matchesBackwards: Bool = false, steps: Int) throws(ExpansionError) {
        var tokens: [Token] = []
        let pattern = matchesBackwards ? Self.reversed(text) : Array(text.unicodeScalars)
        var scalars = pattern[...]
        // As in BuildKit a byte order mark is no part of the pattern.
        if scalars.first == "\u{FEFF}" { scalars.removeFirst() }
        while let scalar = scalars.popFirst() {
            switch scalar {
            case "*": if tokens.last != .star { tokens.append(.star) }
            case "?": tokens.append(.any)
            case "\\":
                let next = scalars.popFirst() ?? "\u{FFFD}"
                guard next == "*" || next == "?" || next == "\\" || next == "}" || next == "/" else {
                    throw ExpansionError(
                        .invalidPattern,
                        "invalid pattern (\(Self.text(pattern))) in substitution: invalid escape '\\\(next)'"
                    )
                }
                tokens.append(.literal(next))
            default: tokens.append(.literal(scalar))
            }
        }
        self.tokens = tokens
        self.matchesBackwards = matchesBackwards
        self.steps = steps
    }

    /// The pattern from its end, escapes still in front of what they escape.
    private static func reversed(_ text: String) -> [Unicode.Scalar] {
        var units: [[Unicode.Scalar]] = []
        var scalars = text.unicodeScalars[...]
        while let scalar = scalars.popFirst() {
            if scalar == "\\", let next = scalars.popFirst() {
                units.append([scalar, next])
            } else {
                units.append([scalar])
            }
        }
        return Array(units.reversed().joined())
    }

    /// The value without the shortest or longest match at its start, or at its end when matching backwards.
    mutating func trimming(_ value: String, longest: Bool) throws(ExpansionError) -> String {
        let scalars = Array(value.unicodeScalars)
        let ordered = matchesBackwards ? scalars.reversed() : scalars
        let length = try matchLength(tokens, ordered, from: 0, longest: longest) ?? 0
        return Self.text(matchesBackwards ? scalars.dropLast(length) : scalars.dropFirst(length))
    }

    /// The value with the first or every match replaced; matches are as long as possible.
    mutating func replacing(
        in value: String,
        with replacement: String,
        all: Bool,
        limit: Int
    ) throws(ExpansionError) -> String {
        let scalars = Array(value.unicodeScalars)
        let template = Self.template(replacement, isTemplate: all)
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
            for part in template { result += part ?? Self.text(scalars[index..<index + length]) }
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

    /// The parts of a replacement, nil for the match itself.
    ///
    /// As in BuildKit the replacement of all matches is a template: `$0` is the match, every other `$name` nothing,
    /// `$$` a dollar.
    private static func template(_ replacement: String, isTemplate: Bool) -> [String?] {
        guard isTemplate, replacement.utf8.contains(UInt8(ascii: "$")) else { return [replacement] }
        var parts: [String?] = []
        var literal = String.UnicodeScalarView()
        var rest = replacement.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            guard scalar == "$", let next = rest.first else {
                literal.append(scalar)
                continue
            }
            if next == "$" {
                rest.removeFirst()
                literal.append("$")
                continue
            }
            let isBraced = next == "{"
            let body = rest.dropFirst(isBraced ? 1 : 0)
            let name = body.prefix { $0 == "_" || $0.properties.generalCategory == .decimalNumber || isLetter($0) }
            if name.isEmpty || isBraced && body[name.endIndex...].first != "}" {
                literal.append("$")
                continue
            }
            rest = body[name.endIndex...].dropFirst(isBraced ? 1 : 0)
            if name.elementsEqual(["0"]) {
                parts += [String(literal), nil]
                literal.removeAll()
            }
        }
        return parts + [String(literal)]
    }

    private static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
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
                throw ExpansionError(.limit, "the substitutions of a word take more than \(Self.mostSteps) steps")
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
