// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import DockerfileSyntax

/// The parameters that a target takes: build arguments, secrets and ssh agents.
public struct Outline: Sendable {
    public struct Argument: Hashable, Sendable {
        public var name: String
        /// The default or the value given; empty when there is neither.
        public var value: String
        public var description: String?
        public var lines: ClosedRange<Int>
    }

    /// A secret or agent that RUN steps mount.
    public struct Mount: Hashable, Sendable {
        public var name: String
        public var isRequired: Bool
        public var lines: ClosedRange<Int>
        /// Place of the mount in the file.
        var offset: Int
    }

    /// The target's name in lower case, nil when it has none.
    public var name: String?
    public var description: String?
    /// All lists in the order of the file, each name once.
    public var arguments: [Argument]
    public var secrets: [Mount]
    public var agents: [Mount]
    public let source: SourceText

    /// Looks at the target and the stages that it needs. An unknown target is the last stage's: look before you ask.
    public init(_ dockerfile: Dockerfile, _ request: LintRequest) {
        var request = request
        request.coversAllStages = false
        var evaluation = Evaluation(dockerfile, request, options: CheckOptions())
        evaluation.evaluateStages()
        let stage = dockerfile.stages[evaluation.target]
        name = stage.name
        description = stage.docComment
        source = dockerfile.source
        var parts = OutlineParts()
        parts.collect(evaluation.target, evaluation)
        arguments = parts.arguments.sorted { ($0.lines.lowerBound, $0.offset) < ($1.lines.lowerBound, $1.offset) }
            .map { Argument(name: $0.name, value: $0.value, description: $0.description, lines: $0.lines) }
        secrets = parts.secrets.sorted { $0.offset < $1.offset }
        agents = parts.agents.sorted { $0.offset < $1.offset }
    }
}

/// What a target and the stages below it say; of several declarations of a name the one nearest to the target counts.
private struct OutlineParts {
    var arguments: [ArgumentInfo] = []
    var secrets: [Outline.Mount] = []
    var agents: [Outline.Mount] = []
    private var visited: Set<Int> = []
    private var names: Set<String> = []

    mutating func collect(_ index: Int, _ evaluation: Evaluation) {
        guard visited.insert(index).inserted else { return }
        let outline = evaluation.outlines[index]
        for name in outline.allUsed.sorted() {
            if let info = outline.arguments[name], names.insert(name).inserted { arguments.append(info) }
        }
        for secret in outline.secrets where !secrets.contains(where: { $0.name == secret.name }) {
            secrets.append(secret)
        }
        for agent in outline.agents where !agents.contains(where: { $0.name == agent.name }) { agents.append(agent) }
        let stage = evaluation.map.stages[index]
        if case .stage(let base) = stage.base { collect(base, evaluation) }
        for dependency in stage.dependencies { collect(dependency, evaluation) }
    }
}

extension StageOutline {
    /// Notes the secret or agent that a mount asks for; `fields` have their variables replaced.
    mutating func add(mount fields: [String: String], lines: ClosedRange<Int>, offset: Int) {
        let isRequired = ["1", "t", "true"].contains(fields["required"]?.lowercased())
        func mount(_ name: String) -> Outline.Mount {
            Outline.Mount(name: name, isRequired: isRequired, lines: lines, offset: offset)
        }
        func field(_ keys: String...) -> String? {
            keys.lazy.compactMap { fields[$0] }.first { !$0.isEmpty }
        }
        switch fields["type"]?.lowercased() {
        case "secret":
            let target = field("target", "dst", "destination")
            let fileName = target?.split(separator: "/").last.map(String.init)
            guard let name = field("source", "src") ?? field("id") ?? fileName else { return }
            if !secrets.contains(where: { $0.name == name }) { secrets.append(mount(name)) }
        case "ssh":
            let name = field("id") ?? "default"
            if !agents.contains(where: { $0.name == name }) { agents.append(mount(name)) }
        default: break
        }
    }
}
