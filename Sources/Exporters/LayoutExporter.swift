// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
public import LinuxSystem
public import OCI
import Solver

/// An image and the names it is exported under.
public struct NamedImage: Sendable {
    /// One a platform; never empty.
    public var images: [AssembledImage]
    public var names: [Reference]

    public init(_ image: AssembledImage, names: [Reference]) { self.init([image], names: names) }

    /// - Precondition: there is an image.
    public init(_ images: [AssembledImage], names: [Reference]) {
        precondition(!images.isEmpty, "a name stands for an image at least")
        self.images = images
        self.names = names
    }
}

/// What an export tells of an image.
public struct ExportedImage: Hashable, Sendable {
    /// Of an image for several platforms, the index.
    public var manifest: Descriptor
    /// Of the first platform.
    public var configDigest: Digest
    /// Of the first platform, bottom first.
    public var layers: [Descriptor]
}

/// Writes images as an OCI layout, in a tar archive or a directory; for Docker with its `manifest.json` as well.
public struct LayoutExporter: Sendable {
    public enum Format: Sendable {
        case oci
        /// Also what `docker load` reads.
        case docker
    }

    private let blobs: LayerBlobs
    private let format: Format
    private let annotations: [String: String]

    /// - Parameter annotations: of every manifest.
    public init(_ blobs: LayerBlobs, format: Format, annotations: [String: String] = [:]) {
        self.blobs = blobs
        self.format = format
        self.annotations = annotations
    }

    /// Writes a tar archive. After an error the destination is as it was before.
    public func exportArchive(
        _ images: [NamedImage],
        to destination: ExportDestination,
        transfers: @escaping TransferReporter = silentTransfers
    ) async throws -> [ExportedImage] {
        try await cancellableBlocking { cancellation in
            try export(images, to: LayoutArchive(destination), [], cancellation, transfers)
        }
    }

    /// Writes a directory, or adds to the layout that is in it: an image with the same name is replaced in its index.
    public func exportDirectory(
        _ images: [NamedImage],
        to directory: RawPath,
        transfers: @escaping TransferReporter = silentTransfers
    ) async throws -> [ExportedImage] {
        try await cancellableBlocking { cancellation in
            let layout = try LayoutDirectory(directory)
            let existing = try layout.existingIndex().map { try Index(parsing: $0).manifests } ?? []
            return try export(images, to: layout, existing, cancellation, transfers)
        }
    }

    private func export(
        _ images: [NamedImage],
        to layout: any LayoutWriter,
        _ existing: [Descriptor],
        _ cancellation: CancellationFlag,
        _ transfers: TransferReporter
    ) throws -> [ExportedImage] {
        var done: [DiffID: Descriptor] = [:]
        var entries: [Descriptor] = []
        var dockerEntries: [JSONValue] = []
        var exported: [ExportedImage] = []
        for named in images {
            var parts: [ExportedImage] = []
            for image in named.images {
                let layers = try image.layers.map { layer in
                    if let known = done[layer.diffID] { return known }
                    let blob = try add(layer, to: layout, cancellation, transfers)
                    done[layer.diffID] = blob
                    return blob
                }
                let manifest = image.manifest(layers, blobs.options, annotations)
                try layout.addBlob(image.config)
                try layout.addBlob(manifest.bytes)
                dockerEntries.append(dockerEntry(image, named.names, layers))
                parts.append(
                    ExportedImage(manifest: manifest.descriptor, configDigest: image.configDigest, layers: layers)
                )
            }
            var whole = parts[0]
            if named.images.count > 1 {
                let index = ImageIndexDocument(named.images, parts.map(\.manifest), blobs.options, annotations)
                try layout.addBlob(index.bytes)
                whole.manifest = index.descriptor
            }
            entries += indexEntries(named, whole.manifest)
            exported.append(whole)
        }
        let names = Set(entries.compactMap { $0.annotations?[Self.imageName] })
        let kept = existing.filter { old in
            if let name = old.annotations?[Self.imageName] { return !names.contains(name) }
            return !entries.contains { $0.digest == old.digest }
        }
        if format == .docker { try layout.add("manifest.json", JSONValue.array(dockerEntries).encoded()) }
        try layout.add("index.json", Index(manifests: kept + entries).encoded())
        try layout.add("oci-layout", Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8))
        try layout.finish()
        return exported
    }

    private func add(
        _ layer: AssembledLayer,
        to layout: any LayoutWriter,
        _ cancellation: CancellationFlag,
        _ transfers: TransferReporter
    ) throws -> Descriptor {
        let stored = try blobs.stored(layer)
        let progress = transfers("exporting layer \(layer.diffID)", stored?.size)
        let blob = try layout.addBlob(stored) { sink in
            progress.set(0)
            return try blobs.stream(layer, keeps: true, cancellation) { bytes in
                progress.add(Int64(bytes.count))
                try sink(bytes)
            }
        }
        progress.complete()
        return stored ?? blob
    }

    private static let imageName = "io.containerd.image.name"

    private func indexEntries(_ named: NamedImage, _ manifest: Descriptor) -> [Descriptor] {
        var entry = manifest
        if named.images.count == 1 { entry.platform = named.images[0].platform }
        let created = named.images[0].created.map { ["org.opencontainers.image.created": $0] } ?? [:]
        guard !named.names.isEmpty else {
            entry.annotations = created.isEmpty ? nil : created
            return [entry]
        }
        return named.names.map { name in
            let name = name.withDefaultTag
            var annotations = created
            annotations[Self.imageName] = name.description
            annotations["org.opencontainers.image.ref.name"] = name.tag ?? name.tagOrDigest
            var entry = entry
            entry.annotations = annotations
            return entry
        }
    }

    private func dockerEntry(_ image: AssembledImage, _ names: [Reference], _ layers: [Descriptor]) -> JSONValue {
        func path(_ digest: Digest) -> JSONValue { .string("blobs/\(digest.algorithm.rawValue)/\(digest.hex)") }
        let tags = names.map(\.withDefaultTag).filter { $0.tag != nil }.map { JSONValue.string($0.familiar) }
        return [
            "Config": path(image.configDigest),
            "RepoTags": tags.isEmpty ? .null : .array(tags),
            "Layers": .array(layers.map { path($0.digest) }),
        ]
    }
}

extension AssembledImage {
    /// The manifest for these layers' blobs: its bytes and what names them.
    func manifest(_ layers: [Descriptor], _ options: LayerOptions, _ annotations: [String: String])
        -> (bytes: [UInt8], descriptor: Descriptor)
    {
        if annotations.isEmpty, !options.force, let original = self.manifest,
            let parsed = try? Manifest(parsing: original), parsed.layers.map(\.digest) == layers.map(\.digest)
        {
            let size = Int64(original.count)
            return (original, Descriptor(mediaType: parsed.mediaType, digest: .sha256(original), size: size))
        }
        let manifest = Manifest(
            mediaType: options.ociMediaTypes ? .ociManifest : .dockerManifest,
            config: configDescriptor(options),
            layers: layers,
            annotations: annotations
        )
        let bytes = manifest.encoded()
        let descriptor = Descriptor(
            mediaType: manifest.mediaType,
            digest: .sha256(bytes),
            size: Int64(bytes.count)
        )
        return (bytes, descriptor)
    }

    func configDescriptor(_ options: LayerOptions) -> Descriptor {
        Descriptor(
            mediaType: options.ociMediaTypes ? .ociConfig : .dockerConfig,
            digest: configDigest,
            size: Int64(config.count)
        )
    }
}
