// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import BuildOps
import Content
import DockerfileFrontend
import LinuxSystem
public import OCI
import Registry
import Snapshots
public import Solver

/// An image whose config is here; its layers are too, or are fetched when somebody asks.
final class StoredImage: ImageLayers {
    private let configDigest: Digest
    private let config: ImageConfig
    private let manifest: Descriptor?
    private let reference: Reference
    /// Where the layers are; nil for a registry.
    private let layout: ImageLayout?
    private let puller: ImagePuller
    /// The step that stands for the image; nil when a build is not what wants it.
    private let info: VertexInfo?
    private let memo = OnceTask<[SnapshotID]>()
    private let announced = Monitor(false)
    private let found = Monitor<[SnapshotID]?>(nil)

    init(
        _ configDigest: Digest,
        _ config: ImageConfig,
        manifest: Descriptor?,
        reference: Reference,
        layout: ImageLayout? = nil,
        puller: ImagePuller,
        info: VertexInfo?
    ) {
        self.configDigest = configDigest
        self.config = config
        self.manifest = manifest
        self.reference = reference
        self.layout = layout
        self.puller = puller
        self.info = info
    }

    /// The image of a step: its config is in the store since it was resolved.
    convenience init(_ op: ImageOp, store: Store, puller: ImagePuller, info: VertexInfo) {
        var config = ImageConfig(platform: op.platform)
        config.diffIDs = op.diffIDs
        self.init(
            op.config,
            config,
            manifest: op.manifest,
            reference: op.reference,
            layout: op.layout.map { ImageLayout(path: $0) },
            puller: puller,
            info: info
        )
    }

    func snapshots() async throws -> [SnapshotID] {
        let layers = try await memo.value { try await self.find() }
        found.withLock { $0 = layers }
        return layers
    }

    var fetched: [SnapshotID]? { found.withLock { $0 } }

    func announceUnused() {
        guard let info else { return }
        let isFirst = announced.withLock { announced in
            defer { announced = true }
            return !announced
        }
        if isFirst { puller.events.sink.send(.cached(info, at: StepEvents.now())) }
    }

    private func find() async throws -> [SnapshotID] {
        let diffIDs = config.diffIDs
        let store = puller.store
        let present = try await blocking { () -> [SnapshotID]? in
            let found = try store.snapshots.snapshots(for: diffIDs).compactMap { $0 }
            return try found.count == diffIDs.count && store.snapshots.use(found) ? found : nil
        }
        if let present {
            announceUnused()
            return present
        }
        announced.withLock { $0 = true }
        guard let manifest else {
            throw BuilderError(
                .notFound,
                "layers of \(reference.familiar) are gone from the store",
                nextStep: "build the image again"
            )
        }
        let info =
            info
            ?? VertexInfo(
                id: VertexID(Digest.sha256("pull \(reference)")),
                name: "pulling from \(reference.familiarName)"
            )
        return try await puller.events.step(info) { vertex in
            try await puller.pull(reference, manifest, config, from: layout, vertex)
        }
    }
}

/// Fetches layers and unpacks them while they arrive.
struct ImagePuller: Sendable {
    let store: Store
    let client: RegistryClient
    let events: StepEvents

    /// The image's layers, bottom first; those that are here already are not fetched.
    func pull(
        _ reference: Reference,
        _ descriptor: Descriptor,
        _ config: ImageConfig,
        from layout: ImageLayout?,
        _ vertex: VertexID
    ) async throws -> [SnapshotID] {
        let manifest = try await manifest(reference, descriptor, layout)
        let diffIDs = config.diffIDs
        guard manifest.layers.count == diffIDs.count else {
            throw OCIError(
                .invalidDocument,
                "\(reference.familiar): the manifest has \(manifest.layers.count) layers, the config names \(diffIDs.count)"
            )
        }
        do {
            return try await importLayers(reference, manifest, diffIDs, layout, vertex)
        } catch let error as CancellationError {
            throw error
        } catch {
            let cause = userFacing(error, root: store.root.path.description)
            throw BuilderError(
                .unavailable,
                "cannot pull \(reference.familiar): \(cause.description)",
                nextStep: cause.nextStep
            )
        }
    }

    private func importLayers(
        _ reference: Reference,
        _ manifest: Manifest,
        _ diffIDs: [DiffID],
        _ layout: ImageLayout?,
        _ vertex: VertexID
    ) async throws -> [SnapshotID] {
        let repository = client.repository(reference)
        let (store, events) = (store, events)
        return try await LayerImporter(store.snapshots).importLayers(diffIDs) { index, input in
            let layer = manifest.layers[index]
            guard layer.mediaType.layerCompression != nil else {
                throw OCIError(
                    .unsupported,
                    "\(reference.familiar): layer \(layer.digest) has the unknown type \(layer.mediaType)"
                )
            }
            let progress = events.transfer(vertex, layer.digest.description, total: layer.size)
            defer { progress.complete(at: StepEvents.now()) }
            if try await store.content.containsBlob(layer) {
                try await store.content.readBlob(layer) { try await input.write($0) }
            } else if let layout {
                try await fetch(layer, from: layout, into: input)
            } else {
                let source = repository.reportingProgress { progress.set($0) }
                try await fetch(layer, from: source, into: input)
            }
            progress.set(layer.size)
            try await blocking { try store.images.addLayerBlob(diffIDs[index], layer) }
        }
    }

    /// Stores a layer's blob and unpacks it on the way.
    ///
    /// Bytes that are not the announced ones rarely unpack; the blob is read to its end nevertheless, so that a wrong
    /// digest is reported as that.
    private func fetch(_ layer: Descriptor, from source: some BlobSource, into input: LayerInput) async throws {
        let failure = Monitor<(any Error)?>(nil)
        _ = try await store.content.writeBlob(mediaType: layer.mediaType, expected: layer) { writer in
            try await source.readBlob(layer) { bytes in
                try await writer.write(bytes)
                guard failure.withLock({ $0 == nil }) else { return }
                do {
                    try await input.write(bytes)
                } catch {
                    try Task.checkCancellation()
                    failure.withLock { $0 = error }
                }
            }
        }
        if let error = failure.withLock({ $0 }) { throw error }
    }

    private func manifest(
        _ reference: Reference,
        _ descriptor: Descriptor,
        _ layout: ImageLayout?
    ) async throws -> Manifest {
        let store = store
        if let bytes = try await blocking({ try store.content.load(descriptor.digest) }) {
            return try Manifest(parsing: bytes)
        }
        let bytes: [UInt8]
        if let layout {
            bytes = try await blocking { try layout.document(descriptor) }
        } else {
            bytes = try await client.readManifest(reference, descriptor)
        }
        _ = try await blocking { try store.content.store(bytes) }
        return try Manifest(parsing: bytes)
    }
}

extension Engine {
    func puller(_ events: StepEvents) -> ImagePuller {
        ImagePuller(store: store, client: client, events: events)
    }

    /// Fetches an image with all its layers and gives it its name.
    public func pull(
        _ name: String,
        platform: Platform?,
        events: any SolverEventSink
    ) async throws -> ImageSummary {
        let reference = try Reference(name).withDefaultTag
        let steps = StepEvents(sink: events)
        let images = BaseImages(store: store, client: client, events: steps, pulls: true)
        let (resolved, found) = try await steps.step("resolving \(reference)") { _ in
            try await images.remote(reference, platform ?? .host)
        }
        let image = StoredImage(
            resolved.configDigest,
            resolved.config,
            manifest: resolved.manifest,
            reference: reference,
            puller: puller(steps),
            info: nil
        )
        let layers = try await image.snapshots()
        let store = store
        // The name comes last: whoever sees it has all of the image.
        let summary = try await blocking { [self] in
            var record = found
            record.size = try layers.reduce(0) { try $0 + (store.snapshots.size(of: $1) ?? 0) }
            record.isImplicit = reference.tag == nil
            try store.images.set(record)
            return try self.summary(record)
        }
        try await settle()
        return summary
    }
}
