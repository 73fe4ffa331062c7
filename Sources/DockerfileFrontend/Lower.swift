// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
public import DockerfileSyntax
import OCI
import Solver

/// Lowers what `request` asks of `dockerfile` into one graph of steps and the image's config.
///
/// Only what the target reaches is looked at, apart from names, which have to be names everywhere. Throws
/// `DockerfileDiagnostics` with everything that is wrong and can be found without asking for an image, before any image
/// is asked for; then `ImageResolutionError`; then `DockerfileDiagnostics` for what shows only with the images' variables
/// known.
public func lower(
    _ dockerfile: Dockerfile,
    _ request: LoweringRequest,
    resolver: any ImageResolver
) async throws -> LoweredBuild {
    var log = DiagnosticCollector(source: dockerfile.source)
    let expander = WordExpander(escape: dockerfile.directives.escapeCharacter)
    FrontendImage.check(dockerfile, request, &log)
    let global = GlobalScope(dockerfile, request, expander: expander, &log)
    var visible = request
    visible.buildArguments = global.buildArguments
    var stages = try StageGraph(dockerfile, visible, global: global, expander: expander)
    stages.explore(&log)
    try log.throwIfAny()
    var images = BaseImages()
    repeat {
        try await images.resolve(stages, with: resolver)
        try Task.checkCancellation()
    } while stages.addImageTriggers(from: images, &log)
    try log.throwIfAny()
    return try Lowering(stages, images.resolved, request).build(&log)
}

extension StageGraph {
    /// Adds the ONBUILD triggers of base images that were not looked at yet; false when there were none.
    mutating func addImageTriggers(from images: BaseImages, _ log: inout DiagnosticCollector) -> Bool {
        var found = false
        for node in reachable where !node.hasImageTriggers {
            guard case .image(let key) = node.base, let image = images.resolved[key] else { continue }
            let texts = image.config.onBuild
            guard !texts.isEmpty else { continue }
            let range = node.imageWord.range
            let triggers = log.attempt(at: range) { () throws(LoweringFailure) in
                try OnBuildTriggers.parse(texts, at: range, image: key.reference.familiar)
            }
            addTriggers(triggers ?? [], to: node.index, &log)
            found = true
        }
        return found && log.isEmpty
    }
}

/// The second half: all images are known.
private struct Lowering {
    let stages: StageGraph
    let images: [ImageKey: ResolvedImage]
    /// As it came in.
    let request: LoweringRequest

    init(_ stages: StageGraph, _ images: [ImageKey: ResolvedImage], _ request: LoweringRequest) {
        self.stages = stages
        self.images = images
        self.request = request
    }

    func build(_ log: inout DiagnosticCollector) throws -> LoweredBuild {
        var plans: [Int: StagePlan] = [:]
        var contextPaths: [String?: [String]] = [:]
        var used = stages.global.declared.intersection(request.buildArguments.keys)
        for node in stages.reachable {
            var parent: StagePlan?
            var image: ResolvedImage?
            switch node.base {
            case .scratch, .files: break
            case .stage(let index): parent = plans[index]
            case .image(let key): image = images[key]
            }
            var evaluator = StageEvaluator(node, parent: parent, image: image, in: stages)
            evaluator.run(&log)
            plans[node.index] = evaluator.plan
            contextPaths.merge(evaluator.contextPaths) { $0 + $1 }
            used.formUnion(evaluator.usedArguments)
        }
        try log.throwIfAny()
        var assembler = GraphAssembler(
            contexts: ContextSteps(request, stages.contexts, paths: contextPaths),
            images: images
        )
        for node in stages.reachable {
            if let plan = plans[node.index] { assembler.add(plan) }
        }
        guard let plan = plans[stages.target] else { preconditionFailure("the target is reachable") }
        let epoch = epoch(&assembler)
        let unused = unusedArguments(used)
        return LoweredBuild(
            graph: assembler.graph,
            result: assembler.result(of: stages.target),
            config: finished(plan.config),
            base: plan.baseImage,
            stageName: plan.node.name,
            layerVertices: assembler.layers(of: stages.target),
            context: assembler.context,
            warnings: [BuildArguments.unusedWarning(unused), epochWarning].compactMap { $0 },
            usedBuildArguments: used.sorted(),
            unusedBuildArguments: unused,
            epoch: epoch
        )
    }

    private func epoch(_ assembler: inout GraphAssembler) -> EpochSource? {
        switch stages.global.epoch {
        case nil, .timeless: nil
        case .seconds(let seconds): .seconds(seconds)
        case .context(let name): assembler.addTimeSource(of: name).map { .vertex($0) }
        case .remote(let op, let name): .vertex(assembler.add(op, named: name))
        }
    }

    private var epochWarning: BuildWarning? {
        guard case .timeless(let what)? = stages.global.epoch else { return nil }
        return BuildWarning(message: "SOURCE_DATE_EPOCH has no effect: \(what) has no time of its own")
    }

    private func finished(_ config: ImageConfig) -> ImageConfig {
        var config = config
        var labels = config.labels
        for label in stages.request.labels { labels[label.key] = label.value }
        config.labels = labels
        var platform = config.platform
        if let wanted = stages.request.platform {
            let isSame = platform.os == wanted.os && platform.architecture == wanted.architecture
            platform.os = wanted.os
            platform.architecture = wanted.architecture
            if wanted.variant != nil || !isSame { platform.variant = wanted.variant }
            if wanted.osVersion != nil || !isSame { platform.osVersion = wanted.osVersion }
        }
        // Other spellings that images have: arm64/v8, x86_64.
        if let usual = try? Platform(platform.description) {
            platform.os = usual.os
            platform.architecture = usual.architecture
            platform.variant = usual.variant
        }
        if platform != config.platform { config.platform = platform }
        return config
    }

    private func unusedArguments(_ used: Set<String>) -> [String] {
        var declared = used
        for instruction in stages.dockerfile.instructions {
            var instruction = instruction
            if case .onbuild(let onbuild) = instruction.kind {
                guard let trigger = onbuild.instruction else { continue }
                instruction = trigger
            }
            guard case .arg(let declarations) = instruction.kind else { continue }
            declared.formUnion(declarations.map(\.name.text))
        }
        return request.buildArguments.keys
            .filter { !declared.contains($0) && !BuildArguments.isPredefined($0) }
            .sorted()
    }
}
