// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileSyntax
import OCI

/// Goes through the instructions of one stage: variables, config, history, steps.
struct StageEvaluator {
    static let historyComment = "buildkit.dockerfile.v0"
    /// Beyond it no registry would take the config, and a few lines of text could ask for any amount of memory.
    static let historyLimit = 16 << 20

    let request: LoweringRequest
    let global: GlobalScope
    /// For the words of instructions.
    let expander: WordExpander
    let ignoresCache: Bool
    var plan: StagePlan
    var namer: StepNamer
    /// Written into the plan's config when the stage is done.
    var draft: ConfigDraft
    /// Whether this stage itself said CMD.
    var hasCommand = false
    /// What steps read of contexts, nil being the build context: absolute paths, may hold wildcards.
    var contextPaths: [String?: [String]] = [:]
    /// Build arguments that took effect.
    var usedArguments: Set<String> = []

    init(_ node: StageNode, parent: StagePlan?, image: ResolvedImage?, in stages: StageGraph) {
        request = stages.request
        global = stages.global
        expander = stages.expander
        ignoresCache = stages.request.ignoresCache(stage: node)
        let target = stages.request.targetPlatform
        let platform: Platform
        if let parent {
            platform = parent.platform
        } else if case .image(let key) = node.base {
            platform = key.platform
        } else {
            platform = node.base == .scratch && node.baseContext == nil ? target : node.platform ?? target
        }
        var config: ImageConfig
        if let parent {
            config = parent.config
            config.onBuild = []
            BaseConfig.addDefaultPath(&config)
        } else if let image {
            config = BaseConfig.inherited(from: image.config)
            if node.hasImageTriggers { config.onBuild = [] }
        } else {
            config = BaseConfig.scratch(platform)
            // What takes a stage's place says nothing of a directory.
            if node.baseContext != nil, !node.countsBase { config.workingDirectory = "" }
        }
        var environment = parent?.environment ?? EnvironmentScope()
        environment.set(entries: config.env)
        // FROM is named before anyone knows the triggers of its image.
        let triggers = node.instructions.count { $0.triggerRange != nil }
        namer = StepNamer(
            stageName: stages.isSingleStage ? "" : node.displayName,
            total: node.instructions.count(where: \.isCounted) + (node.countsBase ? 1 : 0) - triggers,
            platform: stages.request.showsPlatform ? platform : nil
        )
        plan = StagePlan(
            node: node,
            baseImage: image ?? parent?.baseImage,
            config: config,
            environment: environment,
            arguments: parent?.arguments ?? [],
            platform: platform
        )
        draft = ConfigDraft(config)
        if let image, case .image(let key) = node.base, !image.config.diffIDs.isEmpty {
            let name =
                node.baseContext.map { stages.contexts.imageName($0) }
                ?? namer.next("FROM " + image.displayName(for: key))
            plan.baseMetadata = metadata(name, node)
        }
        namer.total += triggers
        if case .files(let context) = node.base { addFiles(of: context, node) }
    }

    /// A context in the place of a base image: its files become the first layer.
    private mutating func addFiles(of context: String, _ node: StageNode) {
        let copy = FileCopy(
            input: 0,
            source: "/",
            allowsWildcards: false,
            destination: "/",
            destinationIsDirectory: true
        )
        note("/", in: .context(context))
        let name = "[context \(context)] use as file system"
        plan.steps.append(
            PlannedStep(
                work: .files([.copy(copy, from: .origin(.context(context)))]),
                metadata: metadata(name, node)
            )
        )
        draft.record(History(created: nil, createdBy: name, comment: Self.historyComment))
    }

    private func metadata(_ name: String, _ node: StageNode) -> BuildVertex.Metadata {
        var metadata = BuildVertex.Metadata(
            name: name,
            lines: node.from.lineRange,
            stage: node.displayName,
            instruction: node.from.original
        )
        metadata.arguments = Array(global.declared)
        metadata.replacedVariables = replacedVariables(node.from.original, global.environment)
        return metadata
    }

    /// What the instruction's text asks of the variables, sorted.
    private func replacedVariables(_ text: String, _ environment: EnvironmentScope) -> [String] {
        guard text.utf8.contains(UInt8(ascii: "$")) else { return [] }
        let display = WordExpander(escape: expander.escape, mode: .display)
        let used = (try? display.expansion(of: text, environment: environment))?.used ?? []
        return used.sorted().map { "\($0)=\(environment.value(of: $0) ?? "")" }
    }

    mutating func run(_ log: inout DiagnosticCollector) {
        for step in plan.node.instructions {
            do throws(LoweringFailure) {
                try evaluate(step)
                guard draft.historySize <= Self.historyLimit else {
                    throw LoweringFailure("the history of this stage is larger than \(Self.historyLimit) bytes")
                }
            } catch {
                log.report(step.relocate(error), at: step.range)
                if draft.historySize > Self.historyLimit { return }
            }
        }
        draft.write(to: &plan.config)
    }

    private mutating func evaluate(_ step: StageInstruction) throws(LoweringFailure) {
        switch step.instruction.kind {
        case .from: throw LoweringFailure("FROM inside a stage")
        case .run(let run): try evaluateRun(run, step)
        case .copy(let copy): try evaluateCopy(FileTransfer(copy), step)
        case .add(let add): try evaluateCopy(FileTransfer(add), step)
        case .workdir(let word): try evaluateWorkdir(word, step)
        case .env(let pairs): try evaluateEnv(pairs)
        case .arg(let declarations): try evaluateArg(declarations)
        case .label(let pairs): try evaluateLabel(pairs)
        case .cmd(let form): evaluateCmd(form)
        case .entrypoint(let form): evaluateEntrypoint(form)
        case .user(let word): try evaluateUser(word)
        case .expose(let words): try evaluateExpose(words)
        case .volume(let words): try evaluateVolume(words)
        case .stopsignal(let word): try evaluateStopSignal(word)
        case .shell(let arguments): evaluateShell(arguments)
        case .healthcheck(let check): evaluateHealthcheck(check)
        case .maintainer(let name): evaluateMaintainer(name)
        case .onbuild(let onbuild): plan.config.onBuild.append(onbuild.text)
        }
    }

    // MARK: - For all instructions

    func expand(_ word: Word) throws(LoweringFailure) -> String { try expander.expand(word, in: plan.environment) }

    mutating func record(_ createdBy: String, makesLayer: Bool = false) {
        draft.record(
            History(created: nil, createdBy: createdBy, comment: Self.historyComment, emptyLayer: !makesLayer)
        )
    }

    /// Adds a step that makes a layer, with its history entry. `text` is what the display shows of the instruction.
    mutating func add(_ work: PlannedStep.Work, _ text: String, _ step: StageInstruction, createdBy: String) {
        let name = namer.next(text, isTrigger: step.isTrigger, environment: plan.environment)
        add(work, named: name, step, createdBy: createdBy)
    }

    mutating func add(_ work: PlannedStep.Work, named name: String, _ step: StageInstruction, createdBy: String) {
        plan.steps.append(PlannedStep(work: work, metadata: metadata(name, step)))
        record(createdBy, makesLayer: true)
    }

    func metadata(_ name: String, _ step: StageInstruction) -> BuildVertex.Metadata {
        var metadata = BuildVertex.Metadata(
            name: name,
            lines: step.range.lines,
            stage: plan.node.displayName,
            instruction: shownText(step.instruction.original),
            ignoresCache: ignoresCache
        )
        metadata.arguments = plan.arguments.map(\.name)
        // Commands get all variables, and replace them themselves.
        if case .run = step.instruction.kind { return metadata }
        metadata.replacedVariables = replacedVariables(step.instruction.original, plan.environment)
        return metadata
    }

    /// Remembers that a step reads the path, when it is one of a context.
    mutating func note(_ path: String, in origin: TreeOrigin) {
        guard case .context(let name) = origin else { return }
        contextPaths[name, default: []].append(ContextPath.withoutDeepWildcards(path))
    }

    var workingDirectory: String {
        ContextPath.absolute(plan.config.workingDirectory)
    }

    /// The arguments that run a command of either form.
    func arguments(_ form: CommandForm) -> [String] {
        switch form {
        case .exec(let arguments): arguments
        case .shell(let text): shell + [text]
        }
    }

    var shell: [String] {
        guard let shell = plan.config.shell, !shell.isEmpty else { return ["/bin/sh", "-c"] }
        return shell
    }
}

extension ResolvedImage {
    /// The full name, with the digest when one is known.
    func displayName(for key: ImageKey) -> String {
        var shown = key.reference
        shown.digest = key.reference.digest ?? reference.digest ?? manifest?.digest
        return shown.description
    }
}
