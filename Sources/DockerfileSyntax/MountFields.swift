// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

extension MountSpec {
    private static let keys: Set<String> = [
        "type", "from", "source", "src", "target", "dst", "destination", "readonly", "ro", "readwrite", "rw", "id",
        "sharing", "size", "mode", "uid", "gid", "required", "env",
    ]
    private static let keysWithoutValue: Set<String> = ["readonly", "ro", "readwrite", "rw", "required"]
    private static let types = ["bind", "cache", "tmpfs", "secret", "ssh"]

    /// Splits the value of `--mount`, which is one CSV record.
    init(_ word: InstructionHead.FlagWord, line: LogicalLine) throws(Diagnostic) {
        let text = word.value ?? ""
        let whole = line.sourceRange(word.valueRange)
        guard let parts = Self.csvFields(Array(text.utf8)) else {
            throw Diagnostic(
                .invalidMount,
                "failed to parse csv mounts: quotes are not balanced in \"\(text)\"",
                range: whole
            )
        }
        var fields: [Field] = []
        for (bytes, place) in parts {
            // Only a value without quotes and escapes keeps its offsets.
            let base = word.valueRange.lowerBound
            let isExact = word.isVerbatim && bytes.count == place.count
            func sourceRange(_ range: Range<Int>) -> SourceRange {
                isExact
                    ? line.sourceRange(
                        base + place.lowerBound + range.lowerBound..<base + place.lowerBound + range.upperBound
                    )
                    : whole
            }
            let sign = bytes.firstIndex(of: UInt8(ascii: "="))
            let key = String(decoding: bytes[..<(sign ?? bytes.count)], as: UTF8.self).lowercased()
            let value = sign.map {
                Word(String(decoding: bytes[($0 + 1)...], as: UTF8.self), range: sourceRange($0 + 1..<bytes.count))
            }
            let field = Field(key: key, value: value, range: sourceRange(0..<bytes.count))
            try Self.check(field, String(decoding: bytes, as: UTF8.self))
            fields.append(field)
        }
        self.init(text: text, fields: fields, range: whole)
    }

    private static func check(_ field: Field, _ text: String) throws(Diagnostic) {
        guard keys.contains(field.key) else {
            let suggestion = suggest(field.key, among: keys.sorted(), caseSensitive: true)
            // Only a field with a value can be a misspelt key.
            let message =
                field.value == nil
                ? "invalid field '\(text)' must be a key=value pair"
                : "unexpected key '\(field.key)' in '\(text)'" + (suggestion.map { " (did you mean \($0)?)" } ?? "")
            throw Diagnostic(
                .invalidMount,
                message,
                range: field.range,
                nextStep: suggestion.map { "did you mean \($0)?" }
            )
        }
        guard let value = field.value else {
            if keysWithoutValue.contains(field.key) { return }
            throw Diagnostic(
                .invalidMount,
                "invalid field '\(text)' must be a key=value pair",
                range: field.range
            )
        }
        if field.key == "from", let dollar = value.text.firstIndex(of: "$"),
            value.text.index(after: dollar) < value.text.endIndex
        {
            throw Diagnostic(
                .invalidMount,
                "'from' doesn't support variable expansion, define alias stage instead",
                range: value.range,
                nextStep: "write FROM \(value.text) AS name and mount from=name"
            )
        }
        if field.key == "type", !types.contains(value.text.lowercased()),
            value.text.utf8.allSatisfy({ $0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A })
        {
            let suggestion = suggest(value.text, among: types, caseSensitive: true)
            throw Diagnostic(
                .invalidMount,
                "unsupported mount type \"\(value.text)\"" + (suggestion.map { " (did you mean \($0)?)" } ?? ""),
                range: value.range,
                nextStep: "use \(types.joined(separator: ", "))"
            )
        }
    }

    /// The fields of a CSV record and where they stand in it; nil when its quotes are wrong.
    private static func csvFields(_ bytes: [UInt8]) -> [(bytes: [UInt8], place: Range<Int>)]? {
        let quote = UInt8(ascii: "\"")
        let comma = UInt8(ascii: ",")
        var fields: [([UInt8], Range<Int>)] = []
        var index = 0
        while true {
            let start = index
            var field: [UInt8] = []
            if index < bytes.count, bytes[index] == quote {
                index += 1
                while true {
                    guard index < bytes.count else { return nil }
                    if bytes[index] == quote {
                        index += 1
                        guard index < bytes.count, bytes[index] == quote else { break }
                    }
                    field.append(bytes[index])
                    index += 1
                }
                guard index == bytes.count || bytes[index] == comma else { return nil }
            } else {
                while index < bytes.count, bytes[index] != comma {
                    if bytes[index] == quote { return nil }
                    field.append(bytes[index])
                    index += 1
                }
            }
            fields.append((field, start..<index))
            if index == bytes.count { return fields }
            index += 1
        }
    }
}
