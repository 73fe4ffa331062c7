// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A shell pattern over whole paths, as COPY and ADD sources use it: `*` and `?` stop at `/`, `[a-z]`, `[^a-z]`,
/// and `\` takes the next character literally. No `**`.
public struct GlobPattern: Hashable, Sendable, CustomStringConvertible {
    public let description: String
    private let program: GlobProgram

    /// Throws when a class is malformed or the pattern ends in `\`.
    public init(_ pattern: String) throws(PatternError) {
        description = pattern
        program = try GlobProgram(pattern, knowsDoubleStar: false)
    }

    /// Whether the text has characters that make it more than a literal path.
    public static func hasWildcard(_ text: some StringProtocol) -> Bool {
        text.utf8.contains {
            $0 == UInt8(ascii: "*") || $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "[") || $0 == UInt8(ascii: "\\")
        }
    }

    /// Whether the pattern matches all of the text.
    public func matches(_ text: some StringProtocol) -> Bool {
        var text = String(text)
        return text.withUTF8 { program.matchesWhole($0, isASCII: $0.allSatisfy { $0 < 0x80 }) }
    }

    public static func == (a: GlobPattern, b: GlobPattern) -> Bool { a.description == b.description }

    public func hash(into hasher: inout Hasher) { hasher.combine(description) }
}
