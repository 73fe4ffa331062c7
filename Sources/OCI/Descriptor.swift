// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// The type of a blob's bytes (OCI image-spec media-types.md; Docker image manifest v2 schema 2).
public struct MediaType: Hashable, Sendable, RawRepresentable, CustomStringConvertible {
    public let rawValue: String

    public init(rawValue: String) { self.rawValue = rawValue }
    public init(_ rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }

    public static let ociIndex = MediaType("application/vnd.oci.image.index.v1+json")
    public static let ociManifest = MediaType("application/vnd.oci.image.manifest.v1+json")
    public static let ociConfig = MediaType("application/vnd.oci.image.config.v1+json")
    public static let ociLayer = MediaType("application/vnd.oci.image.layer.v1.tar")
    public static let ociLayerGzip = MediaType("application/vnd.oci.image.layer.v1.tar+gzip")
    public static let ociLayerZstd = MediaType("application/vnd.oci.image.layer.v1.tar+zstd")
    public static let dockerManifestList = MediaType("application/vnd.docker.distribution.manifest.list.v2+json")
    public static let dockerManifest = MediaType("application/vnd.docker.distribution.manifest.v2+json")
    public static let dockerConfig = MediaType("application/vnd.docker.container.image.v1+json")
    public static let dockerLayer = MediaType("application/vnd.docker.image.rootfs.diff.tar")
    public static let dockerLayerGzip = MediaType("application/vnd.docker.image.rootfs.diff.tar.gzip")
    public static let dockerLayerZstd = MediaType("application/vnd.docker.image.rootfs.diff.tar.zstd")
    public static let dockerForeignLayer = MediaType("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    public static let ociNondistributableLayer = MediaType(
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    )

    public var isIndex: Bool { self == .ociIndex || self == .dockerManifestList }
    public var isManifest: Bool { self == .ociManifest || self == .dockerManifest }
    public var isDocker: Bool { rawValue.hasPrefix("application/vnd.docker.") }

    /// How a layer's tar is compressed.
    public enum Compression: String, Sendable, CaseIterable, Codable {
        case none = "uncompressed"
        case gzip
        case zstd
    }

    /// The compression that a layer's media type declares; nil for what is not a layer.
    public var layerCompression: Compression? {
        switch self {
        case .ociLayer, .dockerLayer: Compression.none
        case .ociLayerGzip, .dockerLayerGzip, .dockerForeignLayer, .ociNondistributableLayer: .gzip
        case .ociLayerZstd, .dockerLayerZstd: .zstd
        default: nil
        }
    }

    /// The media type of a layer so compressed.
    public static func layer(_ compression: Compression, docker: Bool = false) -> MediaType {
        switch (compression, docker) {
        case (.none, false): .ociLayer
        case (.gzip, false): .ociLayerGzip
        case (.zstd, false): .ociLayerZstd
        case (.none, true): .dockerLayer
        case (.gzip, true): .dockerLayerGzip
        case (.zstd, true): .dockerLayerZstd
        }
    }
}

extension MediaType: Codable {
    public init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}

/// What refers to a blob: its type, digest and size in bytes (OCI image-spec descriptor.md).
public struct Descriptor: Hashable, Sendable, Codable {
    public var mediaType: MediaType
    public var digest: Digest
    /// Bytes of the blob as stored or sent.
    public var size: Int64
    public var platform: Platform?
    public var annotations: [String: String]?
    public var urls: [String]?
    public var artifactType: String?
    /// Members that Galley does not know.
    public var otherMembers: [String: JSONValue] = [:]

    public init(
        mediaType: MediaType,
        digest: Digest,
        size: Int64,
        platform: Platform? = nil,
        annotations: [String: String]? = nil
    ) {
        self.mediaType = mediaType
        self.digest = digest
        self.size = size
        self.platform = platform
        self.annotations = annotations
    }

    private enum CodingKeys: String, CodingKey, CaseIterable {
        case mediaType, digest, size, platform, annotations, urls, artifactType
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        mediaType = try container.decodeIfPresent(MediaType.self, forKey: .mediaType) ?? MediaType("")
        digest = try container.decode(Digest.self, forKey: .digest)
        size = try container.decode(Int64.self, forKey: .size)
        guard size >= 0 else {
            throw OCIError(.invalidDocument, "descriptor of \(digest) has the negative size \(size)")
        }
        platform = try container.decodeIfPresent(Platform.self, forKey: .platform)
        annotations = try container.decodeIfPresent([String: String].self, forKey: .annotations)
        urls = try container.decodeIfPresent([String].self, forKey: .urls)
        artifactType = try container.decodeIfPresent(String.self, forKey: .artifactType)
        otherMembers = try decoder.members(except: CodingKeys.allCases.map(\.rawValue))
    }

    public func encode(to encoder: any Encoder) throws {
        try encoder.encodeMembers(otherMembers)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(mediaType, forKey: .mediaType)
        try container.encode(digest, forKey: .digest)
        try container.encode(size, forKey: .size)
        try container.encodeIfPresent(platform, forKey: .platform)
        try container.encodeIfPresent(annotations, forKey: .annotations)
        try container.encodeIfPresent(urls, forKey: .urls)
        try container.encodeIfPresent(artifactType, forKey: .artifactType)
    }
}
