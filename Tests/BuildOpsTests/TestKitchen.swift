// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildDefinition
import Content
import DockerfileSyntax
import Executor
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots
import Solver
import Synchronization

@testable import BuildOps

/// A store in a scratch directory, and file steps over it.
final class TestKitchen: SolverEventSink {
    private struct NoExecutor: ProcessExecutor {
        func run(_ spec: ProcessSpec, root: RootTree, io: ProcessIO, scratch: RawPath) async throws -> ProcessExit {
            throw BuildOpsError(.invalidRequest, "nothing runs in these tests")
        }
    }

    let scratch: ScratchDirectory
    let database: MetadataDatabase
    let snapshots: OverlaySnapshotter
    let root: StoreRoot
    private let serial = Mutex(0)

    init() throws {
        scratch = try ScratchDirectory()
        root = try StoreRoot(scratch.file("store"))
        database = try MetadataDatabase(
            path: scratch.file("store/galley.db").description,
            schemas: [OverlaySnapshotter.schema, BuildCacheSchema.schema, MeasuredSizes.schema]
        )
        snapshots = OverlaySnapshotter(root, database)
    }

    func send(_ event: SolverEvent) {}

    func environment(_ context: RawPath = "/nonexistent", named name: String = "context") -> StepEnvironment {
        StepEnvironment(
            root: root,
            snapshotter: snapshots,
            executor: NoExecutor(),
            events: self,
            now: { EventTime(nanoseconds: 0) },
            fileDigests: FileDigestMemory(database),
            selectionDigests: SelectionDigestMemory(database),
            directories: [name: .init(path: context)],
            images: { _, _ in preconditionFailure("no images here") },
            commandSlots: Slots(1)
        )
    }

    private func number() -> Int {
        serial.withLock { value in
            value += 1
            return value
        }
    }

    /// A layer that a script fills.
    func layer(_ script: String) throws -> SnapshotID {
        let pending = try snapshots.begin()
        try scratch.shell("umask 022; cd '\(pending.directoryPath)'\n\(script)")
        return try snapshots.publish(pending)
    }

    func stage(_ script: String) throws -> StepValue {
        StepValue(LayerStack([try layer(script)]))
    }

    /// A directory that a script fills.
    func directory(_ script: String) throws -> RawPath {
        let path = scratch.file("context-\(number())")
        try makeDirectory(path)
        try scratch.shell("umask 022; cd '\(path)'\n\(script)")
        return path
    }

    func scan(
        _ path: RawPath,
        named name: String = "context",
        ignore: [String] = [],
        follow: [String] = []
    ) throws -> ContextTree {
        let op = LocalOp(name: name, followPaths: follow, excludePatterns: ignore)
        let info = VertexInfo(id: VertexID(.sha256("context")), name: "context")
        return try ContextScan(op, info, environment(path, named: name)).scanBlocking(CancellationFlag())
    }

    func context(_ script: String, ignore: [String] = [], follow: [String] = []) throws -> StepValue {
        value(try scan(try directory(script), ignore: ignore, follow: follow))
    }

    func value(_ tree: ContextTree) -> StepValue {
        StepValue(.directory(tree))
    }

    /// The layers of `base`, and what the actions made; their input 1 is `source`.
    func run(_ actions: [FileAction], base: StepValue, source: StepValue) async throws -> FileStep.Result {
        try await FileStep(FileOp(actions: actions, hasBase: true), environment()).run([base, source])
    }

    /// The layers that the actions make of nothing; their input 0 is `source`.
    func runWithoutBase(_ actions: [FileAction], source: StepValue) async throws -> FileStep.Result {
        let actions = actions.map { action in
            guard case .copy(var copy) = action else { return action }
            copy.input = 0
            return .copy(copy)
        }
        return try await FileStep(FileOp(actions: actions, hasBase: false), environment()).run([source])
    }

    /// The digest of what a copy reads, as the content key has it.
    func contentDigest(_ action: FileAction, of source: StepValue) async throws -> Digest? {
        let op = FileOp(actions: [action], hasBase: true)
        return try await FileStep(op, environment()).contentDigest([source, source])
    }

    func list(_ layers: [SnapshotID], _ facts: ListedFacts = []) throws -> [String] {
        try listTree(snapshots.readTree(layers).root, facts)
    }

    /// What the last of the layers holds by itself.
    func listLast(_ layers: [SnapshotID], _ facts: ListedFacts = []) throws -> [String] {
        try listTree(snapshots.layerDirectory(layers[layers.count - 1]), facts)
    }
}

/// The reading end of a pipe whose writer has ended.
func filledPipe(_ bytes: some Collection<UInt8>) throws -> SharedFD {
    let (read, write) = try makePipe()
    try writeBytes(write.raw, bytes)
    return read
}

func copying(
    _ source: String,
    _ destination: String,
    owner: String? = nil,
    permissions: UInt32? = nil,
    mode: String? = nil,
    unpacks: Bool = false,
    isDirectory: Bool = false,
    parents: String? = nil,
    excluding: [String] = []
) -> FileAction {
    .copy(
        FileCopy(
            input: 1,
            source: source,
            destination: destination,
            owner: owner.map { FileOwner($0) },
            permissions: permissions.map(FilePermissions.exact) ?? mode.flatMap { FilePermissions(parsing: $0) },
            unpacksArchives: unpacks,
            destinationIsDirectory: isDirectory,
            parentsPivot: parents,
            excludePatterns: excluding
        )
    )
}
