// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import BuildDefinition
import LinuxSystem
import OCI
import Snapshots
public import Solver

/// A vertex of the build graph as a step that the solver can do.
public final class BuildStep: SolverOp {
    public let vertex: BuildVertex
    let environment: StepEnvironment
    private let source: Source
    /// What is read is hashed once, for the look-up and for the result's identity.
    private let content = OnceTask<CacheKey>()

    private enum Source: Sendable {
        case none
        case image(any ImageLayers)
        case context(ContextScan)
        case remote(any RemoteTree)
        /// A remote source in a build that reaches nothing.
        case unreachable
    }

    public init(_ vertex: BuildVertex, _ environment: StepEnvironment) {
        self.vertex = vertex
        self.environment = environment
        source =
            switch vertex.op {
            case .image(let op): .image(environment.images(op, vertex.info))
            case .local(let op): .context(ContextScan(op, vertex.info, environment))
            case .git(let op):
                Self.remote(vertex, environment) { GitSource(op, vertex, environment, $0) }
            case .http(let op):
                Self.remote(vertex, environment) { HTTPSource(op, vertex, environment, $0) }
            case .exec, .file, .merge: .none
            }
    }

    private static func remote(
        _ vertex: BuildVertex,
        _ environment: StepEnvironment,
        _ make: (RemoteAccess) -> any RemoteTree
    ) -> Source {
        guard let access = environment.remotes else { return .unreachable }
        return .remote(access.trees.tree(vertex) { make(access) })
    }

    public var info: VertexInfo { vertex.info }
    public var ignoresCache: Bool { vertex.metadata.ignoresCache }

    public var isSource: Bool {
        switch source {
        case .none: false
        case .image, .context, .remote, .unreachable: true
        }
    }

    public func definitionKey(inputs: [CacheKey]) async throws -> CacheKey {
        switch source {
        case .image:
            return key("image", inputs: [])
        case .context(let scan):
            return CacheKey(Digest.sha256("context \(try await scan.tree().digest)"))
        case .remote(let tree):
            return try await tree.key()
        case .unreachable:
            throw unreachable
        case .none:
            return key("step", inputs: inputs)
        }
    }

    private func key(_ kind: StaticString, inputs: [CacheKey], content: Digest? = nil) -> CacheKey {
        var encoder = CanonicalEncoder()
        encoder.append(kind, bytes: vertex.op.cacheBytes)
        encoder.append("inputs", inputs.map(\.description))
        encoder.append("content", content?.description)
        return CacheKey(Digest.sha256(encoder.bytes))
    }

    public func contentKey(inputs: [StepValue]) async throws -> CacheKey? {
        if case .exec(let op) = vertex.op {
            let step = ExecStep(op, vertex.info, environment)
            guard let digest = try await step.contentDigest(inputs) else { return nil }
            return key("content", inputs: op.emptyRoot ? [] : [inputs[0].identity], content: digest)
        }
        guard case .file(let op) = vertex.op else { return nil }
        return try await content.value {
            let digest = try await FileStep(op, self.environment).contentDigest(inputs)
            return self.key("content", inputs: op.hasBase ? [inputs[0].identity] : [], content: digest)
        }
    }

    public func prepare(inputs: [StepValue]) async throws {
        for input in inputs { _ = try await input.layers() }
    }

    public func execute(inputs: [StepValue]) async throws -> StepValue {
        switch vertex.op {
        case .image:
            guard case .image(let layers) = source else { preconditionFailure("an image step has an image") }
            let identity = try await definitionKey(inputs: [])
            return StepValue(identity: identity, content: .tree(LayerStack(image: layers)))
        case .local:
            guard case .context(let scan) = source else { preconditionFailure("a local step has a context") }
            let tree = try await scan.tree()
            return StepValue(identity: try await definitionKey(inputs: []), content: .directory(tree))
        case .file(let op):
            // Equal content on an equal base is an equal result, whichever way it came about.
            let identity = try await contentKey(inputs: inputs)
            let result = try await FileStep(op, environment).run(inputs)
            let unique = CacheKey(Digest.sha256("changed while copied \(UInt64.random(in: 0 ... .max))"))
            return StepValue(
                identity: result.sourceChanged ? unique : identity ?? unique,
                content: .tree(LayerStack(result.layers)),
                isReusable: !result.sourceChanged
            )
        case .merge:
            var layers: [SnapshotID] = []
            for input in inputs { layers += try await input.layers() }
            let identity = key("merge", inputs: inputs.map(\.identity))
            return StepValue(identity: identity, content: .tree(LayerStack(layers)))
        case .git, .http:
            guard case .remote(let tree) = source else { throw unreachable }
            return try await tree.value()
        case .exec(let op):
            let result = try await ExecStep(op, vertex.info, environment).run(inputs)
            // What a command makes may differ each time, so each time has an identity of its own.
            let identity = CacheKey(Digest.sha256("run \(UInt64.random(in: 0 ... .max)) \(result.layers)"))
            return StepValue(
                identity: identity,
                content: .tree(LayerStack(result.layers)),
                isReusable: !result.sourceChanged
            )
        }
    }

    private var unreachable: BuildOpsError {
        BuildOpsError(.invalidRequest, "\(vertex.metadata.name): this build may reach no other machine")
    }

    /// When what a remote source brings was made, in seconds since 1970: of a commit its own time, of a file what the
    /// server said. Nil when nothing tells, and for other steps.
    public func modificationTime() async throws -> Int64? {
        guard case .remote(let tree) = source else { return nil }
        return try await tree.time()
    }

    public func announceUnused() {
        switch source {
        case .image(let layers): layers.announceUnused()
        case .remote(let tree): tree.announceUnused()
        case .none, .context, .unreachable: break
        }
    }
}

/// The scan of a local directory, made once.
final class ContextScan: Sendable {
    let op: LocalOp
    let environment: StepEnvironment
    private let info: VertexInfo
    private let memo = OnceTask<ContextTree>()

    init(_ op: LocalOp, _ info: VertexInfo, _ environment: StepEnvironment) {
        self.op = op
        self.info = info
        self.environment = environment
    }

    func tree() async throws -> ContextTree { try await memo.value { try await self.scan() } }

    private func scan() async throws -> ContextTree {
        environment.events.send(.started(info, at: environment.now()))
        do {
            let tree = try await cancellableBlocking { try self.scanBlocking($0) }
            environment.events.send(.completed(info.id, .succeeded, at: environment.now()))
            return tree
        } catch {
            let outcome: VertexOutcome = error is CancellationError ? .cancelled : .failed(message: "\(error)")
            environment.events.send(.completed(info.id, outcome, at: environment.now()))
            throw error
        }
    }
}

/// The result of one task, made when first asked for and shared by all who ask.
public actor OnceTask<Value: Sendable> {
    private var task: Task<Value, any Error>?

    public init() {}

    /// When the asking task is cancelled, so is the work: whoever shares it belongs to the same build.
    public func value(_ make: @escaping @Sendable () async throws -> Value) async throws -> Value {
        let task = self.task ?? Task { try await make() }
        self.task = task
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }
}
