// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A line of the form `# name=value`.
enum DirectiveLine {
    static let names: Set<String> = ["syntax", "escape", "check"]

    /// The name in lower case and the value, nil when the line is something else. The marker comes first in the line.
    static func parse(
        _ slice: ArraySlice<UInt8>,
        marker: String = "#"
    ) -> (name: String, value: ArraySlice<UInt8>)? {
        guard slice.starts(with: marker.utf8) else { return nil }
        var rest = trimmingSpaceAtStart(slice.dropFirst(marker.utf8.count))
        let name = rest.prefix { $0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7A || $0 >= 0x30 && $0 <= 0x39 }
        guard let first = name.first, first >= 0x41 else { return nil }
        rest = rest[name.endIndex...].drop(while: isSeparator)
        guard rest.first == UInt8(ascii: "=") else { return nil }
        let afterSign = rest.dropFirst()
        var value = afterSign.drop(while: isSeparator)
        // A value of nothing but blanks is the last of them.
        if value.isEmpty { value = afterSign.suffix(1) }
        while value.count > 1, let last = value.last, isSeparator(last) { value = value.dropLast() }
        return value.isEmpty ? nil : (String(decoding: name, as: UTF8.self).lowercased(), value)
    }

    /// The blanks of a regular expression: neither vertical tabs nor Unicode's spaces.
    private static func isSeparator(_ byte: UInt8) -> Bool { isBlank(byte) && byte != 0x0B }

    /// The directives at the head of a file in any language: from the first column on, behind a `#!` line if there is
    /// one.
    static func scan(_ source: SourceText, marker: String = "#") -> [(name: String, value: ArraySlice<UInt8>)] {
        var found: [(name: String, value: ArraySlice<UInt8>)] = []
        var number = firstLine(source)
        while number <= source.lineCount, let directive = parse(line(number, of: source), marker: marker),
            names.contains(directive.name), !found.contains(where: { $0.name == directive.name })
        {
            found.append(directive)
            number += 1
        }
        return found
    }

    /// The first line that is no `#!` line.
    static func firstLine(_ source: SourceText) -> Int { line(1, of: source).starts(with: "#!".utf8) ? 2 : 1 }

    /// A line without line ending and byte order mark.
    static func line(_ number: Int, of source: SourceText) -> ArraySlice<UInt8> {
        let slice = source.bytes[source.byteRange(ofLine: number)]
        return number == 1 && slice.starts(with: [0xEF, 0xBB, 0xBF]) ? slice.dropFirst(3) : slice
    }
}

extension Dockerfile {
    /// The frontend image that a file asks for, in whatever language the rest of it is written.
    ///
    /// Besides `# syntax=` in the directives, a `#!` line before them, `// syntax=` and a JSON object with a
    /// `syntax` member count. What follows a blank in a directive is not part of the name.
    public static func detectSyntax(in bytes: [UInt8]) -> String? {
        let source = SourceText(bytes)
        for marker in ["#", "//"] {
            if let (_, value) = DirectiveLine.scan(source, marker: marker).first(where: { $0.name == "syntax" }) {
                return String(decoding: value.prefix { $0 != 0x20 }, as: UTF8.self)
            }
        }
        let first = DirectiveLine.firstLine(source)
        guard first <= source.lineCount else { return nil }
        let start = DirectiveLine.line(first, of: source).startIndex
        return JSONStringArray.stringMember("syntax", of: source.bytes[start...])
    }
}
