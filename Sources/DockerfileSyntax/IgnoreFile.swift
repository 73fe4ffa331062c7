// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A `.dockerignore`: its patterns cleaned and relative to the context, `!` kept in front.
public struct IgnoreFile: Hashable, Sendable {
    public let patterns: [String]

    public init(parsing text: String) throws(PatternError) {
        var patterns: [String] = []
        var number = 0
        for (index, line) in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .enumerated()
        {
            number += 1
            var bytes = line
            if index == 0, bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes = bytes.dropFirst(3) }
            if bytes.first == UInt8(ascii: "#") { continue }
            var pattern = trimmingSpace(bytes)
            let negates = pattern.first == UInt8(ascii: "!")
            if negates { pattern = trimmingSpace(pattern.dropFirst()) }
            if pattern.isEmpty {
                guard negates else { continue }
                throw PatternError("illegal exclusion pattern: \"!\"", pattern: "!", line: number)
            }
            var cleaned = cleanedPath(String(decoding: pattern, as: UTF8.self))
            if cleaned.utf8.count > 1, cleaned.utf8.first == UInt8(ascii: "/") { cleaned.removeFirst() }
            patterns.append(negates ? "!" + cleaned : cleaned)
        }
        self.patterns = patterns
    }
}

/// The path without empty, `.` and resolvable `..` components, as a lexical rule: nothing is looked up.
func cleanedPath(_ path: String) -> String {
    let isAbsolute = path.utf8.first == UInt8(ascii: "/")
    var kept: [Substring.UTF8View] = []
    for component in path[...].utf8.split(separator: UInt8(ascii: "/")) {
        if component.elementsEqual(".".utf8) { continue }
        if component.elementsEqual("..".utf8) {
            if let last = kept.last, !last.elementsEqual("..".utf8) {
                kept.removeLast()
                continue
            }
            if isAbsolute { continue }
        }
        kept.append(component)
    }
    let joined = kept.map { Substring($0) }.joined(separator: "/")
    if isAbsolute { return "/" + joined }
    return joined.isEmpty ? "." : joined
}
