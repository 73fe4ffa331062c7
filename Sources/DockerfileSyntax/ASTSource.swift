// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A place in a Dockerfile. Lines and columns count from one, columns in UTF-8 bytes; `offset` counts from zero.
public struct SourcePosition: Hashable, Sendable, Comparable, CustomStringConvertible {
    public var line: Int
    public var column: Int
    public var offset: Int

    public init(line: Int, column: Int, offset: Int) {
        self.line = line
        self.column = column
        self.offset = offset
    }

    /// The first byte of a file.
    public static let start = SourcePosition(line: 1, column: 1, offset: 0)

    public static func < (a: SourcePosition, b: SourcePosition) -> Bool { a.offset < b.offset }

    public var description: String { "\(line):\(column)" }
}

/// A half-open span of a Dockerfile: `end` is the position after the last byte.
public struct SourceRange: Hashable, Sendable, CustomStringConvertible {
    public var start: SourcePosition
    public var end: SourcePosition

    public init(start: SourcePosition, end: SourcePosition) {
        self.start = start
        self.end = end
    }

    /// The lines that hold at least one byte of the span.
    public var lines: ClosedRange<Int> {
        let last = end.column == 1 && end.line > start.line ? end.line - 1 : end.line
        return start.line...max(start.line, last)
    }

    public var description: String { "\(start)-\(end)" }
}

/// Text of an instruction before variable expansion, with quotes and escapes as written.
///
/// Continuations inside the word are joined, so `text` can be shorter than its range.
public struct Word: Hashable, Sendable, CustomStringConvertible {
    public var text: String
    public var range: SourceRange

    public init(_ text: String, range: SourceRange) {
        self.text = text
        self.range = range
    }

    public var description: String { text }
}

/// A comment line, without its `#` and surrounding blanks.
public struct Comment: Hashable, Sendable {
    public var text: String
    public var range: SourceRange

    public init(_ text: String, range: SourceRange) {
        self.text = text
        self.range = range
    }
}

/// The parser directives at the head of a Dockerfile, each with the range of its value.
public struct Directives: Hashable, Sendable {
    /// `# syntax=`: the frontend image that the file asks for.
    public var syntax: Word?
    /// `# escape=`: `\` or a backtick.
    public var escape: Word?
    /// `# check=`: lint settings, see ``CheckOptions``.
    public var check: Word?

    public init(syntax: Word? = nil, escape: Word? = nil, check: Word? = nil) {
        self.syntax = syntax
        self.escape = escape
        self.check = check
    }

    /// The escape character in force, which ``WordExpander`` wants too.
    public var escapeCharacter: Character { escape?.text.first ?? "\\" }
}
