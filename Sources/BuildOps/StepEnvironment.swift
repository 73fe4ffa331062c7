// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import BuildCache
public import BuildDefinition
public import Content
public import Executor
public import LinuxSystem
import OCI
public import Snapshots
public import Solver

/// What the steps of one build work with.
public struct StepEnvironment: Sendable {
    /// A directory that the request named.
    public struct LocalDirectory: Sendable {
        public var path: RawPath
        /// It is this build's alone, so that nothing of it is remembered.
        public var isTransient: Bool

        public init(path: RawPath, isTransient: Bool = false) {
            self.path = path
            self.isTransient = isTransient
        }
    }

    public var root: StoreRoot
    public var snapshotter: any Snapshotter
    public var executor: any ProcessExecutor
    public var events: any SolverEventSink
    public var now: @Sendable () -> EventTime
    public var fileDigests: FileDigestMemory
    public var selectionDigests: SelectionDigestMemory
    /// By the names that `LocalOp` uses.
    public var directories: [String: LocalDirectory]
    /// Finds an image's layers; asked once for each image step.
    public var images: @Sendable (ImageOp, VertexInfo) -> any ImageLayers
    /// How many commands run at once.
    public var commandSlots: Slots
    /// How remote sources are reached; nil when the build has none.
    public var remotes: RemoteAccess?
    public var secrets: any BuildSecrets
    public var agents: any SSHAgents
    public var cacheMounts: CacheMounts
    public var witness: (any StepWitness)?
    /// Steps whose trees nobody reads in this build, only the archives of their layers at most.
    public var unreadSteps: Set<VertexID> = []
    let contextCopies = ContextCopies()

    public init(
        root: StoreRoot,
        snapshotter: any Snapshotter,
        executor: any ProcessExecutor,
        events: any SolverEventSink,
        now: @escaping @Sendable () -> EventTime,
        fileDigests: FileDigestMemory,
        selectionDigests: SelectionDigestMemory,
        directories: [String: LocalDirectory],
        images: @escaping @Sendable (ImageOp, VertexInfo) -> any ImageLayers,
        commandSlots: Slots,
        secrets: any BuildSecrets = NothingProvided(),
        agents: any SSHAgents = NothingProvided()
    ) {
        self.root = root
        self.snapshotter = snapshotter
        self.executor = executor
        self.events = events
        self.now = now
        self.fileDigests = fileDigests
        self.selectionDigests = selectionDigests
        self.directories = directories
        self.images = images
        self.commandSlots = commandSlots
        self.secrets = secrets
        self.agents = agents
        cacheMounts = CacheMounts(root)
    }

    /// What an input holds, to be read.
    func source(_ input: StepValue) async throws -> any SourceTree {
        switch input.content {
        case .directory(let context):
            return ContextSource(context: context)
        case .tree(let stack):
            let layers = try await stack.snapshots()
            let snapshotter = snapshotter
            return try await blocking {
                let tree = try snapshotter.readTree(layers)
                return StageSource(tree: MergedRoot(owner: tree, root: tree.root.raw))
            }
        case .formerDirectory:
            throw BuildOpsError(.sourceMissing, "a directory of a former build was asked for")
        }
    }
}

/// No secrets, no agents.
public struct NothingProvided: BuildSecrets, SSHAgents {
    public init() {}

    public func secret(_ id: String) -> SecretValue? { nil }
    public func agent(_ id: String) -> SSHAgentAddress? { nil }
}
