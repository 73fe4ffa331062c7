// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import OCI

/// One `--output`, parsed: what to make of the result and where to put it.
public struct ExportSpec: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// An image in the local store, pushed too when `push` is set.
        case image
        case oci
        case docker
        /// The files as a tar archive.
        case tar
        /// The files in a directory.
        case local
    }

    public var kind: Kind
    /// Nil only for `image`.
    public var destination: ExportDestination?
    public var names: [Reference] = []
    public var push = false
    public var pushByDigest = false
    /// Whether `oci` and `docker` make a tar archive, or a directory.
    public var isArchive = true
    public var layers = LayerOptions()
    /// Of the manifest.
    public var annotations: [String: String] = [:]

    /// An image in the local store.
    public init(kind: Kind, destination: ExportDestination? = nil) {
        self.kind = kind
        self.destination = destination
    }
}
