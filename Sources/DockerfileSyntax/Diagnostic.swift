// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// One thing that is wrong with a Dockerfile.
public struct Diagnostic: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of mistake it is; new codes may be added.
    public struct Code: RawRepresentable, Hashable, Sendable {
        public let rawValue: String

        public init(rawValue: String) { self.rawValue = rawValue }

        private init(_ rawValue: String) { self.rawValue = rawValue }

        public static let emptyFile = Code("empty-file")
        public static let noInstructions = Code("no-instructions")
        public static let noStages = Code("no-stages")
        public static let lineTooLong = Code("line-too-long")
        public static let fileTooLarge = Code("file-too-large")
        public static let invalidDirective = Code("invalid-directive")
        public static let unknownInstruction = Code("unknown-instruction")
        public static let instructionBeforeStage = Code("instruction-before-stage")
        public static let unterminatedHeredoc = Code("unterminated-heredoc")
        public static let invalidHeredoc = Code("invalid-heredoc")
        public static let unknownFlag = Code("unknown-flag")
        public static let duplicateFlag = Code("duplicate-flag")
        public static let invalidFlagValue = Code("invalid-flag-value")
        public static let wrongArguments = Code("wrong-arguments")
        public static let invalidStageName = Code("invalid-stage-name")
        public static let invalidTrigger = Code("invalid-trigger")
        public static let invalidMount = Code("invalid-mount")
        /// For the layers above, which lower the file and use the same renderer.
        public static let semantic = Code("semantic")
    }

    public var code: Code
    /// In BuildKit's words where scripts match on them.
    public var message: String
    public var range: SourceRange
    /// What else is worth knowing, one sentence each.
    public var notes: [String]
    /// What to do about it.
    public var nextStep: String?

    public init(
        _ code: Code,
        _ message: String,
        range: SourceRange,
        notes: [String] = [],
        nextStep: String? = nil
    ) {
        self.code = code
        self.message = message
        self.range = range
        self.notes = notes
        self.nextStep = nextStep
    }

    public var description: String { "dockerfile parse error on line \(range.start.line): \(message)" }
}

/// Everything that is wrong with a Dockerfile, in the order of the file; never empty.
public struct DockerfileDiagnostics: Error, Sendable, CustomStringConvertible {
    public let diagnostics: [Diagnostic]
    /// The text that was refused, for excerpts.
    public let source: SourceText

    public init(_ diagnostics: [Diagnostic], source: SourceText) {
        self.diagnostics = diagnostics
        self.source = source
    }

    public var description: String { diagnostics.map(\.description).joined(separator: "\n") }
}
