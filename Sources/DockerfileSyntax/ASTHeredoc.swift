// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A here-document of RUN, COPY or ADD.
public struct Heredoc: Hashable, Sendable {
    /// The delimiter without quotes; for COPY and ADD also the name of the file.
    public var name: String
    /// The digits before `<<`, 0 when there are none.
    public var fileDescriptor: Int
    /// False when any part of the delimiter is quoted: the body is taken literally.
    public var expands: Bool
    /// `<<-`: leading tabs of the body and of the terminator do not count.
    public var stripsTabs: Bool
    /// The body as in the file.
    public var rawContent: String
    /// Where `<<NAME` stands.
    public var range: SourceRange
    /// The body without its terminator line.
    public var contentRange: SourceRange

    public init(
        name: String,
        fileDescriptor: Int = 0,
        expands: Bool,
        stripsTabs: Bool,
        rawContent: String,
        range: SourceRange,
        contentRange: SourceRange
    ) {
        self.name = name
        self.fileDescriptor = fileDescriptor
        self.expands = expands
        self.stripsTabs = stripsTabs
        self.rawContent = rawContent
        self.range = range
        self.contentRange = contentRange
    }

    /// The body, leading tabs removed when the heredoc asks for it.
    public var content: String {
        guard stripsTabs else { return rawContent }
        var result: [UInt8] = []
        var atLineStart = true
        for byte in rawContent.utf8 {
            if atLineStart && byte == UInt8(ascii: "\t") { continue }
            result.append(byte)
            atLineStart = byte == UInt8(ascii: "\n")
        }
        return String(decoding: result, as: UTF8.self)
    }
}
