// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import OCI

/// An instruction of a stage, or an ONBUILD trigger of its base.
struct StageStep {
    let instruction: Instruction
    /// Where reports point: for a trigger that is the FROM line.
    let lines: ClosedRange<Int>
    /// The comment above, which may hold settings.
    let comment: String?

    init(_ instruction: Instruction) {
        self.instruction = instruction
        lines = instruction.lineRange
        comment = instruction.docComment
    }

    init(trigger: Instruction, lines: ClosedRange<Int>) {
        instruction = trigger
        self.lines = lines
        comment = nil
    }
}

/// A FROM with its variables replaced.
struct MappedStage {
    enum Base: Hashable {
        case scratch
        case stage(Int)
        /// A name that is neither a stage nor `scratch`.
        case image(String)
        /// FROM names nothing: a mistake that lowering reports.
        case nothing
    }

    let index: Int
    let syntax: StageSyntax
    let base: Base
    /// Of `--platform`.
    let platform: Platform?
    /// Variables that the FROM line uses.
    let used: Set<String>
    /// Stages that COPY and RUN mounts read.
    var dependencies: [Int] = []
    /// Images that they read, and where.
    var images: [(name: String, lines: ClosedRange<Int>)] = []
    var steps: [StageStep]

    var lines: ClosedRange<Int> { syntax.instruction.lineRange }
}

/// How the stages of a Dockerfile hang together.
struct StageMap {
    private(set) var stages: [MappedStage] = []
    /// The stages that carry a name, in the order of the file.
    private var named: [String: [Int]] = [:]
    let namedContexts: Set<String>

    init(_ dockerfile: Dockerfile, globals: GlobalArguments, request: LintRequest, expander: WordExpander) {
        namedContexts = request.namedContexts
        for stage in dockerfile.stages {
            let image = try? expander.expansion(of: stage.from.image.text, environment: globals.variables)
            let platform = stage.from.platform.flatMap { word in
                try? expander.expansion(of: word.text, environment: globals.variables)
            }
            stages.append(
                MappedStage(
                    index: stage.index,
                    syntax: stage,
                    base: base(image?.text ?? ""),
                    platform: platform.flatMap { try? Platform($0.text) },
                    used: (image?.used ?? []).union(platform?.used ?? []),
                    steps: stage.instructions.map { StageStep($0) }
                )
            )
            if let name = stage.name { named[name, default: []].append(stage.index) }
        }
        for index in stages.indices {
            for step in stages[index].steps { link(step, to: index) }
        }
    }

    private func base(_ name: String) -> MappedStage.Base {
        if name.isEmpty { return .nothing }
        if let index = named[name.lowercased()]?.last { return .stage(index) }
        return name == "scratch" ? .scratch : .image(name)
    }

    /// The stage of that name; the last of several.
    func index(of name: String) -> Int? { named[name.lowercased()]?.last }

    func isReplaced(_ stage: MappedStage) -> Bool { stage.syntax.name.map(namedContexts.contains) ?? false }

    // MARK: - References

    private mutating func link(_ step: StageStep, to index: Int) {
        switch step.instruction.kind {
        case .copy(let copy):
            guard let name = copy.from?.text, !name.isEmpty else { return }
            if let number = Int(name) {
                if stages.indices.contains(number) { stages[index].dependencies.append(number) }
            } else {
                link(name, step, to: index)
            }
        case .run(let run):
            for mount in run.mounts {
                // As BuildKit: no source means `scratch`, and that a stage may be called.
                let name = mount.field("from")?.value?.text ?? ""
                link(name.isEmpty ? "scratch" : name, step, to: index)
            }
        default: break
        }
    }

    private mutating func link(_ name: String, _ step: StageStep, to index: Int) {
        if let stage = self.index(of: name) {
            stages[index].dependencies.append(stage)
        } else if name != "scratch" {
            stages[index].images.append((name, step.lines))
        }
    }

    /// Puts triggers of a stage's base before its own instructions.
    mutating func add(triggers: [Instruction], to index: Int) {
        let steps = triggers.map { StageStep(trigger: $0, lines: stages[index].lines) }
        for step in steps { link(step, to: index) }
        stages[index].steps = steps + stages[index].steps
    }

    /// The stages that one needs, itself included.
    func reachable(from start: Int) -> Set<Int> {
        var found: Set<Int> = []
        var pending = [start]
        while let index = pending.popLast() {
            guard found.insert(index).inserted else { continue }
            if case .stage(let base) = stages[index].base { pending.append(base) }
            pending += stages[index].dependencies
        }
        return found
    }
}
