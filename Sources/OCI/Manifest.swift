// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import FoundationEssentials

/// One platform's image: a config and its layers, bottom first (OCI image-spec manifest.md; Docker v2 schema 2).
public struct Manifest: Hashable, Sendable {
    public var mediaType: MediaType
    public var config: Descriptor
    public var layers: [Descriptor]
    public var annotations: [String: String]
    /// Members that Galley does not know.
    public var otherMembers: [String: JSONValue] = [:]

    public init(
        mediaType: MediaType = .ociManifest,
        config: Descriptor,
        layers: [Descriptor],
        annotations: [String: String] = [:]
    ) {
        self.mediaType = mediaType
        self.config = config
        self.layers = layers
        self.annotations = annotations
    }

    /// Reads a manifest; refuses Docker schema 1, and a document that claims to be index and manifest at once.
    public init(parsing bytes: [UInt8]) throws(OCIError) {
        let wire = try decodeDocument(WireDocument.self, bytes)
        guard wire.schemaVersion == 2 else {
            throw OCIError(
                .unsupported,
                "the manifest has schema version \(wire.schemaVersion); only version 2 is supported"
            )
        }
        guard let config = wire.config, wire.manifests == nil else {
            throw OCIError(.invalidDocument, "not an image manifest: it must have a config and no manifests")
        }
        self.init(
            mediaType: wire.mediaType ?? .ociManifest,
            config: config,
            layers: wire.layers ?? [],
            annotations: wire.annotations ?? [:]
        )
        otherMembers = wire.otherMembers
    }

    /// The bytes to store or send: their digest is the image's.
    public func encoded() -> [UInt8] {
        encodeDocument(
            WireDocument(
                schemaVersion: 2,
                mediaType: mediaType,
                config: config,
                layers: layers,
                annotations: annotations.isEmpty ? nil : annotations,
                otherMembers: otherMembers
            )
        )
    }
}

/// Manifests for several platforms (OCI image-spec image-index.md; Docker manifest list).
public struct Index: Hashable, Sendable {
    public var mediaType: MediaType
    public var manifests: [Descriptor]
    public var annotations: [String: String]
    /// Members that Galley does not know.
    public var otherMembers: [String: JSONValue] = [:]

    public init(mediaType: MediaType = .ociIndex, manifests: [Descriptor], annotations: [String: String] = [:]) {
        self.mediaType = mediaType
        self.manifests = manifests
        self.annotations = annotations
    }

    public init(parsing bytes: [UInt8]) throws(OCIError) {
        let wire = try decodeDocument(WireDocument.self, bytes)
        guard wire.schemaVersion == 2, let manifests = wire.manifests, wire.layers == nil else {
            throw OCIError(.invalidDocument, "not an image index: it must have manifests and no layers")
        }
        self.init(
            mediaType: wire.mediaType ?? .ociIndex,
            manifests: manifests,
            annotations: wire.annotations ?? [:]
        )
        otherMembers = wire.otherMembers
    }

    public func encoded() -> [UInt8] {
        encodeDocument(
            WireDocument(
                schemaVersion: 2,
                mediaType: mediaType,
                manifests: manifests,
                annotations: annotations.isEmpty ? nil : annotations,
                otherMembers: otherMembers
            )
        )
    }

    /// The manifest that suits `platform` best; nil when none runs there. Attestations (platform `unknown`) never match.
    public func manifest(for platform: Platform) -> Descriptor? {
        var best: (Descriptor, Int)?
        for manifest in manifests where manifest.annotations?["vnd.docker.reference.type"] == nil {
            guard let offered = manifest.platform else { continue }
            guard platform.accepts(offered) else { continue }
            let preference = platform.preference(for: offered)
            if best.map({ preference > $0.1 }) ?? true { best = (manifest, preference) }
        }
        if best == nil, manifests.count == 1, manifests[0].platform == nil,
            manifests[0].annotations?["vnd.docker.reference.type"] == nil
        {
            return manifests[0]
        }
        return best?.0
    }
}

/// The members of both, so that a document that claims to be both is noticed.
private struct WireDocument: Codable {
    var schemaVersion: Int
    var mediaType: MediaType?
    var config: Descriptor?
    var layers: [Descriptor]?
    var manifests: [Descriptor]?
    var annotations: [String: String]?
    var otherMembers: [String: JSONValue] = [:]

    private enum CodingKeys: String, CodingKey, CaseIterable {
        case schemaVersion, mediaType, config, layers, manifests, annotations
    }

    init(
        schemaVersion: Int,
        mediaType: MediaType?,
        config: Descriptor? = nil,
        layers: [Descriptor]? = nil,
        manifests: [Descriptor]? = nil,
        annotations: [String: String]?,
        otherMembers: [String: JSONValue]
    ) {
        self.schemaVersion = schemaVersion
        self.mediaType = mediaType
        self.config = config
        self.layers = layers
        self.manifests = manifests
        self.annotations = annotations
        self.otherMembers = otherMembers
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        schemaVersion = try container.decode(Int.self, forKey: .schemaVersion)
        mediaType = try container.decodeIfPresent(MediaType.self, forKey: .mediaType)
        config = try container.decodeIfPresent(Descriptor.self, forKey: .config)
        layers = try container.decodeIfPresent([Descriptor].self, forKey: .layers)
        manifests = try container.decodeIfPresent([Descriptor].self, forKey: .manifests)
        annotations = try container.decodeIfPresent([String: String].self, forKey: .annotations)
        otherMembers = try decoder.members(except: CodingKeys.allCases.map(\.rawValue))
    }

    func encode(to encoder: any Encoder) throws {
        try encoder.encodeMembers(otherMembers)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(schemaVersion, forKey: .schemaVersion)
        try container.encodeIfPresent(mediaType, forKey: .mediaType)
        try container.encodeIfPresent(config, forKey: .config)
        try container.encodeIfPresent(layers, forKey: .layers)
        try container.encodeIfPresent(manifests, forKey: .manifests)
        try container.encodeIfPresent(annotations, forKey: .annotations)
    }
}

func decodeDocument<T: Decodable>(_ type: T.Type, _ bytes: [UInt8]) throws(OCIError) -> T {
    do {
        return try JSONDecoder().decode(type, from: Data(bytes))
    } catch let error as OCIError {
        throw error
    } catch {
        throw OCIError(.invalidDocument, "not a valid \(T.self) document: \(error)")
    }
}

func encodeDocument(_ value: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(value) else { preconditionFailure("a document holds a non-finite number") }
    return Array(data)
}
