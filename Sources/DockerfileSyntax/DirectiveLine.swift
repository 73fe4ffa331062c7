// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A line of the form `# name=value`.
enum DirectiveLine {
    /// The name in lower case and the value, nil when the line is something else.
    static func parse(
        _ slice: ArraySlice<UInt8>,
        marker: String = "#"
    ) -> (name: String, value: ArraySlice<UInt8>)? {
        var rest = trimmingSpace(slice)
        guard rest.starts(with: marker.utf8) else { return nil }
        rest = trimmingSpace(rest.dropFirst(marker.utf8.count))
        let name = rest.prefix { $0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A || $0 >= 0x30 && $0 <= 0x39 }
        guard let first = name.first, first >= 0x41 else { return nil }
        rest = trimmingSpace(rest[name.endIndex...])
        guard rest.first == UInt8(ascii: "=") else { return nil }
        rest = trimmingSpace(rest.dropFirst())
        return rest.isEmpty ? nil : (String(decoding: name, as: UTF8.self).lowercased(), rest)
    }
}

extension Dockerfile {
    /// The frontend image that a file asks for, in whatever language the rest of it is written.
    ///
    /// Besides `# syntax=` in the directives, a `#!` line before them, `// syntax=` and a JSON object with a
    /// `syntax` member count. Only the first word counts.
    public static func detectSyntax(in bytes: [UInt8]) -> String? {
        let source = SourceText(bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes)
        var first = 1
        if source.bytes.starts(with: "#!".utf8) { first = 2 }
        for marker in ["#", "//"] {
            var number = first
            while number <= source.lineCount,
                let (name, value) = DirectiveLine.parse(source.bytes[source.byteRange(ofLine: number)], marker: marker),
                ["syntax", "escape", "check"].contains(name)
            {
                if name == "syntax" { return firstWord(value) }
                number += 1
            }
        }
        guard first <= source.lineCount else { return nil }
        let start = source.byteRange(ofLine: first).lowerBound
        return JSONStringArray.stringMember("syntax", of: source.bytes[start...]).flatMap { firstWord($0.utf8) }
    }

    private static func firstWord(_ text: some Collection<UInt8>) -> String? {
        let word = text.drop(while: isBlank).prefix { !isBlank($0) }
        return word.isEmpty ? nil : String(decoding: word, as: UTF8.self)
    }
}
