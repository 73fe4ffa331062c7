// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// The JSON form of an instruction's arguments.
///
/// Text that is no JSON at all is shell form; JSON whose elements are not all strings is a mistake.
enum JSONStringArray {
    struct Element {
        var text: String
        /// With its quotes.
        var range: Range<Int>
    }

    enum Outcome {
        case strings([Element])
        case notOnlyStrings
        case notJSON
    }

    static func parse(_ bytes: ArraySlice<UInt8>) -> Outcome {
        guard bytes.first == UInt8(ascii: "[") else { return .notJSON }
        var reader = JSONReader(bytes)
        return reader.array()
    }

    /// The string that a JSON object holds under a name, nil when the text is no such object.
    static func stringMember(_ name: String, of bytes: ArraySlice<UInt8>) -> String? {
        var reader = JSONReader(bytes)
        return reader.stringMember(name)
    }
}

private struct JSONReader {
    /// Deeper nesting is taken for something that is not JSON, as in Go.
    private static let deepestNesting = 10_000

    private let bytes: ArraySlice<UInt8>
    private var index: Int

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        index = bytes.startIndex
    }

    mutating func array() -> JSONStringArray.Outcome {
        var elements: [JSONStringArray.Element] = []
        var onlyStrings = true
        index += 1
        skipSpace()
        if !take("]") {
            repeat {
                skipSpace()
                let start = index
                if peek == UInt8(ascii: "\"") {
                    guard let text = string() else { return .notJSON }
                    elements.append(.init(text: text, range: start..<index))
                } else {
                    guard value(depth: 1) else { return .notJSON }
                    onlyStrings = false
                }
                skipSpace()
            } while take(",")
            guard take("]") else { return .notJSON }
        }
        skipSpace()
        guard index == bytes.endIndex else { return .notJSON }
        return onlyStrings ? .strings(elements) : .notOnlyStrings
    }

    mutating func stringMember(_ wanted: String) -> String? {
        skipSpace()
        guard take("{") else { return nil }
        skipSpace()
        if take("}") { return nil }
        var found: String?
        repeat {
            skipSpace()
            guard peek == UInt8(ascii: "\""), let name = string() else { return nil }
            skipSpace()
            guard take(":") else { return nil }
            skipSpace()
            let isString = peek == UInt8(ascii: "\"")
            let start = index
            guard value(depth: 1) else { return nil }
            if name == wanted {
                // The last one of that name counts.
                let end = index
                index = start
                found = isString ? string() : nil
                index = end
            }
            skipSpace()
        } while take(",")
        guard take("}") else { return nil }
        skipSpace()
        return index == bytes.endIndex ? found : nil
    }

    private var peek: UInt8? { index < bytes.endIndex ? bytes[index] : nil }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { index += 1 }
    }

    /// Skips any value that is in `depth` containers; false when it is malformed.
    private mutating func value(depth: Int) -> Bool {
        // The ends of the containers that are open, so that deep nesting costs no stack.
        var open: [Unicode.Scalar] = []
        while true {
            skipSpace()
            guard let byte = peek else { return false }
            switch byte {
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                guard open.count + depth < Self.deepestNesting else { return false }
                index += 1
                skipSpace()
                let end: Unicode.Scalar = byte == UInt8(ascii: "{") ? "}" : "]"
                if !take(end) {
                    open.append(end)
                    if end == "}", !memberName() { return false }
                    continue
                }
            case UInt8(ascii: "\""): if string() == nil { return false }
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): if !number() { return false }
            default: guard literal("true") || literal("false") || literal("null") else { return false }
            }
            while true {
                guard let end = open.last else { return true }
                skipSpace()
                if take(",") {
                    if end == "}", !memberName() { return false }
                    break
                }
                guard take(end) else { return false }
                open.removeLast()
            }
        }
    }

    /// `"name":` and the white space around it.
    private mutating func memberName() -> Bool {
        skipSpace()
        guard peek == UInt8(ascii: "\""), string() != nil else { return false }
        skipSpace()
        return take(":")
    }

    private mutating func literal(_ text: String) -> Bool {
        guard bytes[index...].starts(with: text.utf8) else { return false }
        index += text.utf8.count
        return true
    }

    private mutating func digits() -> Bool {
        let start = index
        while let byte = peek, byte >= 0x30, byte <= 0x39 { index += 1 }
        return index > start
    }

    private mutating func number() -> Bool {
        _ = take("-")
        if !take("0"), !digits() { return false }
        if take("."), !digits() { return false }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            return digits()
        }
        return true
    }

    /// At the opening quote.
    private mutating func string() -> String? {
        index += 1
        var result: [UInt8] = []
        while let byte = peek {
            index += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: result, as: UTF8.self)
            case 0..<0x20: return nil
            case UInt8(ascii: "\\"):
                guard appendEscape(to: &result) else { return nil }
            default: result.append(byte)
            }
        }
        return nil
    }

    private mutating func appendEscape(to result: inout [UInt8]) -> Bool {
        guard let byte = peek else { return false }
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(byte)
        case UInt8(ascii: "b"): result.append(0x08)
        case UInt8(ascii: "f"): result.append(0x0C)
        case UInt8(ascii: "n"): result.append(0x0A)
        case UInt8(ascii: "r"): result.append(0x0D)
        case UInt8(ascii: "t"): result.append(0x09)
        case UInt8(ascii: "u"):
            guard var code = hexUnit() else { return false }
            if code & 0xFC00 == 0xD800, bytes[index...].starts(with: "\\u".utf8) {
                let mark = index
                index += 2
                guard let low = hexUnit() else { return false }
                if low & 0xFC00 == 0xDC00 {
                    code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
                } else {
                    index = mark
                }
            }
            result += Array(String(Character(Unicode.Scalar(code) ?? "\u{FFFD}")).utf8)
        default: return false
        }
        return true
    }

    private mutating func hexUnit() -> UInt32? {
        guard bytes.endIndex - index >= 4 else { return nil }
        var code: UInt32 = 0
        for byte in bytes[index..<index + 4] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else { return nil }
            code = code << 4 | UInt32(digit)
        }
        index += 4
        return code
    }
}
