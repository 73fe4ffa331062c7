// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import OCI

/// One line of `galley images`.
public struct ImageSummary: Sendable, Hashable {
    public var reference: Reference
    /// Digest of the config.
    public var id: Digest
    /// The digest that the name had in its registry, if it came from or went to one.
    public var repositoryDigest: Digest?
    /// When the image was made, RFC 3339; nil when its config does not say.
    public var created: String?
    /// Bytes of all layers' files, unpacked.
    public var size: Int64
}

/// One line of `galley history`, newest first.
public struct HistoryLine: Sendable, Hashable {
    /// The image's id for the newest line, nil for the others.
    public var image: Digest?
    /// RFC 3339.
    public var created: String?
    public var createdBy: String
    /// Bytes of the layer's files; 0 for a line without a layer, nil when the layer is not unpacked here.
    public var size: Int64?
    public var comment: String
}

/// One thing that `galley rmi` did.
public enum RemovedImage: Sendable, Hashable {
    case untagged(Reference)
    /// The last name is gone: the image is no longer there. Its layers stay until `prune`.
    case deleted(Digest)
}
