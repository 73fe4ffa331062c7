// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import OCI

/// How layers become blobs.
public struct LayerOptions: Hashable, Sendable {
    /// Of layers that this machine made; those of base images keep theirs unless `force`.
    public var compression: MediaType.Compression
    /// Nil for the format's default.
    public var level: Int32?
    /// Whether base layers of another compression are compressed anew.
    public var force: Bool
    /// Whether manifests have OCI's media types, or Docker's.
    public var ociMediaTypes: Bool
    /// Nil for one a core. The bytes do not depend on it.
    public var threads: Int?

    public init(
        compression: MediaType.Compression = .gzip,
        level: Int32? = nil,
        force: Bool = false,
        ociMediaTypes: Bool = true,
        threads: Int? = nil
    ) {
        self.compression = compression
        self.level = level
        self.force = force
        self.ociMediaTypes = ociMediaTypes
        self.threads = threads
    }

    /// Whether a blob known for the layer can be sent instead of a new one.
    func accept(_ blob: Descriptor, for layer: AssembledLayer) -> Bool {
        if layer.isBase, !force { return true }
        // The level of a blob is not recorded.
        return blob.mediaType.layerCompression == compression && (level == nil || compression == .none)
    }

    /// The blob with the media type that the manifest's family has for it.
    func adapted(_ blob: Descriptor) -> Descriptor {
        guard let compression = blob.mediaType.layerCompression, blob.mediaType != .dockerForeignLayer,
            blob.mediaType != .ociNondistributableLayer
        else { return blob }
        var blob = blob
        blob.mediaType = .layer(compression, docker: !ociMediaTypes)
        return blob
    }
}
