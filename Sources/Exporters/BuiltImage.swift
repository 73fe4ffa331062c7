// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem
public import OCI
public import Snapshots

/// What a build made, before anybody asked for its archive form.
public struct BuiltImage: Sendable {
    /// Bottom first; all in the store.
    public var layers: [SnapshotID]
    /// History and runtime configuration complete; `rootfs.diff_ids` and `created` are filled in by `ImageAssembler`.
    public var config: ImageConfig
    /// How many of `layers`, from the bottom, are the base image's.
    public var baseLayerCount: Int
    public var platform: Platform

    public init(layers: [SnapshotID], config: ImageConfig, baseLayerCount: Int, platform: Platform) {
        self.layers = layers
        self.config = config
        self.baseLayerCount = baseLayerCount
        self.platform = platform
    }
}

/// A layer of an image with the digest of its archive.
public struct AssembledLayer: Hashable, Sendable {
    public var snapshot: SnapshotID
    public var diffID: DiffID
    /// Whether the layer came with a base image, whose blobs are kept as they are.
    public var isBase: Bool
    /// The archive has this time where the snapshot's files are newer; nil for the files' own times.
    public var epoch: FileTime?
}

/// An image whose id is known; its layers need not exist as blobs.
public struct AssembledImage: Hashable, Sendable {
    /// The exact bytes that `configDigest` names.
    public var config: [UInt8]
    /// The image's id.
    public var configDigest: Digest
    /// Bottom first.
    public var layers: [AssembledLayer]
    /// Bytes of all layers' files.
    public var size: Int64
    public var platform: Platform
    /// RFC 3339.
    public var created: String?
    /// The bytes of the manifest that the image came with. It is kept as long as layers and annotations are its own.
    public var manifest: [UInt8]?

    public var diffIDs: [DiffID] { layers.map(\.diffID) }
}
