// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
public import LinuxSystem
public import OCI

/// Checks an exported image from its bytes alone: digests, sizes, diffIDs, config against layers and history, types.
public struct ImageValidator {
    /// What is wrong, in words.
    public struct Fault: Error, CustomStringConvertible { public let description: String }

    /// What a valid image is.
    public struct Report: Sendable {
        public var manifest: Manifest
        public var manifestDigest: Digest
        public var config: ImageConfig
        public var names: [String]
    }

    private let load: (Digest) throws -> [UInt8]

    /// - Parameter load: the bytes stored under a digest.
    public init(load: @escaping (Digest) throws -> [UInt8]) { self.load = load }

    /// Checks every image of an unpacked OCI layout, and Docker's list when there is one.
    public static func validate(layout: RawPath) throws -> [Report] {
        let validator = ImageValidator { digest in
            try readFile(layout.appending("blobs/\(digest.algorithm.rawValue)/\(digest.hex)"), limit: 1 << 31)
        }
        let marker = try JSONValue(parsing: readFile(layout.appending("oci-layout")))
        try require(marker["imageLayoutVersion"] == "1.0.0", "oci-layout has the version \(marker)")
        let index = try Index(parsing: readFile(layout.appending("index.json")))
        try require(!index.manifests.isEmpty, "the index is empty")
        let reports = try index.manifests.flatMap { entry in
            try validator.manifests(of: entry).map { manifest in
                var report = try validator.validate(manifest)
                report.names = entry.annotations?["io.containerd.image.name"].map { [$0] } ?? []
                return report
            }
        }
        guard let docker = try? readFile(layout.appending("manifest.json")) else { return reports }
        for entry in try JSONValue(parsing: docker).arrayValue ?? [] {
            let paths = (entry["Layers"]?.arrayValue ?? []).compactMap(\.stringValue)
            let config = entry["Config"]?.stringValue ?? ""
            guard let report = reports.first(where: { "blobs/sha256/\($0.manifest.config.digest.hex)" == config })
            else {
                throw Fault(description: "manifest.json has the config \(config), which no manifest has")
            }
            let expected = report.manifest.layers.map { "blobs/sha256/\($0.digest.hex)" }
            try require(paths == expected, "manifest.json has other layers than the manifest")
            let tags = (entry["RepoTags"]?.arrayValue ?? []).compactMap(\.stringValue)
            let names = reports.filter { $0.manifestDigest == report.manifestDigest }.flatMap(\.names)
            let full = try tags.map { try Reference($0).description }
            try require(full.sorted() == names.sorted(), "manifest.json has the tags \(tags), the index \(names)")
        }
        return reports
    }

    /// The entry itself, or what the index that it names holds: each with a platform of its own.
    private func manifests(of entry: Descriptor) throws -> [Descriptor] {
        guard entry.mediaType.isIndex else { return [entry] }
        let index = try Index(parsing: bytes(entry))
        try Self.require(index.mediaType == entry.mediaType, "the index \(entry.digest) has another type")
        let platforms = index.manifests.compactMap(\.platform)
        try Self.require(
            platforms.count == index.manifests.count && Set(platforms).count == platforms.count,
            "the platforms of the index \(entry.digest) are \(platforms)"
        )
        return index.manifests
    }

    /// Checks the image that a manifest descriptor names.
    public func validate(_ descriptor: Descriptor) throws -> Report {
        let manifest = try Manifest(parsing: bytes(descriptor))
        try Self.require(manifest.mediaType == descriptor.mediaType, "the manifest says it is \(manifest.mediaType)")
        let isDocker = manifest.mediaType.isDocker
        let configType: MediaType = isDocker ? .dockerConfig : .ociConfig
        try Self.require(manifest.config.mediaType == configType, "the config is \(manifest.config.mediaType)")
        let config = try ImageConfig(parsing: bytes(manifest.config))
        try Self.require(config.diffIDs.count == manifest.layers.count, "the config names another number of layers")
        for (diffID, layer) in zip(config.diffIDs, manifest.layers) {
            guard let compression = layer.mediaType.layerCompression else {
                throw Fault(description: "the layer type \(layer.mediaType) is unknown")
            }
            try Self.require(layer.mediaType.isDocker == isDocker, "the layer is \(layer.mediaType)")
            let found = try Self.diffID(bytes(layer), compression)
            try Self.require(found == diffID, "layer \(layer.digest) has the diffID \(found), not \(diffID)")
        }
        let steps = config.history.filter { !$0.emptyLayer }.count
        try Self.require(
            config.history.isEmpty || steps == manifest.layers.count,
            "the history has \(steps) steps with layers, the manifest \(manifest.layers.count) layers"
        )
        return Report(manifest: manifest, manifestDigest: descriptor.digest, config: config, names: [])
    }

    private func bytes(_ descriptor: Descriptor) throws -> [UInt8] {
        let bytes = try load(descriptor.digest)
        try Self.require(Int64(bytes.count) == descriptor.size, "\(descriptor.digest) has \(bytes.count) bytes")
        try Self.require(Digest.sha256(bytes) == descriptor.digest, "\(descriptor.digest) has another content")
        return bytes
    }

    private static func diffID(_ bytes: [UInt8], _ compression: MediaType.Compression) throws -> DiffID {
        final class Hash {
            var hasher = Digest.Hasher()
        }
        let hash = Hash()
        let decompressor = try Decompressor(layer: compression) { hash.hasher.update($0) }
        try bytes.withUnsafeBytes { try decompressor.write($0) }
        try decompressor.finish()
        return DiffID(hash.hasher.finalize())
    }

    private static func require(_ condition: Bool, _ fault: @autoclosure () -> String) throws {
        if !condition { throw Fault(description: fault()) }
    }
}
