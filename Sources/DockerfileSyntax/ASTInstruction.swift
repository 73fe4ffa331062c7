// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// One instruction of a Dockerfile, continuations joined and heredocs attached.
public struct Instruction: Sendable, Hashable {
    public var keyword: Keyword
    /// The keyword in the letter case of the file.
    public var keywordText: String
    /// From the keyword to the end of the last line, heredocs included.
    public var range: SourceRange
    public var keywordRange: SourceRange
    /// Every `--name[=value]` before the arguments, in order, already checked against what the keyword allows.
    public var flags: [InstructionFlag]
    /// The comment lines above, joined by newlines. Blank lines between do not matter; a bare `#` ends what is above.
    public var docComment: String?
    /// The instruction on one line, continuations joined, heredoc bodies left out: what history and step names show.
    public var original: String
    public var kind: InstructionKind

    public init(
        keyword: Keyword,
        keywordText: String,
        range: SourceRange,
        keywordRange: SourceRange,
        flags: [InstructionFlag],
        docComment: String?,
        original: String,
        kind: InstructionKind
    ) {
        self.keyword = keyword
        self.keywordText = keywordText
        self.range = range
        self.keywordRange = keywordRange
        self.flags = flags
        self.docComment = docComment
        self.original = original
        self.kind = kind
    }

    /// The lines from the keyword to the last continuation or heredoc terminator.
    public var lineRange: ClosedRange<Int> { range.lines }

    /// The heredocs of the instruction, in the order of their bodies.
    public var heredocs: [Heredoc] {
        switch kind {
        case .run(let run): run.heredocs
        case .copy(let copy): copy.heredocs
        case .add(let add): add.heredocs
        case .onbuild(let onbuild): onbuild.instruction?.heredocs ?? []
        default: []
        }
    }
}

/// `--name` or `--name=value`, quotes and escapes of the flag word processed.
public struct InstructionFlag: Hashable, Sendable {
    public var name: String
    /// Nil when there is no `=`.
    public var value: Word?
    public var range: SourceRange

    public init(name: String, value: Word?, range: SourceRange) {
        self.name = name
        self.value = value
        self.range = range
    }
}

/// What an instruction says, by keyword.
public indirect enum InstructionKind: Hashable, Sendable {
    case from(FromInstruction)
    case run(RunInstruction)
    case cmd(CommandForm)
    case entrypoint(CommandForm)
    case copy(CopyInstruction)
    case add(AddInstruction)
    case env(KeyValueInstruction)
    case label(KeyValueInstruction)
    case arg([ArgDeclaration])
    case workdir(Word)
    case user(Word)
    case expose([Word])
    case volume([Word])
    case stopsignal(Word)
    /// Never empty.
    case shell([String])
    case healthcheck(HealthcheckInstruction)
    case maintainer(String)
    case onbuild(OnBuildInstruction)
}
