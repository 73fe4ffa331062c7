// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
public import OCI
public import Snapshots
import Solver

/// A repository of a registry that an image is pushed to.
public protocol PushTarget: BlobSink {
    /// Takes a blob over from another repository of the same registry; false when the registry will not.
    func mountBlob(_ blob: Descriptor, fromRepository path: String) async throws -> Bool
    /// Stores a manifest under a tag, or under its digest alone.
    func pushManifest(_ bytes: [UInt8], _ mediaType: MediaType, tag: String?) async throws -> Descriptor
}

/// Pushes images: layers that the registry lacks, then the config, then the manifest.
public struct RegistryExporter: Sendable {
    private let blobs: LayerBlobs
    private let annotations: [String: String]
    private let parallel: Int

    /// - Parameter parallel: most layers that are sent at the same time.
    public init(_ blobs: LayerBlobs, annotations: [String: String] = [:], parallel: Int = 4) {
        self.blobs = blobs
        self.annotations = annotations
        self.parallel = max(1, parallel)
    }

    /// Pushes images, one a platform, under one index; a single one as the other form of this does.
    ///
    /// - Precondition: there is an image.
    public func push(
        _ images: [AssembledImage],
        to target: any PushTarget,
        tags: [String] = [],
        baseRepositories: [String] = [],
        transfers: @escaping TransferReporter = silentTransfers
    ) async throws -> ExportedImage {
        precondition(!images.isEmpty, "something must be pushed")
        var parts: [ExportedImage] = []
        for image in images {
            parts.append(
                try await push(
                    image,
                    to: target,
                    tags: images.count == 1 ? tags : [],
                    baseRepositories: baseRepositories,
                    transfers: transfers
                )
            )
        }
        var whole = parts[0]
        if images.count > 1 {
            let index = ImageIndexDocument(images, parts.map(\.manifest), blobs.options, annotations)
            try await push(index.bytes, index.descriptor, to: target, tags, transfers)
            whole.manifest = index.descriptor
        }
        return whole
    }

    /// Pushes the image under each tag; with no tag, by digest.
    ///
    /// A layer that was pushed before is asked for by its recorded digest and neither made nor sent again.
    ///
    /// - Parameter baseRepositories: paths of repositories of the same registry that may have the base image's layers.
    public func push(
        _ image: AssembledImage,
        to target: any PushTarget,
        tags: [String] = [],
        baseRepositories: [String] = [],
        transfers: @escaping TransferReporter = silentTransfers
    ) async throws -> ExportedImage {
        let layers = try await pushLayers(image, to: target, baseRepositories, transfers)
        let config = image.configDescriptor(blobs.options)
        if try await !isPresent(config, in: target, orMountedFrom: baseRepositories) {
            _ = try await target.writeBlob(mediaType: config.mediaType, expected: config) {
                try await $0.write(image.config[...])
            }
        }
        let manifest = image.manifest(layers, blobs.options, annotations)
        try await push(manifest.bytes, manifest.descriptor, to: target, tags, transfers)
        return ExportedImage(manifest: manifest.descriptor, configDigest: image.configDigest, layers: layers)
    }

    /// Sends the layers whose diffIDs nobody knows yet, before the image that they belong to is known: each is read once,
    /// for the blob and for the diffID.
    public func pushNewLayers(
        _ ids: [SnapshotID],
        to target: any PushTarget,
        transfers: @escaping TransferReporter = silentTransfers
    ) async throws {
        let new = try await blocking { [blobs] in try blobs.new(ids) }
        var waiting = Set(new).sorted().makeIterator()
        try await withThrowingTaskGroup(of: Void.self) { group in
            func start() {
                guard let layer = waiting.next() else { return }
                group.addTask { try await pushNew(layer, to: target, transfers) }
            }
            for _ in 0..<parallel { start() }
            while try await group.next() != nil { start() }
        }
    }

    private func pushNew(
        _ layer: SnapshotID,
        to target: any PushTarget,
        _ transfers: TransferReporter
    ) async throws {
        let progress = transfers("pushing layer \(layer)", nil)
        let mediaType = MediaType.layer(blobs.options.compression, docker: !blobs.options.ociMediaTypes)
        _ = try await target.writeBlob(mediaType: mediaType, expected: nil) { writer in
            progress.set(0)
            try await bridgingBytes(
                from: { [blobs] in _ = try blobs.streamNew(layer, keeps: false, $0, to: $1) },
                to: { chunk in
                    try await writer.write(chunk)
                    progress.add(Int64(chunk.count))
                }
            )
        }
        progress.complete()
    }

    private func push(
        _ manifest: [UInt8],
        _ descriptor: Descriptor,
        to target: any PushTarget,
        _ tags: [String],
        _ transfers: TransferReporter
    ) async throws {
        let progress = transfers("pushing manifest \(descriptor.digest)", descriptor.size)
        for tag in tags.isEmpty ? [nil] : tags.map(Optional.some) {
            let stored = try await target.pushManifest(manifest, descriptor.mediaType, tag: tag)
            guard stored.digest == descriptor.digest else {
                throw ExportError(
                    .destination,
                    "the registry stored the manifest as \(stored.digest) instead of \(descriptor.digest)"
                )
            }
        }
        progress.set(descriptor.size)
        progress.complete()
    }

    private func isPresent(
        _ blob: Descriptor,
        in target: any PushTarget,
        orMountedFrom repositories: [String]
    ) async throws -> Bool {
        if try await target.containsBlob(blob) { return true }
        for repository in repositories {
            if try await target.mountBlob(blob, fromRepository: repository) { return true }
        }
        return false
    }

    private func pushLayers(
        _ image: AssembledImage,
        to target: any PushTarget,
        _ baseRepositories: [String],
        _ transfers: @escaping TransferReporter
    ) async throws -> [Descriptor] {
        var seen: Set<DiffID> = []
        var waiting = image.layers.filter { seen.insert($0.diffID).inserted }.makeIterator()
        let pushed = try await withThrowingTaskGroup(of: (DiffID, Descriptor).self) { group in
            func start() {
                guard let layer = waiting.next() else { return }
                group.addTask {
                    (layer.diffID, try await push(layer, to: target, layer.isBase ? baseRepositories : [], transfers))
                }
            }
            for _ in 0..<parallel { start() }
            var pushed: [DiffID: Descriptor] = [:]
            while let (diffID, blob) = try await group.next() {
                pushed[diffID] = blob
                start()
            }
            return pushed
        }
        return image.layers.compactMap { pushed[$0.diffID] }
    }

    private func push(
        _ layer: AssembledLayer,
        to target: any PushTarget,
        _ repositories: [String],
        _ transfers: TransferReporter
    ) async throws -> Descriptor {
        let known = try await blocking { [blobs] in try blobs.known(layer) }
        for blob in known where try await target.containsBlob(blob) {
            let progress = transfers("layer \(blob.digest) exists", blob.size)
            progress.set(blob.size)
            progress.complete()
            return blob
        }
        for blob in known {
            for repository in repositories where try await target.mountBlob(blob, fromRepository: repository) {
                let progress = transfers("layer \(blob.digest) mounted from \(repository)", blob.size)
                progress.set(blob.size)
                progress.complete()
                return blob
            }
        }
        let stored = try await blocking { [blobs] in try blobs.stored(layer) }
        let progress = transfers("pushing layer \(stored?.digest ?? layer.diffID.digest)", stored?.size)
        let mediaType =
            stored?.mediaType
            ?? MediaType.layer(blobs.options.compression, docker: !blobs.options.ociMediaTypes)
        let blob = try await target.writeBlob(mediaType: mediaType, expected: stored) { writer in
            progress.set(0)
            try await send(layer, to: writer, progress)
        }
        progress.complete()
        return stored ?? blob
    }

    /// May be called again: a registry may want a blob's bytes a second time.
    private func send(_ layer: AssembledLayer, to writer: any BlobWriter, _ progress: TransferProgress) async throws {
        try await bridgingBytes(
            // The registry keeps it: another push finds it there.
            from: { [blobs] cancellation, send in _ = try blobs.stream(layer, keeps: false, cancellation, to: send) },
            to: { chunk in
                try await writer.write(chunk)
                progress.add(Int64(chunk.count))
            }
        )
    }
}
