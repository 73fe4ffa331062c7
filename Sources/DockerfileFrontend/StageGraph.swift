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
        if let base, case .stage(let parent) = base.tree, base.context == nil {
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
        steps = steps.map { resolveSources($0, &log) }
        for step in steps { check(step, &log) }
        // Without a base its sources are explored all the same: one run reports everything.
        return StageNode(stage, base ?? StageBase(.scratch), platform: platform ?? nil, instructions: steps)
    }

    private func triggers(of stage: StageSyntax, _ log: inout DiagnosticCollector) -> [StageInstruction] {
        var steps: [StageInstruction] = []
        for instruction in stage.instructions {
            guard case .onbuild(let onbuild) = instruction.kind else { continue }
            let trigger: Instruction? = onbuild.instruction
            if let trigger {
                steps.append(StageInstruction(trigger, isTrigger: true))
            } else {
                // Only a child has to know why.
                let parsed = log.attempt(at: instruction.range) { () throws(LoweringFailure) in
                    try OnBuildTriggers.parse([onbuild.text], at: instruction.range, image: stage.name ?? "this stage")
                }
                steps += parsed ?? []
            }
        }
        return steps
    }

    private func check(_ step: StageInstruction, _ log: inout DiagnosticCollector) {
        let failures =
            RunPermissions(request).failures(in: step.instruction) + LiteralChecks(expander).failures(in: step)
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

    private func findBase(of stage: StageSyntax, platform: Platform) throws(LoweringFailure) -> StageBase {
        let word = stage.from.image
        let name = try expander.expand(word, in: global.environment)
        guard !name.isEmpty else {
            throw LoweringFailure(
                "base name (\(word.text)) should not be blank",
                word.range,
                nextStep: "Give the variable a value: an ARG with a default before the first FROM, or --build-arg."
            )
        }
        if let earlier = named[name]?.last(where: { $0 < stage.index }) {
            return try replacement(ofStage: syntax[earlier]) ?? StageBase(.stage(earlier))
        }
        if name == "scratch" { return StageBase(.scratch) }
        let reference: Reference
        do throws(OCIError) {
            reference = try Reference(name).withDefaultTag
        } catch {
            let names = syntax[..<stage.index].compactMap(\.name)
            let lowercased = names.contains(name.lowercased()) ? " (did you mean \(name.lowercased())?)" : nil
            let message = "failed to parse stage name \"\(name)\": \(error.message)"
            throw LoweringFailure(
                lowercased.map { message + $0 } ?? withSuggestion(message, for: name.lowercased(), among: names),
                word.range
            )
        }
        if let context = contexts.name(for: reference.description, platform: platform) {
            return try base(ofContext: context, platform: platform, counts: true)
        }
        return StageBase(.image(ImageKey(reference: reference, platform: platform)), counts: true)
    }

    // MARK: - Named contexts

    /// What stands in for the stage; nil when no named context has its name.
    private func replacement(ofStage stage: StageSyntax, platform: Platform? = nil) throws(LoweringFailure)
        -> StageBase?
    {
        guard let name = stage.name else { return nil }
        var own = request.targetPlatform
        if let platform { own = platform } else if let platform = try fromPlatform(stage) { own = platform }
        guard let context = contexts.name(for: name, platform: own) else { return nil }
        return try base(ofContext: context, platform: own, counts: false)
    }

    private func base(ofContext name: String, platform: Platform, counts: Bool) throws(LoweringFailure) -> StageBase {
        switch try origin(ofContext: name, platform: platform) {
        case .context: StageBase(.files(context: name), context: name, counts: counts)
        case .stage(let index): StageBase(.stage(index), context: name, counts: counts)
        case .image(let key, _): StageBase(.image(key), context: name, counts: counts)
        case .empty: StageBase(.scratch, context: name, counts: counts)
        }
    }

    private func origin(ofContext name: String, platform: Platform) throws(LoweringFailure) -> TreeOrigin {
        switch contexts[name] {
        case nil, .local, .git, .http, .archive: return .context(name)
        case .image(let reference):
            if reference.withDefaultTag == Self.scratch { return .empty }
            return .image(ImageKey(reference: reference.withDefaultTag, platform: platform), context: name)
        case .layout(let path, let reference):
            return .image(ImageKey(reference: reference, platform: platform, layout: path), context: name)
        case .stage(let target):
            guard let index = named[target.lowercased()]?.last else {
                throw LoweringFailure(
                    withSuggestion(
                        "target stage \"\(target)\" of the build context \(name) could not be found",
                        for: target,
                        among: stageNames
                    )
                )
            }
            return .stage(index)
        }
    }

    private static let scratch = Reference(domain: Reference.defaultDomain, path: "library/scratch", tag: "latest")

    // MARK: - Sources

    private func resolveSources(_ step: StageInstruction, _ log: inout DiagnosticCollector) -> StageInstruction {
        var step = step
        for (word, mount) in step.fromWords {
            do throws(LoweringFailure) {
                let origin = try mount == nil ? copyOrigin(of: word) : origin(of: word)
                step.sources.append(StepSource(word: word, origin: origin, mount: mount))
            } catch {
                log.report(step.relocate(error), at: step.range)
            }
        }
        return step
    }

    /// Of `COPY --from`, which may also be a stage's number.
    private func copyOrigin(of word: Word) throws(LoweringFailure) -> TreeOrigin {
        let literal = try? expander.expand(word, in: EnvironmentScope())
        guard literal == word.text else {
            throw LoweringFailure(
                "variable expansion is not supported for --from, define a new stage with FROM using ARG from global "
                    + "scope as a workaround",
                word.range
            )
        }
        guard let index = Int(word.text) else { return try origin(of: word) }
        guard syntax.indices.contains(index) else {
            throw LoweringFailure(
                "invalid stage index \(index)",
                word.range,
                nextStep: "The stages are numbered 0 to \(syntax.count - 1)."
            )
        }
        return try origin(ofStage: index)
    }

    private func origin(of word: Word) throws(LoweringFailure) -> TreeOrigin {
        let name = word.text.lowercased()
        if let index = named[name]?.last { return try origin(ofStage: index) }
        if word.text == "scratch" { return .empty }
        let reference: Reference
        do throws(OCIError) {
            reference = try Reference(word.text).withDefaultTag
        } catch {
            throw LoweringFailure(
                withSuggestion(
                    "failed to parse stage name \"\(word.text)\": \(error.message)",
                    for: name,
                    among: stageNames
                ),
                word.range
            )
        }
        let platform = request.targetPlatform
        if let context = contexts.name(for: reference.description, platform: platform) {
            return try origin(ofContext: context, platform: platform)
        }
        return .image(ImageKey(reference: reference, platform: platform), context: nil)
    }

    private func origin(ofStage index: Int) throws(LoweringFailure) -> TreeOrigin {
        let stage = syntax[index]
        guard let name = stage.name else { return .stage(index) }
        let platform = try fromPlatform(stage) ?? request.targetPlatform
        guard let context = contexts.name(for: name, platform: platform) else { return .stage(index) }
        return try origin(ofContext: context, platform: platform)
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

/// What a stage begins with.
private struct StageBase {
    var tree: StageNode.Base
    /// The named context that stands in for it.
    var context: String?
    var counts: Bool

    init(_ tree: StageNode.Base, context: String? = nil, counts: Bool = false) {
        self.tree = tree
        self.context = context
        self.counts = counts
    }
}

extension StageNode {
    fileprivate init(
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
