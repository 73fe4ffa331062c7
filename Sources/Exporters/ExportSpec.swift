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
        /// Nothing: the steps stay in the cache.
        case cacheOnly
    }

    /// Which time stands for now (reproducible-builds.org, `SOURCE_DATE_EPOCH`).
    public enum EpochChoice: Hashable, Sendable {
        /// What the build was given.
        case ofBuild
        /// None, whatever the build was given.
        case none
        /// Seconds since 1970.
        case at(Int64)

        /// - Parameter build: what the build was given.
        public func seconds(build: Int64?) -> Int64? {
            switch self {
            case .ofBuild: build
            case .none: nil
            case .at(let seconds): seconds
            }
        }
    }

    public var kind: Kind
    /// Nil only for `image` and `cacheOnly`.
    public var destination: ExportDestination?
    public var names: [Reference] = []
    public var push = false
    public var pushByDigest = false
    /// Whether `oci` and `docker` make a tar archive, or a directory.
    public var isArchive = true
    public var layers = LayerOptions()
    /// Of the manifest.
    public var annotations: [String: String] = [:]
    public var epoch = EpochChoice.ofBuild
    /// Whether no file of the image's own layers is newer than the epoch.
    public var rewritesTimestamps = false

    /// An image in the local store.
    public init(kind: Kind, destination: ExportDestination? = nil) {
        self.kind = kind
        self.destination = destination
    }
}
