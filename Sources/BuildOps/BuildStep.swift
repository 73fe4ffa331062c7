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
    private let ownDigests = StepReuse.OwnDigests()

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

    public var operation: CacheKey { key("operation", inputs: []) }

    public func definitionKey(inputs: [CacheKey]) async throws -> CacheKey {
        switch source {
        case .image:
            return key("image", inputs: [])
        case .context(let scan):
            return try await scan.tree().key
        case .remote(let tree):
            return try await tree.key()
        case .unreachable:
            throw unreachable
        case .none:
            return key("step", inputs: inputs)
        }
    }

    private func key(_ kind: StaticString, inputs: [CacheKey]) -> CacheKey {
        var encoder = CanonicalEncoder()
        encoder.append(kind, bytes: vertex.op.cacheBytes)
        encoder.append("inputs", inputs.map(\.description))
        return CacheKey(Digest.sha256(encoder.bytes))
    }

    public func reuse(of former: [StepValue], for inputs: [StepValue]) async throws -> Reuse {
        do {
            return try await StepReuse(vertex, environment, ownDigests).reuse(of: former, for: inputs)
        } catch {
            if error is CancellationError || Task.isCancelled { throw CancellationError() }
            // What cannot be compared serves for nothing. If these inputs are at fault, running the step will tell.
            guard error is BuildOpsError || error is SnapshotError || error is SystemError else { throw error }
            return .none
        }
    }

    public func rebase(_ value: StepValue, onto inputs: [StepValue]) async throws -> StepValue {
        if case .merge = vertex.op { return try await merged(inputs) }
        let base = try await inputs[0].stack.resolved()
        return StepValue(base + LayerStack((try await value.layers()).suffix(1)))
    }

    private func merged(_ inputs: [StepValue]) async throws -> StepValue {
        var stack = LayerStack([])
        for input in inputs { stack = stack + (try await input.stack.resolved()) }
        return StepValue(stack)
    }

    public func prepare(inputs: [StepValue]) async throws {
        environment.witness?.willRun(vertex.id, on: inputs.map(\.name))
        for input in inputs { _ = try await input.layers() }
    }

    public func execute(inputs: [StepValue]) async throws -> StepValue {
        switch vertex.op {
        case .image:
            guard case .image(let layers) = source else { preconditionFailure("an image step has an image") }
            return StepValue(LayerStack(source: key("image", inputs: []), image: layers))
        case .local:
            guard case .context(let scan) = source else { preconditionFailure("a local step has a context") }
            return StepValue(.directory(try await scan.tree()))
        case .git, .http:
            guard case .remote(let tree) = source else { throw unreachable }
            return try await tree.value()
        case .merge:
            return try await merged(inputs)
        case .file(let op):
            let step = FileStep(op, environment, isUnread: environment.unreadSteps.contains(vertex.id))
            let result = try await step.run(inputs)
            let value = try await value(op.hasBase, inputs, result.layers, isReusable: !result.sourceChanged)
            try await note(op.showsAllItReads ? result.layers.last : nil, inputs) {
                try await step.contentDigest(inputs)
            }
            return value
        case .exec(let op):
            let step = ExecStep(op, vertex.info, environment)
            let result = try await step.run(inputs)
            let value = try await value(!op.emptyRoot, inputs, result.layers, isReusable: !result.sourceChanged)
            try await note(nil, inputs) { try await step.contentDigest(inputs) }
            return value
        }
    }

    private func value(
        _ hasBase: Bool,
        _ inputs: [StepValue],
        _ layers: [SnapshotID],
        isReusable: Bool
    ) async throws -> StepValue {
        let base = hasBase ? try await inputs[0].stack.resolved() : LayerStack([])
        return StepValue(base + LayerStack(layers.suffix(1)), isReusable: isReusable)
    }

    /// A directory of the user's will be another one the next time, so what was read of it is remembered now. Of stages
    /// and images it can be told whenever it is asked for.
    private func note(
        _ layer: SnapshotID?,
        _ inputs: [StepValue],
        _ digest: () async throws -> Digest?
    ) async throws {
        let isDirectory = inputs.map { if case .directory = $0.content { true } else { false } }
        guard isDirectory.contains(true), let read = try await digest() else { return }
        guard let layer, isDirectory.dropFirst().allSatisfy(\.self) else { return }
        let (snapshotter, name) = (environment.snapshotter, operation.digest.hex)
        try await blocking { try snapshotter.setOrigin(layer, operation: name, read: read.hex) }
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
            environment.witness?.scanned(info.id, tree)
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
