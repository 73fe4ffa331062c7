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

    let blobs: LayerBlobs
    let format: Format
    let annotations: [String: String]

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
        try await begin(.archive(destination), transfers: transfers).finish(images)
    }

    /// Writes a directory, or adds to the layout that is in it: an image with the same name is replaced in its index.
    public func exportDirectory(
        _ images: [NamedImage],
        to directory: RawPath,
        transfers: @escaping TransferReporter = silentTransfers
    ) async throws -> [ExportedImage] {
        try await begin(.directory(directory), transfers: transfers).finish(images)
    }

    public enum Place: Sendable {
        case archive(ExportDestination)
        case directory(RawPath)
    }

    /// Begins to write; nothing appears before the end.
    public func begin(
        _ place: Place,
        transfers: @escaping TransferReporter = silentTransfers
    ) async throws -> LayoutExport {
        try await blocking { try LayoutExport(self, place, transfers) }
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
