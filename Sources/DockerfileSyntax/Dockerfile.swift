// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A parsed Dockerfile.
///
/// Lossless: ``bytes`` are the bytes that were parsed, and every instruction, comment and directive knows its range
/// in them.
public struct Dockerfile: Sendable {
    /// The name used in messages.
    public let name: String
    public let source: SourceText
    public let directives: Directives
    public let instructions: [Instruction]
    /// The build stages, at least one.
    public let stages: [StageSyntax]
    /// Every comment line, those between continuation lines and unknown directives included.
    public let comments: [Comment]
    /// The blank or skipped lines inside continuations, for lint.
    public let emptyContinuationLines: [Int]

    /// Parses a whole file; throws everything that is wrong with it at once.
    public init(parsing text: String, name: String = "Dockerfile") throws(DockerfileDiagnostics) {
        try self.init(parsing: Array(text.utf8), name: name)
    }

    /// Parses a whole file; throws everything that is wrong with it at once. Bytes need not be UTF-8.
    public init(parsing bytes: [UInt8], name: String = "Dockerfile") throws(DockerfileDiagnostics) {
        var parser = DockerfileParser(SourceText(bytes, name: name))
        self = try parser.dockerfile()
    }

    init(
        source: SourceText,
        directives: Directives,
        instructions: [Instruction],
        comments: [Comment],
        emptyContinuationLines: [Int]
    ) {
        name = source.name
        self.source = source
        self.directives = directives
        self.instructions = instructions
        self.comments = comments
        self.emptyContinuationLines = emptyContinuationLines
        stages = StageSyntax.stages(of: instructions)
    }

    public var bytes: [UInt8] { source.bytes }

    /// The lines without their endings; ``SourceText/line(_:)`` is cheaper for a few.
    public var lines: [String] { (1...source.lineCount).map(source.line) }

    /// The ARG instructions before the first FROM.
    public var globalArguments: [Instruction] {
        Array(instructions.prefix { $0.keyword != .from })
    }
}

/// A FROM and what follows it up to the next one.
public struct StageSyntax: Sendable {
    public var index: Int
    /// The FROM instruction itself, of which ``from`` is the payload.
    public var instruction: Instruction
    public var from: FromInstruction
    /// In lower case.
    public var name: String?
    /// What follows the name in the comment line above FROM that starts with it: its description in an outline.
    public var docComment: String?
    /// What follows FROM.
    public var instructions: [Instruction]
    public var range: SourceRange
}

extension StageSyntax {
    static func stages(of instructions: [Instruction]) -> [StageSyntax] {
        var stages: [StageSyntax] = []
        var first = 0
        while first < instructions.count {
            guard case .from(let from) = instructions[first].kind else {
                first += 1
                continue
            }
            var end = first + 1
            while end < instructions.count, instructions[end].keyword != .from { end += 1 }
            stages.append(
                StageSyntax(
                    index: stages.count,
                    instruction: instructions[first],
                    from: from,
                    name: from.stageName,
                    docComment: description(of: from.stageName, in: instructions[first].docComment),
                    instructions: Array(instructions[first + 1..<end]),
                    range: SourceRange(
                        start: instructions[first].range.start,
                        end: instructions[end - 1].range.end
                    )
                )
            )
            first = end
        }
        return stages
    }

    /// The rest of the comment line that starts with `name`.
    static func description(of name: String?, in comment: String?) -> String? {
        guard let name, let comment else { return nil }
        let prefix = Array("\(name) ".utf8)
        var rest = comment.utf8[...]
        while true {
            if rest.starts(with: prefix) {
                let line = rest.prefix { $0 != UInt8(ascii: "\n") }
                return String(decoding: line.dropFirst(prefix.count), as: UTF8.self)
            }
            guard let end = rest.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
            rest = rest[rest.index(after: end)...]
        }
    }
}

extension Instruction {
    /// Parses a trigger that an image config stores for ONBUILD: one instruction, with its heredocs.
    public init(parsingOnBuild trigger: String) throws(DockerfileDiagnostics) {
        var parser = DockerfileParser(SourceText(Array(trigger.utf8), name: "ONBUILD"))
        self = try parser.trigger()
    }
}
