// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// The text encodings of PAX extended attributes.
enum TextEncoding {
    /// `%XX` escapes decoded; nil when an escape is malformed or the result is not UTF-8.
    /// With `only`, other escapes stay as they are.
    static func percentDecoded(_ text: some StringProtocol, only: [UInt8]? = nil) -> String? {
        let input = Array(text.utf8)
        var out = [UInt8]()
        var index = 0
        while index < input.count {
            guard input[index] == UInt8(ascii: "%") else {
                out.append(input[index])
                index += 1
                continue
            }
            let byte = index + 2 < input.count ? hexByte(input[index + 1], input[index + 2]) : nil
            if let byte, only?.contains(byte) ?? true {
                out.append(byte)
                index += 3
            } else if only != nil {
                out.append(input[index])
                index += 1
            } else {
                return nil
            }
        }
        return String(validating: out, as: UTF8.self)
    }

    private static func hexByte(_ high: UInt8, _ low: UInt8) -> UInt8? {
        UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16)
    }

    /// Base 64 with or without padding; nil when malformed.
    static func base64Decoded(_ text: [UInt8]) -> [UInt8]? {
        var out = [UInt8]()
        var bits: UInt32 = 0
        var count = 0
        for byte in text.prefix(while: { $0 != UInt8(ascii: "=") }) {
            let value: UInt8
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = byte - 65
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = byte - 71
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = byte + 4
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            default: return nil
            }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                out.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return count < 6 ? out : nil
    }
}
