// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import OCI
import Solver

/// Wires the steps of evaluated stages into one graph.
struct GraphAssembler {
    private(set) var graph = BuildGraph()
    private var contextSteps: [String?: VertexID] = [:]
    /// The last step of each stage; no entry for a stage without any.
    private var results: [Int: VertexID] = [:]
    /// The steps that make a stage's layers above its base image.
    private var layers: [Int: [VertexID]] = [:]
    private let contexts: ContextSteps
    private let images: [ImageKey: ResolvedImage]

    init(contexts: ContextSteps, images: [ImageKey: ResolvedImage]) {
        self.contexts = contexts
        self.images = images
    }

    /// Adds a step of its own.
    mutating func add(_ op: BuildOp, named name: String) -> VertexID { graph.add(op, metadata: .init(name: name)) }

    /// What a context's time is asked of.
    mutating func addTimeSource(of context: String?) -> VertexID? { contexts.addTimeSource(context, to: &graph) }

    /// What stands for a context.
    mutating func addContext(_ name: String?) -> VertexID {
        if let known = contextSteps[name] { return known }
        let id = contexts.add(name, to: &graph) ?? emptyTree()
        contextSteps[name] = id
        return id
    }

    /// What stands for the build context, nil when no step reads it.
    var context: VertexID? { contextSteps[nil] ?? nil }

    func result(of stage: Int) -> VertexID? { results[stage] }
    func layers(of stage: Int) -> [VertexID] { layers[stage] ?? [] }

    /// Adds a stage whose base and sources were added before.
    mutating func add(_ plan: StagePlan) {
        var tip: VertexID?
        var made: [VertexID] = []
        switch plan.node.base {
        // The files of a context are the first of the plan's steps.
        case .scratch, .files: break
        case .stage(let parent):
            tip = results[parent]
            made = layers[parent] ?? []
        case .image(let key):
            if let metadata = plan.baseMetadata { tip = addImage(key, metadata) }
        }
        for step in plan.steps {
            let id = add(step, on: tip)
            made.append(id)
            tip = id
        }
        results[plan.node.index] = tip
        layers[plan.node.index] = made
    }

    private mutating func add(_ step: PlannedStep, on base: VertexID?) -> VertexID {
        switch step.work {
        case .exec(let op, let mounts): return add(op, mounts, step.metadata, on: base)
        case .files(let planned): return add(planned, step.metadata, on: base)
        case .linkedFiles(let planned, let linking):
            let layer = add(planned, step.metadata, on: nil)
            guard let base else { return layer }
            return graph.add(.merge(MergeOp()), inputs: [base, layer], metadata: linking)
        }
    }

    /// The inputs of a step, each once.
    private struct Inputs {
        var list: [VertexID]
        private var places: [VertexID: Int] = [:]

        init(base: VertexID?) { list = base.map { [$0] } ?? [] }

        mutating func number(_ id: VertexID) -> Int {
            if let known = places[id] { return known }
            places[id] = list.count
            list.append(id)
            return list.count - 1
        }
    }

    private mutating func add(
        _ op: ExecOp,
        _ mounts: [PlannedMount],
        _ metadata: BuildVertex.Metadata,
        on base: VertexID?
    ) -> VertexID {
        var op = op
        op.emptyRoot = base == nil
        var inputs = Inputs(base: base)
        op.mounts = mounts.map { planned in
            var mount = planned.mount
            guard let source = planned.source else { return mount }
            let input = inputs.number(self.input(for: source))
            switch mount.source {
            case .bind(_, let path): mount.source = .bind(input: input, path: path)
            case .cache(var cache):
                cache.seed?.input = input
                mount.source = .cache(cache)
            case .tmpfs, .secret, .ssh: break
            }
            return mount
        }
        return graph.add(.exec(op), inputs: inputs.list, metadata: metadata)
    }

    private mutating func add(
        _ planned: [PlannedAction],
        _ metadata: BuildVertex.Metadata,
        on base: VertexID?
    ) -> VertexID {
        var inputs = Inputs(base: base)
        let actions = planned.map { action -> FileAction in
            switch action {
            case .makeDirectory(let make): return .makeDirectory(make)
            case .copy(var copy, let source):
                copy.input = inputs.number(input(for: source))
                return .copy(copy)
            }
        }
        return graph.add(
            .file(FileOp(actions: actions, hasBase: base != nil)),
            inputs: inputs.list,
            metadata: metadata
        )
    }

    private mutating func input(for source: PlannedSource) -> VertexID {
        switch source {
        case .inline(let file):
            return graph.add(
                .file(FileOp(actions: [.makeFile(file)], hasBase: false)),
                metadata: .init(name: "[internal] preparing inline document")
            )
        case .remote(let op, let metadata): return graph.add(op, metadata: metadata)
        case .origin(.context(let name)): return addContext(name)
        case .origin(.stage(let index)): return results[index] ?? emptyTree()
        case .origin(.image(let key, let context)):
            let name =
                context.map { contexts.contexts.imageName($0) }
                ?? "FROM " + (images[key].map { $0.displayName(for: key) } ?? key.reference.description)
            return addImage(key, .init(name: name)) ?? emptyTree()
        case .origin(.empty): return emptyTree()
        }
    }

    /// Nil for an image without layers.
    private mutating func addImage(_ key: ImageKey, _ metadata: BuildVertex.Metadata) -> VertexID? {
        guard let image = images[key], !image.config.diffIDs.isEmpty else { return nil }
        let op = ImageOp(
            reference: key.reference,
            manifest: image.manifest,
            config: image.configDigest,
            platform: key.platform,
            diffIDs: image.config.diffIDs,
            layout: key.layout
        )
        return graph.add(.image(op), metadata: metadata)
    }

    /// What is copied from when the source has no files at all.
    private mutating func emptyTree() -> VertexID {
        graph.add(.file(FileOp(actions: [], hasBase: false)), metadata: .init(name: "[internal] empty file system"))
    }
}
