// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import DockerfileFrontend
import LinuxSystem
import OCI
import Registry
import Solver

/// Finds images by name: in the local store, else in their registry. Manifests and configs only.
struct BaseImages: ImageResolver {
    let store: Store
    let client: RegistryClient
    let events: StepEvents
    /// Asks registries even for what the local store has.
    let pulls: Bool

    func resolveImage(_ reference: Reference, platform: Platform, layout: String?) async throws -> ResolvedImage {
        if let layout {
            return try await events.step("[internal] load metadata for \(reference)") { _ in
                try await image(reference, platform, in: ImageLayout(path: layout))
            }
        }
        return try await events.step("[internal] load metadata for \(reference.withDefaultTag)") { _ in
            let store = store
            let known = try await blocking { try store.images.find(reference) }
            if !pulls, let known, let local = try await local(known, reference, platform) { return local }
            let (image, found) = try await remote(reference, platform)
            let foundPlatform = image.config.platform
            try await blocking { try store.images.remember(found, foundPlatform, insteadOf: known) }
            return image
        }
    }

    private func local(
        _ record: ImageRecord,
        _ reference: Reference,
        _ platform: Platform
    ) async throws -> ResolvedImage? {
        let store = store
        return try await blocking {
            for image in [record] + record.variants.map(record.variant) {
                guard let bytes = try store.content.load(image.config) else { continue }
                let config = try ImageConfig(parsing: bytes)
                guard platform.accepts(config.platform) else { continue }
                do {
                    _ = try LocalImages(store: store).pinnedConfig(image)
                } catch is BuilderError {
                    // The config is gone; anything else is damage that no registry mends.
                    return nil
                }
                return ResolvedImage(
                    reference: reference,
                    manifest: image.manifest,
                    configDigest: image.config,
                    config: config
                )
            }
            return nil
        }
    }

    /// Asks the registry. Documents are stored; the name is not, which the returned record is for.
    func remote(
        _ reference: Reference,
        _ platform: Platform
    ) async throws -> (image: ResolvedImage, record: ImageRecord) {
        let repository = client.repository(reference)
        let top = try await client.resolveManifest(reference)
        return try await load(reference, platform, top) { descriptor in
            if descriptor.mediaType == .ociConfig || descriptor.mediaType == .dockerConfig {
                return try await repository.readBlob(descriptor)
            }
            return try await client.readManifest(reference, descriptor)
        }
    }

    private func image(_ reference: Reference, _ platform: Platform, in layout: ImageLayout) async throws
        -> ResolvedImage
    {
        let top = try await blocking { try layout.find(tag: reference.tag, digest: reference.digest) }
        return try await load(reference, platform, top) { descriptor in
            try await blocking { try layout.document(descriptor) }
        }.image
    }

    /// Reads and stores an image's documents, of the index the one for the platform.
    private func load(
        _ reference: Reference,
        _ platform: Platform,
        _ top: Descriptor,
        _ read: (Descriptor) async throws -> [UInt8]
    ) async throws -> (image: ResolvedImage, record: ImageRecord) {
        let topBytes = try await read(top)
        var descriptor = top
        var bytes = topBytes
        if top.mediaType.isIndex {
            let index = try Index(parsing: topBytes)
            guard let chosen = index.manifest(for: platform) else { throw noMatch(reference, platform, index) }
            descriptor = chosen
            bytes = try await read(chosen)
        }
        let manifest = try Manifest(parsing: bytes)
        guard manifest.config.mediaType == .ociConfig || manifest.config.mediaType == .dockerConfig else {
            throw BuilderError(
                .unsupported,
                "\(reference.familiar) is no container image: its config has the type "
                    + "\(manifest.config.mediaType)"
            )
        }
        let configBytes = try await read(manifest.config)
        let config = try ImageConfig(parsing: configBytes)
        guard config.diffIDs.count == manifest.layers.count else {
            throw OCIError(
                .invalidDocument,
                "\(reference.familiar): the manifest has \(manifest.layers.count) layers, the config names "
                    + "\(config.diffIDs.count)"
            )
        }
        if !top.mediaType.isIndex, !platform.accepts(config.platform) {
            throw BuilderError(
                .notFound,
                "\(reference.familiar) is an image for \(config.platform), not for \(platform)",
                nextStep: "ask for its platform with --platform \(config.platform), or use an image for \(platform)"
            )
        }
        let store = store
        let documents = (topBytes, bytes, configBytes)
        let id = try await blocking {
            _ = try store.content.store(documents.0)
            _ = try store.content.store(documents.1)
            return try store.content.store(documents.2)
        }
        let image = ResolvedImage(
            reference: reference,
            manifest: descriptor,
            configDigest: manifest.config.digest,
            config: config
        )
        let record = ImageRecord(
            reference: reference,
            config: id,
            manifest: descriptor,
            repositoryDigest: top.digest,
            size: 0,
            updated: FileTime.now.seconds
        )
        return (image, record)
    }

    private func noMatch(_ reference: Reference, _ platform: Platform, _ index: Index) -> BuilderError {
        let offered = index.manifests.compactMap { $0.platform?.description }.filter { $0 != "unknown/unknown" }
        return BuilderError(
            .notFound,
            "\(reference.familiar): no match for platform in manifest: \(platform) is not offered",
            nextStep: "it offers \(offered.isEmpty ? "no platform" : offered.joined(separator: ", ")); "
                + "choose one with --platform"
        )
    }
}
