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
        fatalError("not yet")
    }

    public var bytes: [UInt8] { source.bytes }

    /// The ARG instructions before the first FROM.
    public var globalArguments: [Instruction] {
        Array(instructions.prefix { $0.keyword != .from })
    }

    /// The build stages, at least one.
    public var stages: [StageSyntax] {
        []
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
    /// The comment above FROM when it starts with the name of the stage: its description in an outline.
    public var docComment: String?
    /// What follows FROM.
    public var instructions: [Instruction]
    public var range: SourceRange
}
