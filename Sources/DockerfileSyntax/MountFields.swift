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
        let record: CSVRecord
        do {
            record = try CSVRecord(text)
        } catch {
            throw Diagnostic(
                .invalidMount,
                "failed to parse csv mounts: quotes are not balanced in \"\(text)\"",
                range: whole
            )
        }
        var fields: [Field] = []
        for part in record.fields {
            let (bytes, place) = (Array(part.text.utf8), part.place)
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
            let value = part.value.map {
                Word($0, range: sourceRange(bytes.count - $0.utf8.count..<bytes.count))
            }
            let field = Field(key: part.key.lowercased(), value: value, range: sourceRange(0..<bytes.count))
            try Self.check(field, part.text)
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
}
