// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import BuildDefinition
import OCI
public import Solver

/// All that decides what a step makes, in words: kept after a build, so that the next one can tell what changed.
///
/// Secrets are never part of an operation, and so never of this; passwords of addresses and the values of proxy variables
/// are taken out.
public struct StepFacts: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable {
        case image, local, git, http, exec, file, merge
    }

    public enum Progress: String, Hashable, Sendable {
        /// It succeeded or was found.
        case done
        case failed
        /// The build ended before.
        case notReached
    }

    /// A property of the operation that has a name for people.
    public struct Setting: Hashable, Sendable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Something that the step reads.
    public struct Input: Hashable, Sendable {
        public var id: VertexID
        public var kind: Kind
        public var name: String
        /// What for, like `base`, `copy /src` or `mount /app`.
        public var role: String
        /// For a source: what it held, like a digest or a commit. Nil when that is not known.
        public var content: String?
        /// What the solver told the input's result from others by; nil when it never asked.
        public var identity: String?

        public init(
            id: VertexID,
            kind: Kind,
            name: String,
            role: String,
            content: String? = nil,
            identity: String? = nil
        ) {
            self.id = id
            self.kind = kind
            self.name = name
            self.role = role
            self.content = content
            self.identity = identity
        }

        public var isSource: Bool { [.image, .local, .git, .http].contains(kind) }
    }

    public var id: VertexID
    public var kind: Kind
    /// As displays show it.
    public var name: String
    /// Empty for a step of no stage.
    public var stage: String
    /// As written in the Dockerfile; the name for a step that no line asks for.
    public var instruction: String
    public var settings: [Setting] = []
    /// `NAME=value`, of a command.
    public var environment: [String] = []
    /// `NAME=value` of variables that were replaced in the instruction's text.
    public var variables: [String] = []
    /// Names of variables that ARG declares.
    public var arguments: [String] = []
    /// Of what the cache tells operations apart by.
    public var operation: String
    public var inputs: [Input] = []
    /// For a source: what it held. Nil when that is not known.
    public var content: String?
    public var progress = Progress.done

    public init(id: VertexID, kind: Kind, name: String, stage: String, instruction: String, operation: String) {
        self.id = id
        self.kind = kind
        self.name = name
        self.stage = stage
        self.instruction = instruction
        self.operation = operation
    }

    /// - Parameter inputs: the steps that the vertex names, in its order.
    public init(_ vertex: BuildVertex, inputs: [BuildVertex]) {
        let metadata = vertex.metadata
        self.init(
            id: vertex.id,
            kind: Kind(vertex.op),
            name: Self.name(of: vertex),
            stage: metadata.stage ?? "",
            instruction: Self.instruction(of: vertex),
            operation: Digest.sha256(vertex.op.cacheBytes).hex
        )
        settings = Self.settings(of: vertex.op)
        variables = metadata.replacedVariables.filter { !isProxyVariable($0) }.map(Self.shown)
        if case .exec(let op) = vertex.op {
            environment = op.environment.filter { !isProxyVariable($0) }.map(Self.shown)
        }
        arguments = metadata.arguments
        content = Self.content(of: vertex.op)
        let roles = Self.roles(of: vertex.op, count: inputs.count)
        self.inputs = zip(inputs, roles).map { input, role in
            Input(
                id: input.id,
                kind: Kind(input.op),
                name: Self.name(of: input),
                role: role,
                content: Self.content(of: input.op)
            )
        }
    }

    /// What stands in the Dockerfile, as far as it is kept.
    public static func instruction(of vertex: BuildVertex) -> String {
        shown(vertex.metadata.instruction ?? name(of: vertex))
    }

    /// The step's name without the values of proxy variables that its text shows.
    public static func name(of vertex: BuildVertex) -> String {
        var entries = vertex.metadata.replacedVariables
        if case .exec(let op) = vertex.op { entries += op.environment }
        let hidden = entries.filter(isProxyVariable).map { $0.drop { $0 != "=" }.dropFirst() }.filter { !$0.isEmpty }
        return hidden.reduce(vertex.metadata.name) { $0.replacing($1, with: "****") }
    }

    /// What is known of a source without asking anybody, or of a document that the Dockerfile holds.
    static func content(of op: BuildOp) -> String? {
        switch op {
        case .image(let image):
            var reference = image.reference
            reference.digest = image.manifest?.digest ?? reference.digest
            return reference.digest == nil ? "\(reference) (\(image.config))" : reference.description
        case .file(let file):
            guard !file.hasBase, case .makeFile(let document)? = file.actions.first else { return nil }
            return "\(document.path) \(Digest.sha256(document.content))"
        case .local, .git, .http, .exec, .merge: return nil
        }
    }

    /// Addresses lose what identifies their user. Long texts are cut; their digest still tells them apart.
    static func shown(_ text: String) -> String {
        let text = withoutPassword(text)
        return text.utf8.count <= 2000 ? text : "\(text.prefix(1000))… (\(Digest.sha256(text).hex))"
    }
}

extension StepFacts.Kind {
    public init(_ op: BuildOp) {
        self =
            switch op {
            case .image: .image
            case .local: .local
            case .git: .git
            case .http: .http
            case .exec: .exec
            case .file: .file
            case .merge: .merge
            }
    }
}

/// Whether `NAME=value` says how to reach the network, which may hold a password and is nothing that a step is made of.
func isProxyVariable(_ entry: String) -> Bool {
    // The longest of the names has eleven letters: most entries are dismissed here.
    guard let equals = entry.utf8.prefix(12).firstIndex(of: UInt8(ascii: "=")) else { return false }
    return ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"].contains(entry[..<equals].lowercased())
}
