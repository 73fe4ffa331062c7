// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import OCI

/// The stages that the target reaches, and what each refers to. Knows no image's content.
struct StageGraph {
    let dockerfile: Dockerfile
    let request: LoweringRequest
    let global: GlobalScope
    let expander: WordExpander
    let contexts: NamedContexts
    let target: Int
    let syntax: [StageSyntax]
    /// The stages that carry a name, in the order of the file.
    let named: [String: [Int]]
    private(set) var nodes: [Int: StageNode] = [:]
    /// BuildKit leaves the stage name out of step names when it knows of one stage only.
    private(set) var isSingleStage = false

    init(_ dockerfile: Dockerfile, _ request: LoweringRequest, global: GlobalScope, expander: WordExpander)
        throws(DockerfileDiagnostics)
    {
        self.dockerfile = dockerfile
        self.request = request
        self.global = global
        self.expander = expander
        contexts = NamedContexts(request.namedContexts)
        let stages = dockerfile.stages
        syntax = stages
        named = Dictionary(grouping: stages.indices.filter { stages[$0].name != nil }) { stages[$0].name ?? "" }
        target = try Self.findTarget(request.target, in: dockerfile)
    }

    private static func findTarget(_ name: String?, in dockerfile: Dockerfile) throws(DockerfileDiagnostics) -> Int {
        let stages = dockerfile.stages
        guard let name, !name.isEmpty else { return stages.count - 1 }
        if let index = stages.lastIndex(where: { $0.name == name.lowercased() }) { return index }
        let names = stages.enumerated().map { $1.name ?? "stage-\($0)" }
        let message = withSuggestion("target stage \"\(name)\" could not be found", for: name, among: names)
        let known = stages.compactMap(\.name)
        let diagnostic = Diagnostic(
            .semantic,
            message,
            range: stages.last?.instruction.range ?? SourceRange(start: .start, end: .start),
            nextStep: known.isEmpty
                ? "No stage has a name: write FROM image AS \(name)."
                : "The stages are: \(known.joined(separator: ", "))."
        )
        throw DockerfileDiagnostics([diagnostic], source: dockerfile.source)
    }

    /// In the order of the file.
    var reachable: [StageNode] { nodes.values.sorted { $0.index < $1.index } }

    /// Finds everything that the target reaches and reports what is wrong with it.
    mutating func explore(_ log: inout DiagnosticCollector) {
        checkContext(&log)
        open([target], &log)
        // A mount without a source counts as one of scratch.
        let readsMore = syntax.contains { stage in
            stage.instructions.contains { instruction in
                switch instruction.kind {
                case .copy(let copy): copy.from?.text.isEmpty == false
                case .run(let run): !run.mounts.isEmpty
                default: false
                }
            }
        }
        isSingleStage = syntax.count == 1 && !readsMore
        checkOrder(&log)
        checkNames(&log)
    }

    /// As BuildKit does, wants the names in all stages to be names, also in those that the target does not reach.
    private func checkNames(_ log: inout DiagnosticCollector) {
        for stage in syntax where nodes[stage.index] == nil {
            guard log.diagnostics.count < DiagnosticCollector.limit else { return }
            let platform = log.attempt(at: stage.instruction.range) { () throws(LoweringFailure) in
                try fromPlatform(stage) ?? request.targetPlatform
            }
            guard let platform else { continue }
            if let name = stage.name, contexts.name(for: name, platform: platform) != nil { continue }
            _ = log.attempt(at: stage.from.image.range) { () throws(LoweringFailure) in
                try findBase(of: stage, platform: platform)
            }
            for instruction in stage.instructions { _ = resolveSources(StageInstruction(instruction), &log) }
        }
    }

    private func checkContext(_ log: inout DiagnosticCollector) {
        switch request.context {
        case .local, .git, .http, .archive: return
        case .image, .layout, .stage:
            let range = syntax[target].instruction.range
            log.report(
                LoweringFailure(
                    "the build context must be a directory, a git repository or a web address",
                    range,
                    nextStep: "Name the image with --build-context and copy from that name."
                ),
                at: range
            )
        }
    }

    /// Puts triggers of a stage's base image before its instructions and explores what they refer to.
    mutating func addTriggers(_ triggers: [StageInstruction], to index: Int, _ log: inout DiagnosticCollector) {
        guard var node = nodes[index] else { return }
        node.hasImageTriggers = true
        let resolved = triggers.map { resolveSources($0, &log) }
        for step in resolved { check(step, &log) }
        node.instructions = resolved + node.instructions
        nodes[index] = node
        open(node.references.map(\.stage), &log)
        checkOrder(&log)
    }

    private mutating func open(_ indices: [Int], _ log: inout DiagnosticCollector) {
        var pending = indices
        while let index = pending.popLast() {
            guard nodes[index] == nil else { continue }
            let node = makeNode(index, &log)
            nodes[index] = node
            if case .stage(let base) = node.base { pending.append(base) }
            pending += node.references.map(\.stage)
        }
    }

    private func makeNode(_ index: Int, _ log: inout DiagnosticCollector) -> StageNode {
        let stage = syntax[index]
        let platform = log.attempt(at: stage.instruction.range) { () throws(LoweringFailure) in
            try fromPlatform(stage)
        }
        let wanted = (platform ?? nil) ?? request.targetPlatform
        let substitute = log.attempt(at: stage.instruction.range) { () throws(LoweringFailure) in
            try replacement(ofStage: stage, platform: wanted)
        }
        if case .some(.some(let substitute)) = substitute {
            return StageNode(stage, substitute, platform: platform ?? nil, instructions: [])
        }
        let base = log.attempt(at: stage.from.image.range) { () throws(LoweringFailure) in
            try findBase(of: stage, platform: wanted)
        }
        var steps: [StageInstruction] = []
        if let parent = base?.parent { steps += triggers(of: syntax[parent], &log) }
        steps += stage.instructions.map { StageInstruction($0) }
        steps = steps.map { resolveSources($0, &log) }
        for step in steps { check(step, &log) }
        // Without a base its sources are explored all the same: one run reports everything.
        return StageNode(stage, base ?? StageBase(.scratch), platform: platform ?? nil, instructions: steps)
    }

    private func triggers(of stage: StageSyntax, _ log: inout DiagnosticCollector) -> [StageInstruction] {
        var steps: [StageInstruction] = []
        for instruction in stage.instructions {
            guard case .onbuild(let onbuild) = instruction.kind else { continue }
            if let trigger = onbuild.instruction {
                steps.append(StageInstruction(trigger, isTrigger: true))
            } else {
                // Only a child has to know why.
                let failure = LoweringFailure(onbuild.problem?.message ?? "not an instruction: \(onbuild.text)")
                log.report(failure, at: instruction.range)
            }
        }
        return steps
    }

    private func check(_ step: StageInstruction, _ log: inout DiagnosticCollector) {
        let failures =
            RunPermissions(request).failures(in: step.instruction) + LiteralChecks(expander).failures(in: step)
        for failure in failures { log.report(step.relocate(failure), at: step.range) }
    }

    /// Names in use, for suggestions.
    var stageNames: [String] { syntax.compactMap(\.name) }

    /// The stages that carry `name`, for explanations.
    func stages(named name: String) -> [StageSyntax] { (named[name.lowercased()] ?? []).map { syntax[$0] } }

    private func checkOrder(_ log: inout DiagnosticCollector) {
        // Each mistake costs a walk over the stages; nobody reads more of them than this.
        var remaining = 50
        for node in reachable {
            for reference in node.references where reference.stage >= node.index {
                guard remaining > 0 else { return }
                remaining -= 1
                log.report(misplaced(reference, in: node), at: reference.range)
            }
            // A named context may be any stage of the file.
            if case .stage(let base) = node.base, base >= node.index, remaining > 0 {
                remaining -= 1
                let word = node.imageWord
                let reference = StageReference(stage: base, range: word.range, text: syntax[base].name ?? word.text)
                log.report(misplaced(reference, in: node), at: word.range)
            }
        }
    }

    private func misplaced(_ reference: StageReference, in node: StageNode) -> LoweringFailure {
        if reaches(from: reference.stage, to: node.index) {
            return LoweringFailure("circular dependency detected on stage: \(node.displayName)", reference.range)
        }
        let message =
            reference.mountTarget.map {
                "cannot mount from stage \"\(reference.text)\" to \"\($0)\", stage needs to be defined before current "
                    + "command"
            }
            ?? "cannot copy from stage \"\(reference.text)\", it needs to be defined before current stage "
            + "\"\(node.displayName)\""
        let line = syntax[reference.stage].instruction.range.start.line
        return LoweringFailure(message, reference.range, nextStep: "Move the stage of line \(line) up.")
    }

    private func reaches(from start: Int, to goal: Int) -> Bool {
        var seen: Set<Int> = []
        var pending = [start]
        while let index = pending.popLast() {
            if index == goal { return true }
            guard seen.insert(index).inserted, let node = nodes[index] else { continue }
            if case .stage(let base) = node.base { pending.append(base) }
            pending += node.references.map(\.stage)
        }
        return false
    }
}

extension StageNode {
    init(
        _ stage: StageSyntax,
        _ base: StageBase,
        platform: Platform?,
        instructions: [StageInstruction]
    ) {
        self.init(
            index: stage.index,
            name: stage.name,
            displayName: stage.name ?? "stage-\(stage.index)",
            from: stage.instruction,
            imageWord: stage.from.image,
            base: base.tree,
            baseContext: base.context,
            countsBase: base.counts,
            platform: platform,
            instructions: instructions,
            // As in BuildKit, an image in the place of a stage brings no triggers.
            hasImageTriggers: !base.counts
        )
    }
}
