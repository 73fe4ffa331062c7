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
    /// The tokens are those of the reversed pattern, for reversed values.
    private let matchesBackwards: Bool
    private var steps = 0

    init(_ text: String, matchesBackwards: Bool = false) throws(ExpansionError) {
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
        let template = Array(replacement.unicodeScalars)
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
            if all {
                Self.append(template, to: &result, match: scalars[index..<index + length])
            } else {
                result += replacement
            }
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

    /// Appends the replacement of one of all matches.
    ///
    /// As in BuildKit it is a template there: `$0` is the match, every other `$name` nothing, `$$` a dollar.
    private static func append(
        _ template: [Unicode.Scalar],
        to result: inout String,
        match: ArraySlice<Unicode.Scalar>
    ) {
        var rest = template[...]
        while let scalar = rest.popFirst() {
            guard scalar == "$", let next = rest.first else {
                result.unicodeScalars.append(scalar)
                continue
            }
            if next == "$" {
                rest.removeFirst()
                result.unicodeScalars.append("$")
                continue
            }
            let isBraced = next == "{"
            let name = rest.dropFirst(isBraced ? 1 : 0).prefix {
                $0 == "_" || $0.properties.numericType == .decimal || isLetter($0)
            }
            if name.isEmpty || isBraced && rest.dropFirst(name.count + 1).first != "}" {
                result.unicodeScalars.append("$")
                continue
            }
            rest = rest.dropFirst(name.count + (isBraced ? 2 : 0))
            if name.elementsEqual(["0"]) { result.unicodeScalars.append(contentsOf: match) }
        }
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
