// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import OCI
import Solver

/// Wires the steps of evaluated stages into one graph.
struct GraphAssembler {
    private(set) var graph = BuildGraph()
    private(set) var context: VertexID?
    /// The last step of each stage; no entry for a stage without any.
    private var results: [Int: VertexID] = [:]
    /// The steps that make a stage's layers above its base image.
    private var layers: [Int: [VertexID]] = [:]
    private let local: LocalOp
    private let images: [ImageKey: ResolvedImage]

    init(local: LocalOp, images: [ImageKey: ResolvedImage]) {
        self.local = local
        self.images = images
    }

    func result(of stage: Int) -> VertexID? { results[stage] }
    func layers(of stage: Int) -> [VertexID] { layers[stage] ?? [] }

    /// Adds a stage whose base and sources were added before.
    mutating func add(_ plan: StagePlan) {
        var tip: VertexID?
        var made: [VertexID] = []
        switch plan.node.base {
        case .scratch: break
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
        var inputs = base.map { [$0] } ?? []
        switch step.work {
        case .exec(var op):
            op.emptyRoot = base == nil
            return graph.add(.exec(op), inputs: inputs, metadata: step.metadata)
        case .files(let planned):
            var sources: [VertexID: Int] = [:]
            var actions: [FileAction] = []
            for action in planned {
                switch action {
                case .makeDirectory(let make): actions.append(.makeDirectory(make))
                case .copy(var copy, let source):
                    let id = input(for: source)
                    if let known = sources[id] {
                        copy.input = known
                    } else {
                        copy.input = inputs.count
                        sources[id] = inputs.count
                        inputs.append(id)
                    }
                    actions.append(.copy(copy))
                }
            }
            let op = FileOp(actions: actions, hasBase: base != nil)
            return graph.add(.file(op), inputs: inputs, metadata: step.metadata)
        }
    }

    private mutating func input(for source: PlannedSource) -> VertexID {
        switch source {
        case .inline(let file):
            return graph.add(
                .file(FileOp(actions: [.makeFile(file)], hasBase: false)),
                metadata: .init(name: "[internal] preparing inline document")
            )
        case .origin(.context):
            let id = graph.add(.local(local), metadata: .init(name: "[internal] load build context"))
            context = id
            return id
        case .origin(.stage(let index)): return results[index] ?? emptyTree()
        case .origin(.image(let key)):
            let name = images[key].map { $0.displayName(for: key) } ?? key.reference.description
            return addImage(key, .init(name: "FROM " + name)) ?? emptyTree()
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
