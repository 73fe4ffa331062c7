// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import DockerfileSyntax
public import OCI

/// Finds base images: in the local store or in a registry. Fetches manifests and configs, no layers.
public protocol ImageResolver: Sendable {
    /// Asked at most once a build for the same reference and platform; several calls run at the same time.
    ///
    /// - Parameters:
    ///   - reference: has a tag or a digest.
    ///   - layout: the OCI image layout, an absolute path, whose index has that tag or digest; nil for an image of the
    ///     local store or a registry.
    func resolveImage(_ reference: Reference, platform: Platform, layout: String?) async throws -> ResolvedImage
}

/// A base image as far as lowering needs it.
public struct ResolvedImage: Hashable, Sendable {
    /// The name that was asked for. A digest in it is shown in step names; it may be that of an index.
    public var reference: Reference
    /// What the name resolved to; nil for an image of the local store that never was in a registry.
    public var manifest: Descriptor?
    public var configDigest: Digest
    public var config: ImageConfig

    public init(reference: Reference, manifest: Descriptor?, configDigest: Digest, config: ImageConfig) {
        self.reference = reference
        self.manifest = manifest
        self.configDigest = configDigest
        self.config = config
    }
}

/// A base image that could not be had. The cause says why; the diagnostic says where it was asked for.
public struct ImageResolutionError: Error, Sendable, CustomStringConvertible {
    public let reference: Reference
    public let diagnostics: DockerfileDiagnostics
    public let cause: any Error

    public var description: String { diagnostics.description }
}
