// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildDefinition
import BuildOps
import Content
import LinuxSystem
import OCI
import Snapshots
import Solver
import Synchronization

/// What a second build works with instead of the store's memories, and all that it leaves behind, to be removed.
final class Repetition: Sendable {
    private let store: Store
    private let directory: RawPath
    private let database: MetadataDatabase
    private let snapshotter: RecordingSnapshotter

    init(_ store: Store) throws {
        self.store = store
        directory = try store.root.makeTemporaryDirectory("again")
        database = try MetadataDatabase(
            path: directory.appending("galley.db").description,
            schemas: [BuildCacheSchema.schema]
        )
        snapshotter = RecordingSnapshotter(store.snapshots)
    }

    /// - Parameter environment: as for any other build.
    func environment(
        _ environment: StepEnvironment,
        _ events: StepEvents,
        images: @escaping @Sendable (ImageOp, VertexInfo) -> any ImageLayers
    ) -> StepEnvironment {
        var environment = environment
        environment.events = events.sink
        environment.images = images
        // Only the first build is one that a later one is compared with.
        environment.witness = nil
        environment.snapshotter = snapshotter
        environment.fileDigests = FileDigestMemory(database)
        environment.selectionDigests = SelectionDigestMemory(database)
        environment.cacheMounts = CacheMounts(store.root, directory: directory.appending("cache-mounts"))
        return environment
    }

    /// Removes everything. Blocks.
    func discard() throws {
        _ = try store.snapshots.remove(snapshotter.published, unusedSince: .max)
        try removeTree(directory)
    }
}

/// Remembers which layers were published through it.
private final class RecordingSnapshotter: Snapshotter {
    private let next: OverlaySnapshotter
    private let ids = Mutex<[SnapshotID]>([])

    init(_ next: OverlaySnapshotter) { self.next = next }

    var published: [SnapshotID] { ids.withLock { $0 } }

    func publish(_ pending: PendingSnapshot) throws -> SnapshotID { note(try next.publish(pending)) }

    func publish(_ pending: PendingSnapshot, packed: PackedLayer) throws -> SnapshotID {
        note(try next.publish(pending, packed: packed))
    }

    private func note(_ id: SnapshotID) -> SnapshotID {
        ids.withLock { $0.append(id) }
        return id
    }

    func begin() throws -> PendingSnapshot { try next.begin() }
    func readTree(_ layers: [SnapshotID]) throws -> MergedTree { try next.readTree(layers) }

    func writableTree(_ layers: [SnapshotID], changes: PendingSnapshot, stubs: RawPath?) throws -> MergedTree {
        try next.writableTree(layers, changes: changes, stubs: stubs)
    }

    func copyRootMetadata(from layers: [SnapshotID], to pending: PendingSnapshot) throws {
        try next.copyRootMetadata(from: layers, to: pending)
    }

    func haveEqualContent(
        _ a: SnapshotID,
        _ b: SnapshotID,
        checkCancellation: @escaping () throws -> Void
    ) throws -> Bool {
        try next.haveEqualContent(a, b, checkCancellation: checkCancellation)
    }

    func setOrigin(_ id: SnapshotID, operation: String, read: String) throws {
        try next.setOrigin(id, operation: operation, read: read)
    }

    func use(_ layers: [SnapshotID]) throws -> Bool { try next.use(layers) }
    func contains(_ layers: [SnapshotID]) throws -> Bool { try next.contains(layers) }
    func layerDirectory(_ id: SnapshotID) throws -> SharedFD { try next.layerDirectory(id) }
}

/// Finds nothing and remembers nothing.
struct NoRecords: CacheIndex {
    func lookup(_ key: CacheKey) -> StepValue? { nil }
    func record(_ value: StepValue, of step: RecordedStep, inputs: [StepValue], key: CacheKey) {}
    func formerResults(of operation: CacheKey) -> [FormerResult<StepValue>] { [] }
    func result(_ former: FormerResult<StepValue>) -> StepValue? { nil }

    func withClaim<R: Sendable>(
        _ key: CacheKey,
        waiting: @Sendable () async -> Void,
        _ body: @Sendable () async throws -> R
    ) async throws -> R {
        try await body()
    }
}

/// Shows steps as steps of their own beside those of the first build.
struct RepeatedEvents: SolverEventSink {
    private let next: any SolverEventSink

    init(_ next: any SolverEventSink) { self.next = next }

    func send(_ event: SolverEvent) {
        switch event {
        case .started(let info, let at): next.send(.started(renamed(info), at: at))
        case .cached(let info, let at): next.send(.cached(renamed(info), at: at))
        case .completed(let id, let outcome, let at): next.send(.completed(renamed(id), outcome, at: at))
        case .rebased(let id): next.send(.rebased(renamed(id)))
        case .log(let id, let stream, let bytes, let at): next.send(.log(renamed(id), stream, bytes, at: at))
        case .transfer(let id, let progress): next.send(.transfer(renamed(id), progress))
        case .warning(let id, let warning): next.send(.warning(id.map(renamed), warning))
        case .reason(let id, let reason): next.send(.reason(renamed(id), reason))
        }
    }

    private func renamed(_ id: VertexID) -> VertexID { VertexID(Digest.sha256("again \(id)")) }

    private func renamed(_ info: VertexInfo) -> VertexInfo {
        VertexInfo(id: renamed(info.id), name: "[again] \(info.name)", inputs: info.inputs.map(renamed))
    }
}
