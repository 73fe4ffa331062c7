// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// One authentication challenge of a WWW-Authenticate header (RFC 9110, 11.6.1).
struct Challenge: Hashable, Sendable {
    /// Lowercase.
    var scheme: String
    /// Names are lowercase; the first of two equal names counts.
    var parameters: [String: String]

    /// All challenges of the header's values, in order. What cannot be parsed ends the value it stands in.
    static func parse(_ values: [String]) -> [Challenge] {
        values.flatMap { value -> [Challenge] in
            var parser = ChallengeParser(bytes: Array(value.utf8.prefix(16 << 10)))
            return parser.challenges()
        }
    }
}

private struct ChallengeParser {
    let bytes: [UInt8]
    var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func challenges() -> [Challenge] {
        var found: [Challenge] = []
        while true {
            skip { $0 == 0x20 || $0 == 0x09 || $0 == 0x2c }
            guard let word = token() else { return found }
            let afterWord = position
            skip { $0 == 0x20 || $0 == 0x09 }
            if next == UInt8(ascii: "="), !found.isEmpty {
                position += 1
                skip { $0 == 0x20 || $0 == 0x09 }
                guard let value = value() else { return found }
                let name = word.lowercased()
                let last = found.count - 1
                if found[last].parameters[name] == nil { found[last].parameters[name] = value }
            } else {
                position = afterWord
                found.append(Challenge(scheme: word.lowercased(), parameters: [:]))
                skipToken68()
            }
        }
    }

    private mutating func skip(_ matches: (UInt8) -> Bool) {
        while let byte = next, matches(byte) { position += 1 }
    }

    private mutating func token() -> String? {
        let start = position
        skip(Self.isTokenByte)
        return start == position ? nil : String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func value() -> String? {
        guard next == UInt8(ascii: "\"") else { return token() }
        position += 1
        var out: [UInt8] = []
        while let byte = next {
            position += 1
            if byte == UInt8(ascii: "\"") { return String(decoding: out, as: UTF8.self) }
            if byte == UInt8(ascii: "\\") {
                guard let escaped = next else { return nil }
                position += 1
                out.append(escaped)
            } else {
                out.append(byte)
            }
        }
        return nil
    }

    /// `Negotiate dG9rZW4=`: a scheme with opaque data instead of parameters.
    private mutating func skipToken68() {
        let start = position
        skip { $0 == 0x20 || $0 == 0x09 }
        let dataStart = position
        skip { Self.isTokenByte($0) || $0 == UInt8(ascii: "/") }
        let hasData = position > dataStart
        skip { $0 == UInt8(ascii: "=") }
        skip { $0 == 0x20 || $0 == 0x09 }
        if !hasData || !(next == nil || next == UInt8(ascii: ",")) { position = start }
    }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
