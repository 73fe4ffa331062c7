// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Text from outside made safe to print: whatever a step writes can neither move the cursor nor hide what it prints.
enum LogText {
    /// One line of output without escape sequences and control characters; invalid UTF-8 is replaced.
    ///
    /// With `keepingColors`, colour sequences stay and are reset at the end. A backspace takes a character back.
    static func line(_ bytes: some Collection<UInt8>, keepingColors: Bool = false) -> String {
        let isPlain = bytes.withContiguousStorageIfAvailable { buffer in
            for byte in buffer where byte < 0x20 || byte > 0x7E { return false }
            return true
        }
        if isPlain == true { return String(decoding: bytes, as: UTF8.self) }
        var scanner = EscapeScanner(keepingColors: keepingColors)
        for byte in bytes { scanner.take(byte) }
        let colored = scanner.sawColor ? "\u{1B}[0m" : ""
        return printable(String(decoding: scanner.output, as: UTF8.self), allowing: "\u{1B}") + colored
    }

    /// A name or message as one line.
    static func name(_ text: String, limit: Int = 4096) -> String {
        if text.utf8.count <= limit, text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) { return text }
        var line = line(text.utf8.map { $0 == 0x0A || $0 == 0x09 ? 0x20 : $0 })
        if line.utf8.count > limit { line = String(line.prefix(limit)) + "..." }
        return line
    }

    /// A message of several lines.
    static func message(_ text: String) -> String {
        text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false).map { line($0) }.joined(separator: "\n")
    }

    private static func printable(_ text: String, allowing escape: Unicode.Scalar) -> String {
        var out = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x09, escape.value, 0x20...0x7E: out.append(scalar)
            // C0, DEL, C1; marks that reorder the text around them.
            case 0...0x9F, 0x200E...0x200F, 0x202A...0x202E, 0x2066...0x2069: break
            case 0x2028, 0x2029: out.append(" ")
            default: out.append(scalar)
            }
        }
        return String(out)
    }
}

/// Removes escape sequences (ECMA-48, 5.3 to 5.6) byte by byte.
private struct EscapeScanner {
    private enum State {
        case text
        case escape
        case control
        case string
        case stringEscape
    }

    let keepingColors: Bool
    private(set) var output: [UInt8] = []
    private(set) var sawColor = false
    private var state = State.text
    private var parameters: [UInt8] = []

    init(keepingColors: Bool) { self.keepingColors = keepingColors }

    mutating func take(_ byte: UInt8) {
        switch state {
        case .text: takeText(byte)
        case .escape: takeEscape(byte)
        case .control: takeControl(byte)
        case .string:
            if byte == 0x07 { state = .text } else if byte == 0x1B { state = .stringEscape }
        case .stringEscape:
            state = byte == 0x5C ? .text : byte == 0x1B ? .stringEscape : .string
        }
    }

    private mutating func takeText(_ byte: UInt8) {
        switch byte {
        case 0x1B: state = .escape
        case 0x08: eraseLastCharacter()
        case 0x09, 0x20...0x7E, 0x80...: output.append(byte)
        default: break
        }
    }

    private mutating func takeEscape(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "["):
            parameters.removeAll(keepingCapacity: true)
            state = .control
        // OSC, DCS, SOS, PM, APC
        case UInt8(ascii: "]"), UInt8(ascii: "P"), UInt8(ascii: "X"), UInt8(ascii: "^"), UInt8(ascii: "_"):
            state = .string
        case 0x20...0x2F: break
        case 0x1B: break
        default: state = .text
        }
    }

    private mutating func takeControl(_ byte: UInt8) {
        switch byte {
        case 0x20...0x3F:
            if parameters.count < 64 { parameters.append(byte) }
        case 0x1B: state = .escape
        default:
            state = .text
            let isColor = byte == UInt8(ascii: "m") && parameters.allSatisfy { (0x30...0x3B).contains($0) }
            if keepingColors, isColor, parameters.count < 64 {
                output += [0x1B, UInt8(ascii: "[")] + parameters + [byte]
                sawColor = true
            } else if byte >= 0x80 {
                output.append(byte)
            }
        }
    }

    private mutating func eraseLastCharacter() {
        // A backspace never eats into a colour sequence that was kept.
        guard let last = output.last, last != UInt8(ascii: "m") || !sawColor else { return }
        repeat {
            guard let byte = output.popLast(), byte & 0xC0 == 0x80 else { return }
        } while true
    }
}
