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
        guard layout == nil else {
            throw BuilderError(.unsupported, "images in OCI layouts are not supported yet")
        }
        return try await events.step("[internal] load metadata for \(reference.withDefaultTag)") { _ in
            if !pulls, let local = try local(reference, platform) { return local }
            let (image, record) = try await remote(reference, platform)
            try await remember(record)
            return image
        }
    }

    private func local(_ reference: Reference, _ platform: Platform) throws -> ResolvedImage? {
        guard let record = try store.images.find(reference), let bytes = try store.content.load(record.config) else {
            return nil
        }
        let config = try ImageConfig(parsing: bytes)
        guard platform.accepts(config.platform) else { return nil }
        return ResolvedImage(
            reference: reference,
            manifest: record.manifest,
            configDigest: record.config,
            config: config
        )
    }

    /// Asks the registry. Documents are stored; the name is not, which the returned record is for.
    func remote(
        _ reference: Reference,
        _ platform: Platform
    ) async throws -> (image: ResolvedImage, record: ImageRecord) {
        let repository = client.repository(reference)
        let top = try await client.resolveManifest(reference)
        let topBytes = try await client.readManifest(reference, top)
        var descriptor = top
        var bytes = topBytes
        if top.mediaType.isIndex {
            let index = try Index(parsing: topBytes)
            guard let chosen = index.manifest(for: platform) else { throw noMatch(reference, platform, index) }
            descriptor = chosen
            bytes = try await client.readManifest(reference, chosen)
        }
        let manifest = try Manifest(parsing: bytes)
        guard manifest.config.mediaType == .ociConfig || manifest.config.mediaType == .dockerConfig else {
            throw BuilderError(
                .unsupported,
                "\(reference.familiar) is no container image: its config has the type "
                    + "\(manifest.config.mediaType)"
            )
        }
        let configBytes = try await repository.readBlob(manifest.config)
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

    /// Keeps a name that a build needed, so that the next build asks nobody. A name that the user gave stays listed.
    private func remember(_ record: ImageRecord) async throws {
        let store = store
        try await blocking {
            var record = record
            let known = try store.images.find(record.reference)
            if known?.config == record.config { record.size = known?.size ?? 0 }
            record.isImplicit = known?.isImplicit ?? true
            try store.images.set(record)
        }
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
