// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Reads a file line by line: directives, comments, continuations, heredoc bodies.
struct DockerfileParser {
    /// The longest physical line; BuildKit's limit.
    static let longestLine = 65535
    /// Larger files are refused: no Dockerfile is, and everything parsed stays in memory.
    static let largestFile = 16 << 20
    /// More instructions are refused for the same reason.
    static let mostInstructions = 100_000
    /// After so many mistakes the rest of the file is not looked at.
    private static let mostDiagnostics = 100

    let source: SourceText
    private var line = 1
    private var directives = Directives()
    private var comments: [Comment] = []
    private var emptyContinuationLines: [Int] = []
    private var instructions: [Instruction] = []
    private var diagnostics: [Diagnostic] = []
    /// The texts of the comment lines since the last instruction or empty comment.
    private var pendingComments: [String] = []
    private var hasStage = false
    private var reportedMissingStage = false

    init(_ source: SourceText) { self.source = source }

    // MARK: Whole files

    mutating func dockerfile() throws(DockerfileDiagnostics) -> Dockerfile {
        try readAll()
        if diagnostics.isEmpty {
            let end = source.position(at: 0)
            let range = SourceRange(start: end, end: end)
            if source.bytes.isEmpty {
                report(.init(.emptyFile, "the Dockerfile cannot be empty", range: range, nextStep: "begin with FROM"))
            } else if instructions.isEmpty {
                report(.init(.noInstructions, "file with no instructions", range: range, nextStep: "begin with FROM"))
            } else if !hasStage {
                report(
                    .init(
                        .noStages,
                        "dockerfile contains no stages to build",
                        range: instructions[0].range,
                        nextStep: "add a FROM instruction"
                    )
                )
            }
        }
        try throwDiagnostics()
        return Dockerfile(
            source: source,
            directives: directives,
            instructions: instructions,
            comments: comments,
            emptyContinuationLines: emptyContinuationLines
        )
    }

    /// The one instruction of an ONBUILD trigger.
    mutating func trigger() throws(DockerfileDiagnostics) -> Instruction {
        hasStage = true
        try readAll()
        let whole = source.range(0..<source.bytes.count)
        if diagnostics.isEmpty, instructions.count != 1 {
            report(.init(.invalidTrigger, "onbuild trigger should be a single expression", range: whole))
        }
        if let first = instructions.first, [.from, .maintainer, .onbuild].contains(first.keyword) {
            report(InstructionBuilder.forbiddenTrigger(first.keyword, range: first.keywordRange))
        }
        try throwDiagnostics()
        return instructions[0]
    }

    private func throwDiagnostics() throws(DockerfileDiagnostics) {
        guard diagnostics.isEmpty else {
            throw DockerfileDiagnostics(diagnostics.sorted { $0.range.start < $1.range.start }, source: source)
        }
    }

    private mutating func report(_ diagnostic: Diagnostic) { diagnostics.append(diagnostic) }

    private mutating func readAll() throws(DockerfileDiagnostics) {
        let whole = source.range(0..<0)
        if source.bytes.count > Self.largestFile {
            report(
                .init(
                    .fileTooLarge,
                    "dockerfile greater than max allowed size of \(Self.largestFile) bytes",
                    range: whole
                )
            )
            try throwDiagnostics()
        }
        for number in 1...source.lineCount where source.length(ofLine: number) > Self.longestLine {
            report(
                .init(
                    .lineTooLong,
                    "dockerfile line greater than max allowed size of \(Self.longestLine)",
                    range: source.range(source.byteRange(ofLine: number)),
                    nextStep: "break the line with continuations"
                )
            )
            try throwDiagnostics()
        }
        readDirectives()
        while line <= source.lineCount, diagnostics.count < Self.mostDiagnostics {
            if instructions.count == Self.mostInstructions {
                report(
                    .init(
                        .fileTooLarge,
                        "dockerfile has more than \(Self.mostInstructions) instructions",
                        range: source.range(source.byteRange(ofLine: line))
                    )
                )
                break
            }
            readLine()
        }
    }

    // MARK: Lines

    /// A line of the file without byte order mark and line ending, however many carriage returns that has.
    private func slice(_ number: Int) -> ArraySlice<UInt8> {
        var slice = DirectiveLine.line(number, of: source)
        while slice.last == UInt8(ascii: "\r") { slice.removeLast() }
        return slice
    }

    private mutating func readDirectives() {
        var seen: Set<String> = []
        let first = line
        while line <= source.lineCount, let (name, value) = DirectiveLine.parse(trimmingSpaceAtStart(slice(line))),
            DirectiveLine.names.contains(name)
        {
            let word = word(value)
            if !seen.insert(name).inserted {
                report(
                    .init(
                        .invalidDirective,
                        "only one \(name) parser directive can be used",
                        range: source.range(source.byteRange(ofLine: line))
                    )
                )
            } else if name == "escape", word.text != "\\", word.text != "`" {
                report(
                    .init(
                        .invalidDirective,
                        "invalid escape token '\(word.text)' does not match ` or \\",
                        range: word.range
                    )
                )
            } else if name == "escape" {
                directives.escape = word
            }
            line += 1
        }
        // The others are for who starts frontends and checks, and are looked for as in files of any language.
        for (name, value) in DirectiveLine.scan(source) {
            if name == "syntax" { directives.syntax = word(value) }
            if name == "check" { directives.check = word(value) }
        }
        // An indented one is a directive for who reads instructions only: it says nothing, like a comment.
        for number in first..<line {
            let known = [directives.syntax, directives.check, directives.escape].contains {
                $0?.range.start.line == number
            }
            if !known, let comment = comment(slice(number)) { comments.append(comment) }
        }
    }

    private func word(_ value: ArraySlice<UInt8>) -> Word {
        Word(String(decoding: value, as: UTF8.self), range: source.range(value.startIndex..<value.endIndex))
    }

    /// The comment on a line, nil when the line is none.
    private func comment(_ slice: ArraySlice<UInt8>) -> Comment? {
        let start = trimmingSpaceAtStart(slice).startIndex
        guard start < slice.endIndex, slice[start] == UInt8(ascii: "#") else { return nil }
        let text = trimmingSpace(slice[(start + 1)...])
        let end = max(text.endIndex, start + 1)
        return Comment(String(decoding: text, as: UTF8.self), range: source.range(start..<end))
    }

    /// Reads a comment, a blank line, or an instruction with everything that belongs to it.
    private mutating func readLine() {
        let first = slice(line)
        if let comment = comment(first) {
            comments.append(comment)
            // As BuildKit: an empty comment parts a comment from what follows, a blank line does not; of an indented
            // comment only the first byte of the line is cut off, so that its `#` stays.
            let text = String(decoding: trimmingSpace(first.dropFirst()), as: UTF8.self)
            if text.isEmpty { pendingComments = [] } else { pendingComments.append(text) }
            line += 1
            return
        }
        if trimmingSpace(first).isEmpty {
            line += 1
            return
        }
        let logical = readContinuations(first)
        readInstruction(logical, logical.trimmed)
        pendingComments = []
    }

    /// Joins the line with those that continue it.
    private mutating func readContinuations(_ first: ArraySlice<UInt8>) -> LogicalLine {
        let escape = directives.escapeCharacter.asciiValue ?? UInt8(ascii: "\\")
        var logical = LogicalLine()
        var isContinued = append(trimmingSpaceAtStart(first), to: &logical, escape: escape)
        line += 1
        while isContinued, line <= source.lineCount {
            let next = slice(line)
            if let comment = comment(next) {
                comments.append(comment)
            } else if trimmingSpace(next).isEmpty {
                emptyContinuationLines.append(line)
            } else {
                isContinued = append(next, to: &logical, escape: escape)
            }
            line += 1
        }
        return logical
    }

    /// Appends a line without its continuation character; true when it has one.
    ///
    /// As in BuildKit an escape before the last one makes it no continuation, however many there are.
    private func append(_ slice: ArraySlice<UInt8>, to logical: inout LogicalLine, escape: UInt8) -> Bool {
        let start = source.byteRange(ofLine: line).lowerBound
        var end = slice.endIndex
        while end > slice.startIndex, slice[end - 1] == 0x20 || slice[end - 1] == 0x09 { end -= 1 }
        let isContinued =
            end > slice.startIndex && slice[end - 1] == escape
            && (end - 1 == slice.startIndex || slice[end - 2] != escape)
        logical.append(isContinued ? slice[..<(end - 1)] : slice, line: line, lineStart: start)
        return isContinued
    }

    // MARK: Instructions

    private mutating func readInstruction(_ logical: LogicalLine, _ range: Range<Int>) {
        let escape = directives.escapeCharacter.asciiValue ?? UInt8(ascii: "\\")
        let head = InstructionHead(logical, range, escape: escape)
        var heredocs: [Heredoc] = []
        do throws(Diagnostic) {
            if InstructionBuilder.canHaveHeredocs(logical, head, escape: escape) {
                heredocs = try readHeredocs(logical, range)
            }
            var builder = InstructionBuilder(
                line: logical,
                escape: escape,
                docComment: pendingComments.isEmpty ? nil : pendingComments.joined(separator: "\n"),
                heredocs: heredocs
            )
            var instruction = try builder.instruction(head, range)
            if instruction.range.end.line < line - 1 {
                // Through the terminator of the last heredoc, or through the lines that a continuation skips at the
                // end of the file.
                let last = source.byteRange(ofLine: line - 1)
                instruction.range.end = source.position(at: last.isEmpty ? source.bytes.count : last.upperBound)
            }
            try checkPlace(instruction)
            instructions.append(instruction)
        } catch {
            if Keyword(spelledLike: logical.text(head.keyword)) == .from { hasStage = true }
            report(error)
        }
    }

    private mutating func checkPlace(_ instruction: Instruction) throws(Diagnostic) {
        if instruction.keyword == .from {
            hasStage = true
        } else if !hasStage, instruction.keyword != .arg, !reportedMissingStage {
            reportedMissingStage = true
            throw Diagnostic(
                .instructionBeforeStage,
                "no build stage in current context",
                range: instruction.keywordRange,
                notes: ["only ARG may come before the first FROM"],
                nextStep: "put a FROM instruction before this line"
            )
        }
    }

    /// Reads the bodies of the heredocs that the instruction's line opens.
    private mutating func readHeredocs(
        _ logical: LogicalLine,
        _ range: Range<Int>
    ) throws(Diagnostic) -> [Heredoc] {
        var heredocs: [Heredoc] = []
        let markers = Heredoc.markers(in: logical.bytes[range])
        guard markers.count <= Heredoc.most else {
            throw Diagnostic(
                .invalidHeredoc,
                "more than \(Heredoc.most) heredocs in one instruction",
                range: logical.sourceRange(markers[Heredoc.most].range)
            )
        }
        for (marker, place) in markers {
            let name = Array(marker.name.utf8)
            let start = line <= source.lineCount ? source.byteRange(ofLine: line).lowerBound : source.bytes.count
            var end: Int?
            while end == nil, line <= source.lineCount {
                var text = source.bytes[source.byteRange(ofLine: line)]
                while text.last == UInt8(ascii: "\r") { text = text.dropLast() }
                if marker.stripsTabs { text = text.drop { $0 == UInt8(ascii: "\t") } }
                if text.elementsEqual(name) { end = source.byteRange(ofLine: line).lowerBound }
                line += 1
            }
            guard let end else {
                throw Diagnostic(
                    .unterminatedHeredoc,
                    "unterminated heredoc",
                    range: logical.sourceRange(place),
                    nextStep: "end the heredoc with a line that holds only \(marker.name)"
                )
            }
            heredocs.append(
                Heredoc(
                    name: marker.name,
                    fileDescriptor: marker.fileDescriptor,
                    expands: marker.expands,
                    stripsTabs: marker.stripsTabs,
                    rawContent: String(decoding: source.bytes[start..<end], as: UTF8.self),
                    range: logical.sourceRange(place),
                    contentRange: source.range(start..<end)
                )
            )
        }
        return heredocs
    }
}
