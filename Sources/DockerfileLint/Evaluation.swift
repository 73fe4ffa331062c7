// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import OCI

/// Goes through a Dockerfile once, for a check and for an outline. Evaluates variables and nothing else.
struct Evaluation {
    let dockerfile: Dockerfile
    let request: LintRequest
    let expander: WordExpander
    let globals: GlobalArguments
    let ignored: IgnoredSources
    var log: LintLog
    private(set) var map: StageMap
    private(set) var outlines: [StageOutline]
    private(set) var unknownImages: [String] = []
    let target: Int
    private var states: [Int: StageState] = [:]
    /// Variables that stages took over from others, all together.
    private var inherited = 0
    /// Whether stages were left out because they take over more than any honest file does.
    private(set) var isIncomplete = false

    private static let mostInherited = 5_000_000

    init(_ dockerfile: Dockerfile, _ request: LintRequest, options: CheckOptions) {
        self.dockerfile = dockerfile
        self.request = request
        log = LintLog(options)
        let expander = WordExpander(escape: dockerfile.directives.escapeCharacter)
        self.expander = expander
        let automatic = Variables.automatic(request, lastStage: dockerfile.stages.last?.name)
        let globals = GlobalArguments(
            dockerfile,
            automatic: automatic,
            given: request.buildArguments,
            expander: expander
        )
        self.globals = globals
        ignored = IgnoredSources(request.ignorePatterns)
        let map = StageMap(dockerfile, globals: globals, request: request, expander: expander)
        self.map = map
        target = request.target.flatMap(map.index) ?? dockerfile.stages.count - 1
        outlines = []
        for stage in map.stages {
            var outline = StageOutline(arguments: globals.declared)
            if case .stage(let base) = stage.base { outline = outlines[base] }
            outline.used.formUnion(stage.used)
            outlines.append(outline)
        }
    }

    /// Everything, in BuildKit's order.
    mutating func run() {
        FileRules.check(dockerfile, &log)
        FromRules(expander: expander, globals: globals, request: request).check(dockerfile, &log)
        evaluateStages()
    }

    /// Only what an outline needs.
    mutating func evaluateStages() {
        addTriggers()
        let reachable = map.reachable(from: target)
        for stage in map.stages where request.coversAllStages || reachable.contains(stage.index) {
            guard !map.isReplaced(stage) else {
                states[stage.index] = StageState(nil)
                states[stage.index]?.knowsVariables = false
                continue
            }
            visit(stage)
        }
    }

    // MARK: - Bases

    private mutating func addTriggers() {
        var done: Set<Int> = []
        var pending = [target]
        while let index = pending.popLast() {
            guard done.insert(index).inserted else { continue }
            let triggers = triggers(of: map.stages[index])
            if !triggers.isEmpty { map.add(triggers: triggers, to: index) }
            if case .stage(let base) = map.stages[index].base { pending.append(base) }
            pending += map.stages[index].dependencies
        }
    }

    private func triggers(of stage: MappedStage) -> [Instruction] {
        switch stage.base {
        case .stage(let base):
            return map.stages[base].syntax.instructions.compactMap { instruction in
                if case .onbuild(let onbuild) = instruction.kind { onbuild.instruction } else { nil }
            }
        case .image(let name):
            let config = config(name, stage.platform)
            return (config?.onBuild ?? []).compactMap { try? Instruction(parsingOnBuild: $0) }
        case .scratch, .nothing: return []
        }
    }

    private func config(_ name: String, _ platform: Platform?) -> ImageConfig? {
        guard !map.namedContexts.contains(name.lowercased()), let reference = try? Reference(name) else { return nil }
        return request.config(reference.withDefaultTag, platform ?? request.platform)
    }

    private mutating func initialState(_ stage: MappedStage) -> StageState {
        for (name, lines) in stage.images {
            if let config = config(name, nil) { checkPlatform(config, of: name, request.platform, lines) }
        }
        switch stage.base {
        case .scratch: return StageState(nil)
        case .stage(let base):
            // A base that comes later or is not there is a mistake that lowering reports.
            return states[base].map(StageState.init(above:)) ?? StageState(nil)
        case .image(let name):
            let config = config(name, stage.platform)
            var state = StageState(config)
            if let config {
                checkPlatform(config, of: name, stage.platform ?? request.platform, stage.lines)
            } else {
                state.knowsVariables = false
                if !unknownImages.contains(name) { unknownImages.append(name) }
            }
            return state
        case .nothing:
            var state = StageState(nil)
            state.knowsVariables = false
            return state
        }
    }

    private mutating func checkPlatform(
        _ config: ImageConfig,
        of name: String,
        _ expected: Platform,
        _ lines: ClosedRange<Int>
    ) {
        let actual = config.platform
        guard actual.os != expected.os || actual.architecture != expected.architecture else { return }
        log.report(
            .invalidBaseImagePlatform,
            "Base image \(name) was pulled with platform \"\(actual)\", expected \"\(expected)\" for current build",
            at: lines
        )
    }

    // MARK: - Instructions

    private mutating func visit(_ stage: MappedStage) {
        let state = initialState(stage)
        inherited += state.variables.names.count + outlines[stage.index].arguments.count
        guard inherited <= Self.mostInherited else {
            isIncomplete = true
            return
        }
        // Taken out while the visit has them, so that nothing is copied at each change.
        var log = LintLog(CheckOptions())
        var outline = StageOutline()
        swap(&log, &self.log)
        swap(&outline, &outlines[stage.index])
        var visit = StageVisit(stage, self, state: state, outline: outline, log: log)
        log = LintLog(CheckOptions())
        outline = StageOutline()
        for step in stage.steps { visit.run(step) }
        states[stage.index] = visit.state
        outlines[stage.index] = visit.outline
        self.log = visit.log
    }
}
