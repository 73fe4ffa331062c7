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
    let target: Int
    private let syntax: [StageSyntax]
    /// The stages that carry a name, in the order of the file.
    private let named: [String: [Int]]
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
        open([target], &log)
        let readsImages = nodes.values.contains { node in
            node.instructions.contains { if case .image = $0.origin { true } else { $0.origin == .empty } }
        }
        isSingleStage = syntax.count == 1 && !readsImages
        checkOrder(&log)
    }

    /// Puts triggers of a stage's base image before its instructions and explores what they refer to.
    mutating func addTriggers(_ triggers: [StageInstruction], to index: Int, _ log: inout DiagnosticCollector) {
        guard var node = nodes[index] else { return }
        node.hasImageTriggers = true
        let resolved = triggers.map { resolveOrigin($0, &log) }
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
        let base = log.attempt(at: stage.from.image.range) { () throws(LoweringFailure) in
            try findBase(of: stage, platform: (platform ?? nil) ?? request.targetPlatform)
        }
        var steps: [StageInstruction] = []
        if case .stage(let parent) = base {
            steps += syntax[parent].instructions.compactMap { instruction in
                guard case .onbuild(let onbuild) = instruction.kind else { return nil }
                guard let trigger = onbuild.instruction else {
                    let reason = onbuild.problem?.message ?? "not an instruction"
                    log.report(LoweringFailure("failed to parse onbuild trigger: \(reason)"), at: instruction.range)
                    return nil
                }
                return StageInstruction(trigger, isTrigger: true)
            }
        }
        steps += stage.instructions.map { StageInstruction($0) }
        steps = steps.map { resolveOrigin($0, &log) }
        for step in steps { check(step, &log) }
        guard let base else {
            // Its sources are explored all the same: one run reports everything.
            return StageNode(stage, base: .scratch, platform: nil, instructions: steps)
        }
        return StageNode(stage, base: base, platform: platform ?? nil, instructions: steps)
    }

    private func check(_ step: StageInstruction, _ log: inout DiagnosticCollector) {
        let failures =
            UnsupportedFeatures.failures(in: step.instruction, request) + LiteralChecks(expander).failures(in: step)
        for failure in failures { log.report(step.relocate(failure), at: step.range) }
    }

    // MARK: - FROM

    private func fromPlatform(_ stage: StageSyntax) throws(LoweringFailure) -> Platform? {
        guard let word = stage.from.platform else { return nil }
        let text = try expander.expand(word, in: global.environment)
        guard !text.isEmpty else {
            throw LoweringFailure("empty platform value from expression \(word.text)", word.range)
        }
        do throws(OCIError) {
            return try Platform(text)
        } catch {
            throw LoweringFailure("failed to parse platform \(word.text): \(error.message)", word.range)
        }
    }

    private func findBase(of stage: StageSyntax, platform: Platform) throws(LoweringFailure) -> StageNode.Base {
        let word = stage.from.image
        let name = try expander.expand(word, in: global.environment)
        guard !name.isEmpty else {
            throw LoweringFailure(
                "base name (\(word.text)) should not be blank",
                word.range,
                nextStep: "Give the variable a value: an ARG with a default before the first FROM, or --build-arg."
            )
        }
        let wanted = name.lowercased()
        if let earlier = named[wanted]?.last(where: { $0 < stage.index }) { return .stage(earlier) }
        if name == "scratch" { return .scratch }
        do throws(OCIError) {
            return .image(ImageKey(reference: try Reference(name).withDefaultTag, platform: platform))
        } catch {
            throw LoweringFailure(
                withSuggestion(
                    "failed to parse stage name \"\(name)\": \(error.message)",
                    for: wanted,
                    among: syntax[..<stage.index].compactMap(\.name)
                ),
                word.range
            )
        }
    }

    // MARK: - COPY --from

    private func resolveOrigin(_ step: StageInstruction, _ log: inout DiagnosticCollector) -> StageInstruction {
        guard let word = step.fromWord else { return step }
        var step = step
        do throws(LoweringFailure) {
            step.origin = try origin(of: word)
        } catch {
            log.report(step.relocate(error), at: step.range)
        }
        return step
    }

    private func origin(of word: Word) throws(LoweringFailure) -> CopyOrigin {
        let literal = try? expander.expand(word, in: EnvironmentScope())
        guard literal == word.text else {
            throw LoweringFailure(
                "variable expansion is not supported for --from, define a new stage with FROM using ARG from global "
                    + "scope as a workaround",
                word.range
            )
        }
        let name = word.text.lowercased()
        if let index = Int(name) {
            guard syntax.indices.contains(index) else {
                throw LoweringFailure(
                    "invalid stage index \(index)",
                    word.range,
                    nextStep: "The stages are numbered 0 to \(syntax.count - 1)."
                )
            }
            return .stage(index)
        }
        if let index = named[name]?.last { return .stage(index) }
        if word.text == "scratch" { return .empty }
        do throws(OCIError) {
            let reference = try Reference(word.text).withDefaultTag
            return .image(ImageKey(reference: reference, platform: request.targetPlatform))
        } catch {
            throw LoweringFailure(
                withSuggestion(
                    "\"\(word.text)\" is neither a stage nor an image: \(error.message)",
                    for: name,
                    among: stageNames
                ),
                word.range
            )
        }
    }

    /// Names in use, for suggestions.
    var stageNames: [String] { syntax.compactMap(\.name) }

    /// The stages that carry `name`, for explanations.
    func stages(named name: String) -> [StageSyntax] { (named[name.lowercased()] ?? []).map { syntax[$0] } }

    private func checkOrder(_ log: inout DiagnosticCollector) {
        // Each mistake costs a walk over the stages; nobody reads more of them than this.
        var remaining = 50
        for node in reachable {
            for (index, range, text) in node.references where index >= node.index {
                guard remaining > 0 else { return }
                remaining -= 1
                if reaches(from: index, to: node.index) {
                    log.report(
                        LoweringFailure("circular dependency detected on stage: \(node.displayName)", range),
                        at: range
                    )
                } else {
                    log.report(
                        LoweringFailure(
                            "cannot copy from stage \"\(text)\", it needs to be defined before current stage "
                                + "\"\(node.displayName)\"",
                            range,
                            nextStep: "Move the stage of line \(syntax[index].instruction.range.start.line) up."
                        ),
                        at: range
                    )
                }
            }
        }
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
    init(_ stage: StageSyntax, base: Base, platform: Platform?, instructions: [StageInstruction]) {
        self.init(
            index: stage.index,
            name: stage.name,
            displayName: stage.name ?? "stage-\(stage.index)",
            from: stage.instruction,
            imageWord: stage.from.image,
            base: base,
            platform: platform,
            instructions: instructions
        )
    }
}
