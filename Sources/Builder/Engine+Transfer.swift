// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import Exporters
public import LinuxSystem
public import OCI
import Registry
public import Solver

extension Engine {
    /// Sends an image of the local store to its registry. Blobs that are there already are not sent.
    ///
    /// An image that was pulled and not changed keeps the exact bytes of its manifest, and so its digest.
    public func push(_ name: String, events: any SolverEventSink) async throws -> Descriptor {
        let reference = try Reference(name).withDefaultTag
        guard let record = try store.images.find(reference), reference.digest == nil else {
            throw BuilderError(
                .notFound,
                "An image does not exist locally with the tag: \(reference.familiar)",
                nextStep: "galley images lists what can be pushed; galley tag gives an image another name"
            )
        }
        let steps = StepEvents(sink: events)
        let store = store
        return try await steps.step("pushing \(reference)") { vertex in
            let transfers: TransferReporter = { steps.transfer(vertex, $0, total: $1) }
            let images = try await present(record, steps)
            let target = RegistryPush(repository: client.repository(reference))
            let blobs = LayerBlobs(store.snapshots, store.content, store.images)
            var manifest = try await RegistryExporter(blobs).push(
                images,
                to: target,
                tags: [reference.tagOrDigest],
                baseRepositories: try neighbours(of: reference),
                transfers: transfers
            ).manifest
            if record.variants.isEmpty, let original = record.manifest, original.digest != manifest.digest,
                let bytes = try store.content.load(original.digest)
            {
                // All its blobs are there now, so the original can be named too.
                manifest = try await target.pushManifest(bytes, original.mediaType, tag: reference.tagOrDigest)
            }
            let (digest, pushed) = (manifest.digest, [record.config] + record.variants.map(\.config))
            try await blocking { try store.images.setRepositoryDigest(digest, of: reference, pushed) }
            return manifest
        }
    }

    /// Other repositories of the same registry that this store knows to hold images: their blobs need not be sent again.
    private func neighbours(of reference: Reference) throws -> [String] {
        var paths: [String] = []
        for record in try store.images.all()
        where record.repositoryDigest != nil && record.reference.domain == reference.domain
            && record.reference.path != reference.path && !paths.contains(record.reference.path)
        {
            paths.append(record.reference.path)
        }
        return Array(paths.prefix(4))
    }

    /// Writes images as one archive that `docker load` and `galley load` read.
    public func save(_ names: [String], to output: SharedFD) async throws {
        try await save(names, to: .descriptor(output.raw))
        withExtendedLifetime(output) {}
    }

    /// The same into a file, which appears when it is whole; a killed process leaves nothing of it.
    public func save(_ names: [String], to file: RawPath) async throws {
        try await save(names, to: .file(file))
    }

    private func save(_ names: [String], to destination: ExportDestination) async throws {
        let steps = StepEvents(sink: SilentEvents())
        var images: [NamedImage] = []
        for name in names {
            let record = try local.get(name)
            let isName = try (try? Reference(name)).map { try store.images.find($0) != nil } ?? false
            images.append(NamedImage(try await present(record, steps), names: isName ? [record.reference] : []))
        }
        let blobs = LayerBlobs(
            store.snapshots,
            store.content,
            store.images,
            LayerOptions(compression: .none)
        )
        _ = try await LayoutExporter(blobs, format: .docker).exportArchive(images, to: destination)
    }

    /// Reads what `save`, docker or skopeo wrote, and returns what to tell the user of each image: its names, or its id.
    public func load(from input: SharedFD, events: any SolverEventSink) async throws -> [String] {
        let steps = StepEvents(sink: events)
        let store = store
        let loaded = try await steps.step("loading images") { vertex in
            try await ImageLoader(store.snapshots, store.content, store.images).load(
                from: input,
                transfers: { steps.transfer(vertex, $0, total: $1) }
            )
        }
        try await settle()
        return loaded.flatMap { image in
            image.names.isEmpty ? [image.config.description] : image.names.map(\.familiar)
        }
    }

    /// The name's images, one a platform, with all their layers in the store, pulled where they are not.
    private func present(_ record: ImageRecord, _ events: StepEvents) async throws -> [AssembledImage] {
        var images: [AssembledImage] = []
        for one in [record] + record.variants.map(record.variant) { images.append(try await presentOne(one, events)) }
        return images
    }

    private func presentOne(_ record: ImageRecord, _ events: StepEvents) async throws -> AssembledImage {
        let config = try local.pinnedConfig(record)
        _ = try await StoredImage(
            record.config,
            config,
            manifest: record.manifest,
            reference: record.reference,
            puller: puller(events),
            info: nil
        ).snapshots()
        let store = store
        return try await blocking { try ImageAssembler(store.snapshots, store.content).stored(record) }
    }
}

/// For work that nobody watches.
struct SilentEvents: SolverEventSink {
    func send(_ event: SolverEvent) {}
}
