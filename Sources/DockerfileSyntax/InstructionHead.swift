// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// An instruction taken apart: keyword, flag words, the rest.
struct InstructionHead {
    /// A flag word with quotes and escapes processed, and where its parts stand.
    struct FlagWord {
        var name: String
        var value: String?
        var range: Range<Int>
        var valueRange: Range<Int>
        /// Whether `value` is byte for byte what stands in `valueRange`.
        var isVerbatim: Bool
    }

    var keyword: Range<Int>
    var flags: [FlagWord] = []
    var arguments: Range<Int>

    /// Takes apart the given, trimmed range of a line.
    init(_ line: LogicalLine, _ range: Range<Int>, escape: UInt8) {
        let bytes = line.bytes
        var index = range.lowerBound
        while index < range.upperBound, !isBlank(bytes[index]) { index += 1 }
        keyword = range.lowerBound..<index
        while true {
            while index < range.upperBound, isBlank(bytes[index]) { index += 1 }
            guard bytes[index..<range.upperBound].starts(with: "--".utf8) else { break }
            guard let flag = Self.flag(bytes, &index, range.upperBound, escape: escape) else { break }
            flags.append(flag)
        }
        arguments = line.trimming(index..<range.upperBound)
    }

    /// The flag word at `index`, which moves behind it; nil for a bare `--`, which ends the flags.
    private static func flag(_ bytes: [UInt8], _ index: inout Int, _ end: Int, escape: UInt8) -> FlagWord? {
        let start = index
        var name: [UInt8] = []
        var value: [UInt8]?
        var valueStart = index
        var quote: UInt8?
        var isVerbatim = true
        scanning: while index < end {
            var byte = bytes[index]
            if quote == nil, isBlank(byte) { break }
            index += 1
            switch byte {
            case UInt8(ascii: "'"), UInt8(ascii: "\""):
                if quote == nil || quote == byte {
                    quote = quote == nil ? byte : nil
                    isVerbatim = false
                    continue scanning
                }
            case escape:
                isVerbatim = false
                guard index < end else { break scanning }
                byte = bytes[index]
                index += 1
            case UInt8(ascii: "=") where value == nil:
                value = []
                valueStart = index
                continue scanning
            default: break
            }
            if value == nil { name.append(byte) } else { value?.append(byte) }
        }
        if name.elementsEqual("--".utf8), value == nil { return nil }
        let text = value.map { String(decoding: $0, as: UTF8.self) }
        return FlagWord(
            name: String(decoding: name.dropFirst(2), as: UTF8.self),
            value: text,
            range: start..<index,
            valueRange: (value == nil ? index : valueStart)..<index,
            // Bytes that are no UTF-8 are more in the text than in the file.
            isVerbatim: isVerbatim && text?.utf8.count == value?.count
        )
    }
}
