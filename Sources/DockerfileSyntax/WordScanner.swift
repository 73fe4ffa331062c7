// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// One expansion of one word: reads bytes, asks the environment, collects the result.
struct WordScanner<Environment: VariableLookup> {
    /// Deeper `${a:-${b:-...}}` is refused rather than risking the stack.
    private static var deepestNesting: Int { 100 }
    /// Bytes that variables may add to one word.
    private static var largestGrowth: Int { 16 << 20 }

    private let bytes: [UInt8]
    private var index = 0
    private let escape: UInt8
    private let mode: WordExpander.Mode
    private let environment: Environment
    private var depth = 0
    private var growth = 0
    private var used: Set<String> = []
    private var unset: Set<String> = []

    init(_ word: String, escape: Character, mode: WordExpander.Mode, environment: Environment) {
        bytes = Array(word.utf8)
        self.escape = escape.asciiValue ?? UInt8(ascii: "\\")
        self.mode = mode
        self.environment = environment
    }

    mutating func expansion() throws(ExpansionError) -> Expansion {
        var splitter = WordSplitter()
        let text = try segment(until: nil, keepsEscapes: mode.keepsEscapes, splitter: &splitter)
        return Expansion(
            text: String(decoding: text, as: UTF8.self),
            words: splitter.finish(),
            used: used,
            unset: unset
        )
    }

    // MARK: Text and quotes

    /// Reads up to the end, or through `stop`.
    private mutating func segment(
        until stop: UInt8?,
        keepsEscapes: Bool,
        splitter: inout WordSplitter
    ) throws(ExpansionError) -> [UInt8] {
        var result: [UInt8] = []
        while index < bytes.count {
            let byte = bytes[index]
            if byte == stop {
                index += 1
                return result
            }
            switch byte {
            case UInt8(ascii: "'") where mode.processesQuotes:
                let text = try singleQuoted()
                result += text
                splitter.addQuoted(text)
            case UInt8(ascii: "\"") where mode.processesQuotes:
                let text = try doubleQuoted(keepsEscapes: keepsEscapes)
                result += text
                splitter.addQuoted(text)
            case UInt8(ascii: "$"):
                let text = try variable(keepsEscapes: keepsEscapes)
                result += text
                splitter.add(text)
            case escape:
                index += 1
                if keepsEscapes {
                    result.append(byte)
                    splitter.addQuoted(CollectionOfOne(byte))
                }
                guard index < bytes.count else { break }
                result.append(bytes[index])
                splitter.addQuoted(CollectionOfOne(bytes[index]))
                index += 1
            default:
                index += 1
                result.append(byte)
                splitter.add(CollectionOfOne(byte))
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
            let isEscape = next == quote || next == dollar || next == escape
            if keepsEscapes || !isEscape { result.append(byte) }
            if isEscape {
                result.append(next)
                index += 1
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
            let modifier = bytes[index]
            guard modifier == UInt8(ascii: "-") || modifier == UInt8(ascii: "+") || modifier == UInt8(ascii: "?") else {
                throw unsupported(from: index - 1)
            }
            index += 1
            return try alternative(modifier, for: name, emptyIsUnset: true)
        case UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: "?"):
            return try alternative(first, for: name, emptyIsUnset: false)
        case UInt8(ascii: "#"), UInt8(ascii: "%"): return try trimming(first, name)
        default: throw unsupported(from: index - 1)
        }
    }

    /// `-`, `+` and `?`.
    private mutating func alternative(
        _ modifier: UInt8,
        for name: String,
        emptyIsUnset: Bool
    ) throws(ExpansionError) -> [UInt8] {
        let word = try operand(until: UInt8(ascii: "}"), keepsEscapes: false)
        let value = look(up: name)
        if value == nil, mode.keepsUnset {
            return Array("${\(name)\(emptyIsUnset ? ":" : "")".utf8) + [modifier] + word + [UInt8(ascii: "}")]
        }
        let isMissing = value == nil || emptyIsUnset && value == ""
        switch modifier {
        case UInt8(ascii: "-"): return isMissing ? word : try grown(value)
        case UInt8(ascii: "+"): return isMissing ? [] : word
        default:
            if !isMissing { return try grown(value) }
            let reason = value == nil ? "is not allowed to be unset" : "is not allowed to be empty"
            throw ExpansionError(
                .requiredVariable,
                "\(name): \(word.isEmpty ? reason : String(decoding: word, as: UTF8.self))"
            )
        }
    }

    /// `#`, `##`, `%` and `%%`.
    private mutating func trimming(_ modifier: UInt8, _ name: String) throws(ExpansionError) -> [UInt8] {
        var word = try operand(until: UInt8(ascii: "}"), keepsEscapes: true)
        guard let value = look(up: name) else {
            return mode.keepsUnset ? Array("${\(name)".utf8) + [modifier] + word + [UInt8(ascii: "}")] : []
        }
        let longest = word.first == modifier
        if longest { word.removeFirst() }
        let isSuffix = modifier == UInt8(ascii: "%")
        var pattern = try SubstitutionPattern(String(decoding: word, as: UTF8.self))
        return try grown(try pattern.trimming(value, fromEnd: isSuffix, longest: longest))
    }

    /// `/pattern/replacement` and `//pattern/replacement`.
    private mutating func replacement(in name: String) throws(ExpansionError) -> [UInt8] {
        let slash = UInt8(ascii: "/")
        let all = index < bytes.count && bytes[index] == slash
        if all { index += 1 }
        let word: [UInt8]
        do {
            word = try operand(until: slash, keepsEscapes: true)
        } catch  where error.code == .unterminated {
            throw ExpansionError(.unterminated, "syntax error: missing '/' in ${}")
        }
        let replacement = try operand(until: UInt8(ascii: "}"), keepsEscapes: true)
        guard let value = look(up: name) else {
            guard mode.keepsUnset else { return [] }
            return Array("${\(name)/".utf8) + (all ? [slash] : []) + word + [slash] + replacement + [UInt8(ascii: "}")]
        }
        var pattern = try SubstitutionPattern(String(decoding: word, as: UTF8.self))
        return try grown(
            try pattern.replacing(
                in: value,
                with: String(decoding: replacement, as: UTF8.self),
                all: all,
                limit: Self.largestGrowth
            )
        )
    }

    /// The word behind a modifier.
    private mutating func operand(until stop: UInt8, keepsEscapes: Bool) throws(ExpansionError) -> [UInt8] {
        var ignored = WordSplitter(isActive: false)
        do {
            return try segment(until: stop, keepsEscapes: keepsEscapes || mode.keepsEscapes, splitter: &ignored)
        } catch {
            throw error.code == .unterminated && index >= bytes.count ? missingBrace() : error
        }
    }

    private func missingBrace() -> ExpansionError { ExpansionError(.unterminated, "syntax error: missing '}'") }

    private func unsupported(from start: Int) -> ExpansionError {
        var end = min(bytes.count, start + (bytes[start] == UInt8(ascii: ":") ? 2 : 1))
        while end < bytes.count, bytes[end] & 0xC0 == 0x80 { end += 1 }
        return ExpansionError(
            .unsupportedModifier,
            "unsupported modifier (\(String(decoding: bytes[start..<end], as: UTF8.self))) in substitution"
        )
    }

    /// Letters, digits and `_`; or digits alone; or one of the shell's special parameters.
    private mutating func name() -> String {
        let start = index
        guard index < bytes.count else { return "" }
        let first = bytes[index]
        if isDigit(first) {
            while index < bytes.count, isDigit(bytes[index]) { index += 1 }
        } else if "@*#?-$!".utf8.contains(first) {
            index += 1
        } else {
            while index < bytes.count {
                let length = nameCharacterLength()
                if length == 0 { break }
                index += length
            }
        }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    private func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

    /// The length of the letter, digit or `_` at `index`, 0 when there is none.
    private func nameCharacterLength() -> Int {
        let byte = bytes[index]
        if byte < 0x80 {
            let letter = byte | 0x20
            return isDigit(byte) || byte == UInt8(ascii: "_") || letter >= 0x61 && letter <= 0x7A ? 1 : 0
        }
        let decoded = String(decoding: bytes[index..<min(bytes.count, index + 4)], as: UTF8.self)
        guard let scalar = decoded.unicodeScalars.first, scalar != "\u{FFFD}" else { return 0 }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber:
            return UTF8.width(scalar)
        default: return 0
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

/// Splits expanded text at blanks, except where it was quoted or escaped.
struct WordSplitter {
    var isActive = true
    private var word: [UInt8] = []
    private var words: [String] = []

    init(isActive: Bool = true) { self.isActive = isActive }

    mutating func add(_ text: some Collection<UInt8>) {
        guard isActive else { return }
        for byte in text {
            if isBlank(byte) { endWord() } else { word.append(byte) }
        }
    }

    mutating func addQuoted(_ text: some Collection<UInt8>) {
        if isActive { word += text }
    }

    mutating func finish() -> [String] {
        endWord()
        return words
    }

    private mutating func endWord() {
        if word.isEmpty { return }
        words.append(String(decoding: word, as: UTF8.self))
        word = []
    }
}
