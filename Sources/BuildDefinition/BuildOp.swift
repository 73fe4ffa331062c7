// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import OCI

/// What a step does. The meaning is that of BuildKit's LLB operations.
public enum BuildOp: Hashable, Sendable {
    case image(ImageOp)
    case local(LocalOp)
    case git(GitOp)
    case http(HTTPOp)
    case exec(ExecOp)
    case file(FileOp)
    case merge(MergeOp)

    /// The bytes that identify the operation, inputs not included.
    public var canonicalBytes: [UInt8] { bytes(cacheOnly: false) }

    /// The bytes that decide whether a former result may be reused: without what changes no result, such as proxy
    /// variables, limits and the addresses of added hosts.
    public var cacheBytes: [UInt8] { bytes(cacheOnly: true) }

    private func bytes(cacheOnly: Bool) -> [UInt8] {
        var encoder = CanonicalEncoder()
        switch self {
        case .image(let op):
            encoder.append("op", "image")
            op.encode(into: &encoder, cacheOnly: cacheOnly)
        case .local(let op):
            encoder.append("op", "local")
            op.encode(into: &encoder)
        case .git(let op):
            encoder.append("op", "git")
            op.encode(into: &encoder)
        case .http(let op):
            encoder.append("op", "http")
            op.encode(into: &encoder)
        case .exec(let op):
            encoder.append("op", "exec")
            op.encode(into: &encoder, cacheOnly: cacheOnly)
        case .file(let op):
            encoder.append("op", "file")
            op.encode(into: &encoder)
        case .merge:
            encoder.append("op", "merge")
        }
        return encoder.bytes
    }
}

/// A base image: its file tree. No inputs.
public struct ImageOp: Hashable, Sendable {
    /// The name as written, normalised.
    public var reference: Reference
    /// What the name resolved to; nil for an image of the local store that never was in a registry.
    public var manifest: Descriptor?
    /// Digest of the image's config, which is its id.
    public var config: Digest
    public var platform: Platform
    /// The layers' identities, bottom first: the tree, whatever the name or the config.
    public var diffIDs: [DiffID]
    /// The OCI image layout that holds it, an absolute path; nil for an image of the store or a registry.
    public var layout: String?

    public init(
        reference: Reference,
        manifest: Descriptor?,
        config: Digest,
        platform: Platform,
        diffIDs: [DiffID],
        layout: String? = nil
    ) {
        self.reference = reference
        self.manifest = manifest
        self.config = config
        self.platform = platform
        self.diffIDs = diffIDs
        self.layout = layout
    }

    func encode(into encoder: inout CanonicalEncoder, cacheOnly: Bool) {
        // Two names for the same layers are the same tree.
        encoder.append("layers", diffIDs.map(\.description))
        if !cacheOnly {
            encoder.append("reference", reference.description)
            encoder.append("config", config.description)
            encoder.append("platform", platform.description)
            encoder.append("layout", layout)
        }
    }
}

/// A directory on the machine that runs the build, such as the build context. No inputs.
public struct LocalOp: Hashable, Sendable {
    /// Which directory: `context`, or the name of another one that the request names.
    public var name: String
    /// Paths that steps read, relative, no leading slash; empty means everything. Wildcards as in COPY.
    public var followPaths: [String]
    /// Patterns of the ignore file, in order.
    public var excludePatterns: [String]

    public init(name: String, followPaths: [String] = [], excludePatterns: [String] = []) {
        self.name = name
        self.followPaths = followPaths
        self.excludePatterns = excludePatterns
    }

    func encode(into encoder: inout CanonicalEncoder) {
        encoder.append("name", name)
        encoder.append("follow", followPaths)
        encoder.append("exclude", excludePatterns)
    }
}
