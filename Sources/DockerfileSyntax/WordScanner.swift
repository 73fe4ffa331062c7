// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// One expansion of one word: reads bytes, asks the environment, collects the result.
struct WordScanner<Environment: VariableLookup> {
    /// Deeper `${a:-${b:-...}}` is refused rather than risking the stack.
    private static var deepestNesting: Int { 100 }
    /// Bytes that variables may add to one word.
    private static var largestGrowth: Int { 4 << 20 }

    private let bytes: [UInt8]
    private var index = 0
    private let escape: UInt8
    private let mode: WordExpander.Mode
    private let environment: Environment
    private var depth = 0
    private var growth = 0
    private var steps = 0
    private var used: Set<String> = []
    private var unset: Set<String> = []
    private var splitter = WordSplitter()

    init(_ word: String, escape: Character, mode: WordExpander.Mode, environment: Environment) {
        self.init(Array(word.utf8), escape: escape, mode: mode, environment: environment)
    }

    init(_ word: [UInt8], escape: Character, mode: WordExpander.Mode, environment: Environment) {
        bytes = word
        self.escape = escape.asciiValue ?? UInt8(ascii: "\\")
        self.mode = mode
        self.environment = environment
        // As in BuildKit a byte order mark is no part of the word.
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { index = 3 }
    }

    mutating func expansion() throws(ExpansionError) -> Expansion {
        let text = try segment(until: nil, keepsEscapes: mode.keepsEscapes)
        return Expansion(
            text: String(decoding: text, as: UTF8.self),
            words: splitter.finish().map(\.text),
            used: used,
            unset: unset
        )
    }

    /// The words and the bytes that each comes from.
    mutating func words() throws(ExpansionError) -> [(text: String, place: Range<Int>)] {
        _ = try segment(until: nil, keepsEscapes: mode.keepsEscapes)
        return splitter.finish()
    }

    // MARK: Text and quotes

    /// Reads up to the end, or through `stop`.
    private mutating func segment(until stop: UInt8?, keepsEscapes: Bool) throws(ExpansionError) -> [UInt8] {
        var result: [UInt8] = []
        while index < bytes.count {
            let byte = bytes[index]
            let start = index
            if byte == stop {
                index += 1
                return result
            }
            switch byte {
            case UInt8(ascii: "'") where mode.processesQuotes:
                let text = try singleQuoted()
                result += text
                splitter.addQuoted(text, from: start..<index)
            case UInt8(ascii: "\"") where mode.processesQuotes:
                let text = try doubleQuoted(keepsEscapes: keepsEscapes)
                result += text
                splitter.addQuoted(text, from: start..<index)
            case UInt8(ascii: "$"):
                let text = try variable(keepsEscapes: keepsEscapes)
                result += text
                splitter.add(text[...], from: start..<index)
            case UInt8(ascii: "<"):
                skipHeredocOperator()
                result += bytes[start..<index]
                splitter.addQuoted(bytes[start..<index], from: start..<index)
            case escape:
                index += 1
                let text = bytes[(keepsEscapes ? start : index)..<min(index + 1, bytes.count)]
                index = text.endIndex
                result += text
                splitter.addQuoted(text, from: start..<index)
            default:
                index += max(1, spaceLength(bytes, at: index))
                result += bytes[start..<index]
                splitter.add(bytes[start..<index], from: start..<index)
            }
        }
        if let stop {
            throw ExpansionError(
                .unterminated,
                "unexpected end of statement while looking for matching \(Character(Unicode.Scalar(stop)))"
            )
        }
        return result
    }

    /// `<` or `<<`; blanks behind the latter belong to its word.
    private mutating func skipHeredocOperator() {
        index += 1
        guard index < bytes.count, bytes[index] == UInt8(ascii: "<") else { return }
        index += 1
        while index < bytes.count, [0x20, 0x09, 0x0D].contains(bytes[index]) { index += 1 }
    }

    private mutating func singleQuoted() throws(ExpansionError) -> [UInt8] {
        var result: [UInt8] = mode.keepsQuotes ? [bytes[index]] : []
        index += 1
        guard let end = bytes[index...].firstIndex(of: UInt8(ascii: "'")) else {
            index = bytes.count
            throw ExpansionError(
                .unterminated,
                "unexpected end of statement while looking for matching single-quote"
            )
        }
        result += bytes[index..<end]
        if mode.keepsQuotes { result.append(bytes[end]) }
        index = end + 1
        return result
    }

    private mutating func doubleQuoted(keepsEscapes: Bool) throws(ExpansionError) -> [UInt8] {
        let quote = UInt8(ascii: "\"")
        let dollar = UInt8(ascii: "$")
        var result: [UInt8] = mode.keepsQuotes ? [quote] : []
        index += 1
        while index < bytes.count {
            let byte = bytes[index]
            if byte == dollar {
                result += try variable(keepsEscapes: keepsEscapes)
                continue
            }
            index += 1
            if byte == quote {
                if mode.keepsQuotes { result.append(quote) }
                return result
            }
            guard byte == escape else {
                result.append(byte)
                continue
            }
            guard index < bytes.count else { break }
            let next = bytes[index]
            if keepsEscapes { result.append(byte) }
            if next == quote || next == dollar || next == escape {
                result.append(next)
                index += 1
            } else {
                // As in BuildKit an escape that escapes nothing is there twice when escapes are kept.
                result.append(byte)
            }
        }
        throw ExpansionError(.unterminated, "unexpected end of statement while looking for matching double-quote")
    }

    // MARK: Variables

    /// At `$`.
    private mutating func variable(keepsEscapes: Bool) throws(ExpansionError) -> [UInt8] {
        index += 1
        guard index < bytes.count, bytes[index] == UInt8(ascii: "{") else {
            let name = name()
            if name.isEmpty { return [UInt8(ascii: "$")] }
            let value = look(up: name)
            if value == nil, mode.keepsUnset { return Array("$\(name)".utf8) }
            return try grown(value)
        }
        index += 1
        guard depth < Self.deepestNesting else {
            throw ExpansionError(.limit, "substitutions are nested deeper than \(Self.deepestNesting)")
        }
        depth += 1
        defer { depth -= 1 }
        return try bracedVariable()
    }

    /// Behind `${`.
    private mutating func bracedVariable() throws(ExpansionError) -> [UInt8] {
        guard index < bytes.count else { throw missingBrace() }
        if bytes[index] == UInt8(ascii: "{") || bytes[index] == UInt8(ascii: "}") || bytes[index] == UInt8(ascii: ":") {
            throw ExpansionError(.badSubstitution, "syntax error: bad substitution")
        }
        let name = name()
        guard index < bytes.count else { throw missingBrace() }
        let first = bytes[index]
        index += 1
        switch first {
        case UInt8(ascii: "}"):
            let value = look(up: name)
            if value == nil, mode.keepsUnset { return Array("${\(name)}".utf8) }
            return try grown(value)
        case UInt8(ascii: "/"): return try replacement(in: name)
        case UInt8(ascii: ":"):
            guard index < bytes.count else { throw missingBrace() }
            return try alternative(for: name, from: index - 1)
        case UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "?"): return try alternative(for: name, from: index - 1)
        case UInt8(ascii: "#"), UInt8(ascii: "%"): return try trimming(first, name)
        default: throw unsupported(index - 1..<index)
        }
    }

    /// `-`, `+` and `?`, with or without `:`, which begins at `start`.
    private mutating func alternative(for name: String, from start: Int) throws(ExpansionError) -> [UInt8] {
        let emptyIsUnset = bytes[start] == UInt8(ascii: ":")
        let modifier = bytes[start + (emptyIsUnset ? 1 : 0)]
        index = start + (emptyIsUnset ? 1 : 0) + scalarLength(at: start + (emptyIsUnset ? 1 : 0))
        let operatorRange = start..<index
        if modifier == UInt8(ascii: "#") || modifier == UInt8(ascii: "%") { throw unsupported(operatorRange) }
        let word = try operand(until: UInt8(ascii: "}"), keepsEscapes: false)
        let value = look(up: name)
        if value == nil, mode.keepsUnset {
            return Array("${\(name)".utf8) + bytes[operatorRange] + word + [UInt8(ascii: "}")]
        }
        let isMissing = value == nil || emptyIsUnset && value == ""
        switch modifier {
        case UInt8(ascii: "-"): return isMissing ? word : try grown(value)
        case UInt8(ascii: "+"): return isMissing ? [] : word
        case UInt8(ascii: "?"):
            if !isMissing { return try grown(value) }
            let reason = value == nil ? "is not allowed to be unset" : "is not allowed to be empty"
            throw ExpansionError(
                .requiredVariable,
                "\(name): \(word.isEmpty ? reason : String(decoding: word, as: UTF8.self))"
            )
        default: throw unsupported(operatorRange)
        }
    }

    /// `#`, `##`, `%` and `%%`.
    private mutating func trimming(_ modifier: UInt8, _ name: String) throws(ExpansionError) -> [UInt8] {
        var word = try operand(until: UInt8(ascii: "}"), keepsEscapes: true)
        let value = look(up: name)
        if value == nil, mode.keepsUnset { return Array("${\(name)".utf8) + [modifier] + word + [UInt8(ascii: "}")] }
        let longest = word.first == modifier
        if longest { word.removeFirst() }
        let isSuffix = modifier == UInt8(ascii: "%")
        var pattern = try SubstitutionPattern(
            String(decoding: word, as: UTF8.self),
            matchesBackwards: isSuffix,
            steps: steps
        )
        defer { steps = pattern.steps }
        return try grown(try pattern.trimming(value ?? "", longest: longest))
    }

    /// `/pattern/replacement` and `//pattern/replacement`.
    private mutating func replacement(in name: String) throws(ExpansionError) -> [UInt8] {
        let slash = UInt8(ascii: "/")
        let all = index < bytes.count && bytes[index] == slash
        if all { index += 1 }
        let word: [UInt8]
        do {
            word = try operand(until: slash, keepsEscapes: true)
        } catch  where error.code == .unterminated && index >= bytes.count {
            throw ExpansionError(.unterminated, "syntax error: missing '/' in ${}")
        }
        let replacement = try operand(until: UInt8(ascii: "}"), keepsEscapes: true)
        let value = look(up: name)
        if value == nil, mode.keepsUnset {
            // One slash, as BuildKit prints it.
            return Array("${\(name)/".utf8) + word + [slash] + replacement + [UInt8(ascii: "}")]
        }
        var pattern = try SubstitutionPattern(String(decoding: word, as: UTF8.self), steps: steps)
        defer { steps = pattern.steps }
        return try grown(
            try pattern.replacing(
                in: value ?? "",
                with: String(decoding: replacement, as: UTF8.self),
                all: all,
                limit: Self.largestGrowth
            )
        )
    }

    /// The word behind a modifier.
    private mutating func operand(until stop: UInt8, keepsEscapes: Bool) throws(ExpansionError) -> [UInt8] {
        // As in BuildKit what the word had before an operand is lost for word splitting.
        let outer = splitter.suspend()
        defer { splitter.resume(outer) }
        do {
            return try segment(until: stop, keepsEscapes: keepsEscapes)
        } catch {
            throw index >= bytes.count ? missingBrace() : error
        }
    }

    private func missingBrace() -> ExpansionError { ExpansionError(.unterminated, "syntax error: missing '}'") }

    private func unsupported(_ range: Range<Int>) -> ExpansionError {
        var end = range.upperBound
        while end < bytes.count, bytes[end] & 0xC0 == 0x80 { end += 1 }
        let text = String(decoding: bytes[range.lowerBound..<end], as: UTF8.self)
        return ExpansionError(.unsupportedModifier, "unsupported modifier (\(text)) in substitution")
    }

    /// Letters, digits and `_`; or digits alone; or one of the shell's special parameters.
    private mutating func name() -> String {
        let start = index
        guard index < bytes.count else { return "" }
        if isDigit(scalar(at: index)) {
            while index < bytes.count, let scalar = scalar(at: index), isDigit(scalar) { index += UTF8.width(scalar) }
        } else if "@*#?-$!".utf8.contains(bytes[index]) {
            index += 1
        } else {
            while index < bytes.count, let scalar = scalar(at: index), isNameCharacter(scalar) {
                index += UTF8.width(scalar)
            }
        }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    /// The character at an offset, nil when it is malformed.
    private func scalar(at offset: Int) -> Unicode.Scalar? {
        if bytes[offset] < 0x80 { return Unicode.Scalar(bytes[offset]) }
        let decoded = String(decoding: bytes[offset..<min(bytes.count, offset + 4)], as: UTF8.self)
        return decoded.unicodeScalars.first.flatMap { $0 == "\u{FFFD}" ? nil : $0 }
    }

    private func scalarLength(at offset: Int) -> Int { scalar(at: offset).map { UTF8.width($0) } ?? 1 }

    private func isDigit(_ scalar: Unicode.Scalar?) -> Bool {
        guard let scalar else { return false }
        if scalar.isASCII { return scalar >= "0" && scalar <= "9" }
        return scalar.properties.generalCategory == .decimalNumber
    }

    private func isNameCharacter(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII {
            let letter = scalar.value | 0x20
            return isDigit(scalar) || scalar == "_" || letter >= 0x61 && letter <= 0x7A
        }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber:
            return true
        default: return false
        }
    }

    private mutating func look(up name: String) -> String? {
        let value = environment.value(of: name)
        if value == nil { unset.insert(name) } else { used.insert(name) }
        return value
    }

    /// The bytes of a value, as long as the word does not explode.
    private mutating func grown(_ value: String?) throws(ExpansionError) -> [UInt8] {
        guard let value else { return [] }
        growth += value.utf8.count
        guard growth <= Self.largestGrowth else {
            throw ExpansionError(.limit, "the word grows by more than \(Self.largestGrowth >> 20) MiB when expanded")
        }
        return Array(value.utf8)
    }
}
