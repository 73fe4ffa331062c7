// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// `FROM [--platform=P] image [AS name]`.
public struct FromInstruction: Hashable, Sendable {
    public var image: Word
    public var platform: Word?
    /// The stage name as written; ``stageName`` is what look-ups use.
    public var name: Word?
    /// The word between image and name, for lint: `AS`, `as`.
    public var asKeyword: Word?

    public init(image: Word, platform: Word? = nil, name: Word? = nil, asKeyword: Word? = nil) {
        self.image = image
        self.platform = platform
        self.name = name
        self.asKeyword = asKeyword
    }

    /// The stage name in lower case.
    public var stageName: String? { name?.text.lowercased() }
}

/// A command as shell text or as a JSON array of arguments.
public enum CommandForm: Hashable, Sendable {
    case shell(String)
    case exec([String])
}

/// `RUN [flags] command`.
public struct RunInstruction: Hashable, Sendable {
    /// In shell form the text of the instruction line only; ``script`` adds the heredocs.
    public var command: CommandForm
    public var heredocs: [Heredoc]
    public var mounts: [MountSpec]
    /// `default`, `none` or `host`.
    public var network: Word?
    /// `sandbox` or `insecure`.
    public var security: Word?
    public var devices: [Word]

    public init(
        command: CommandForm,
        heredocs: [Heredoc] = [],
        mounts: [MountSpec] = [],
        network: Word? = nil,
        security: Word? = nil,
        devices: [Word] = []
    ) {
        self.command = command
        self.heredocs = heredocs
        self.mounts = mounts
        self.network = network
        self.security = security
        self.devices = devices
    }

    /// What is to be executed once heredocs are taken into account.
    public enum Script: Hashable, Sendable {
        /// Text for the shell; heredocs mixed with a command are put back behind it for the shell to read.
        case shell(String)
        case exec([String])
        /// The whole command is one heredoc whose body starts with `#!`: a file to be made executable and run.
        case file(name: String, content: String)
    }

    public var script: Script {
        switch command {
        case .exec(let arguments): return .exec(arguments)
        case .shell(let text):
            guard let first = heredocs.first else { return .shell(text) }
            if heredocs.count == 1, isOnlyHeredoc {
                return first.content.utf8.starts(with: "#!".utf8)
                    ? .file(name: first.name, content: first.content) : .shell(first.content)
            }
            return .shell(heredocs.reduce(text) { "\($0)\n\($1.rawContent)\($1.name)" })
        }
    }

    /// Whether the command is nothing but one heredoc word.
    public var isOnlyHeredoc: Bool {
        guard case .shell(let text) = command, heredocs.count == 1 else { return false }
        return Heredoc.Marker(word: text) != nil
    }
}

/// One `--mount=` of a RUN, its comma separated fields not yet expanded or checked beyond their keys.
public struct MountSpec: Hashable, Sendable {
    public struct Field: Hashable, Sendable {
        /// In lower case.
        public var key: String
        /// Nil when there is no `=`.
        public var value: Word?
        public var range: SourceRange

        public init(key: String, value: Word?, range: SourceRange) {
            self.key = key
            self.value = value
            self.range = range
        }
    }

    public var text: String
    public var fields: [Field]
    public var range: SourceRange

    public init(text: String, fields: [Field], range: SourceRange) {
        self.text = text
        self.fields = fields
        self.range = range
    }

    /// The last field with one of these keys.
    public func field(_ keys: String...) -> Field? { fields.last { keys.contains($0.key) } }
}

/// A source of COPY or ADD.
public enum CopySource: Hashable, Sendable {
    case path(Word)
    case heredoc(Heredoc)
}

/// `COPY [flags] source... destination`.
public struct CopyInstruction: Hashable, Sendable {
    public var sources: [CopySource]
    public var destination: Word
    public var from: Word?
    public var chown: Word?
    public var chmod: Word?
    public var link: Bool
    public var parents: Bool
    public var excludes: [Word]

    public init(
        sources: [CopySource],
        destination: Word,
        from: Word? = nil,
        chown: Word? = nil,
        chmod: Word? = nil,
        link: Bool = false,
        parents: Bool = false,
        excludes: [Word] = []
    ) {
        self.sources = sources
        self.destination = destination
        self.from = from
        self.chown = chown
        self.chmod = chmod
        self.link = link
        self.parents = parents
        self.excludes = excludes
    }

    public var heredocs: [Heredoc] { sources.heredocs }
}

/// `ADD [flags] source... destination`.
public struct AddInstruction: Hashable, Sendable {
    public var sources: [CopySource]
    public var destination: Word
    public var chown: Word?
    public var chmod: Word?
    public var link: Bool
    public var excludes: [Word]
    public var checksum: Word?
    /// Nil when the flag is absent.
    public var keepGitDir: Bool?
    /// Nil when the flag is absent, which means different things for local and remote archives.
    public var unpack: Bool?

    public init(
        sources: [CopySource],
        destination: Word,
        chown: Word? = nil,
        chmod: Word? = nil,
        link: Bool = false,
        excludes: [Word] = [],
        checksum: Word? = nil,
        keepGitDir: Bool? = nil,
        unpack: Bool? = nil
    ) {
        self.sources = sources
        self.destination = destination
        self.chown = chown
        self.chmod = chmod
        self.link = link
        self.excludes = excludes
        self.checksum = checksum
        self.keepGitDir = keepGitDir
        self.unpack = unpack
    }

    public var heredocs: [Heredoc] { sources.heredocs }
}

extension [CopySource] {
    var heredocs: [Heredoc] {
        compactMap { if case .heredoc(let heredoc) = $0 { heredoc } else { nil } }
    }
}

/// The pairs of an ENV or LABEL. Keys and values are both expanded, quotes included.
public struct KeyValueInstruction: Hashable, Sendable {
    public struct Pair: Hashable, Sendable {
        public var key: Word
        public var value: Word

        public init(key: Word, value: Word) {
            self.key = key
            self.value = value
        }
    }

    public var pairs: [Pair]
    /// `ENV key rest of line`, without `=`.
    public var isLegacyForm: Bool

    public init(pairs: [Pair], isLegacyForm: Bool = false) {
        self.pairs = pairs
        self.isLegacyForm = isLegacyForm
    }
}

/// One `name[=default]` of an ARG.
public struct ArgDeclaration: Hashable, Sendable {
    public var name: Word
    public var defaultValue: Word?
    /// What follows the name in the comment line above that starts with it: its description in an outline.
    public var docComment: String?

    public init(name: Word, defaultValue: Word? = nil, docComment: String? = nil) {
        self.name = name
        self.defaultValue = defaultValue
        self.docComment = docComment
    }
}

/// `HEALTHCHECK NONE` or `HEALTHCHECK [flags] CMD command`. Durations are in nanoseconds, nil when not given.
public enum HealthcheckInstruction: Hashable, Sendable {
    public struct Check: Hashable, Sendable {
        public var command: CommandForm
        public var interval: Int64?
        public var timeout: Int64?
        public var startPeriod: Int64?
        public var startInterval: Int64?
        public var retries: Int?

        public init(
            command: CommandForm,
            interval: Int64? = nil,
            timeout: Int64? = nil,
            startPeriod: Int64? = nil,
            startInterval: Int64? = nil,
            retries: Int? = nil
        ) {
            self.command = command
            self.interval = interval
            self.timeout = timeout
            self.startPeriod = startPeriod
            self.startInterval = startInterval
            self.retries = retries
        }
    }

    case none
    case check(Check)
}

/// `ONBUILD instruction`.
public struct OnBuildInstruction: Hashable, Sendable {
    /// What the image config stores: the trigger's line, with its heredocs behind it.
    public var text: String
    /// The trigger as parsed here, never FROM, MAINTAINER or ONBUILD; nil when it is no valid instruction, which as in
    /// BuildKit matters only to who builds on the image.
    public var instruction: Instruction?
    /// Why ``instruction`` is nil.
    public var problem: Diagnostic?

    public init(text: String, instruction: Instruction?, problem: Diagnostic? = nil) {
        self.text = text
        self.instruction = instruction
        self.problem = problem
    }
}
