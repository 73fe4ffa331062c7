// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import OCI

/// An image that an archive holds, with everything but its layers' content checked.
struct CatalogueImage: Sendable {
    var configDigest: Digest
    var diffIDs: [DiffID]
    /// Bottom first.
    var layers: [Descriptor]
    var manifest: Descriptor?
    var names: [Reference]
}

/// What images a spooled archive holds.
struct ArchiveCatalogue {
    private let spool: ArchiveSpool

    init(_ spool: ArchiveSpool) { self.spool = spool }

    /// An OCI layout is believed before Docker's list: it has the media types.
    func images(for platform: Platform) throws -> [CatalogueImage] {
        let docker = try spool.read("manifest.json")
        if let index = try spool.read("index.json"), try spool.find("oci-layout") != nil {
            let images = try ociImages(Index(parsing: index), for: platform)
            guard let docker else { return images }
            return merge(images, try dockerImages(docker))
        }
        if let docker { return try dockerImages(docker) }
        if try spool.find("repositories") != nil {
            throw ExportError(.unsupported, "the archive has the format of Docker 1.9, which is not supported")
        }
        throw ExportError(.badArchive, "not an image archive: it has neither manifest.json nor index.json")
    }

    /// Docker's list may know names that the layout leaves out.
    private func merge(_ images: [CatalogueImage], _ docker: [CatalogueImage]) -> [CatalogueImage] {
        var images = images
        for other in docker {
            guard let index = images.firstIndex(where: { $0.configDigest == other.configDigest }) else {
                images.append(other)
                continue
            }
            for name in other.names where !images[index].names.contains(name) { images[index].names.append(name) }
        }
        return images
    }

    // MARK: OCI

    private func ociImages(_ index: Index, for platform: Platform) throws -> [CatalogueImage] {
        var images: [CatalogueImage] = []
        for entry in index.manifests where entry.annotations?["vnd.docker.reference.type"] == nil {
            guard let manifest = try manifest(entry, for: platform, depth: 0) else { continue }
            let names = try Self.names(entry)
            if let known = images.firstIndex(where: { $0.manifest?.digest == manifest.digest }) {
                images[known].names += names.filter { !images[known].names.contains($0) }
            } else {
                images.append(try ociImage(manifest, names))
            }
        }
        guard !images.isEmpty else { throw ExportError(.badArchive, "the archive has no image for \(platform)") }
        return images
    }

    private func manifest(_ entry: Descriptor, for platform: Platform, depth: Int) throws -> Descriptor? {
        guard depth < 8 else { throw ExportError(.badArchive, "the archive's index leads through too many indexes") }
        guard entry.mediaType.isIndex else { return entry }
        let inner = try Index(parsing: document(entry))
        return try inner.manifest(for: platform).flatMap { try manifest($0, for: platform, depth: depth + 1) }
    }

    private func ociImage(_ descriptor: Descriptor, _ names: [Reference]) throws -> CatalogueImage {
        let manifest = try Manifest(parsing: document(descriptor))
        let config = try ImageConfig(parsing: document(manifest.config))
        for layer in manifest.layers { _ = try file(layer) }
        return try image(config, manifest.config.digest, manifest.layers, descriptor, names)
    }

    private static func names(_ entry: Descriptor) throws -> [Reference] {
        if let name = entry.annotations?["io.containerd.image.name"] { return [try Reference(name).withDefaultTag] }
        // skopeo and others write whole names here; a tag alone names nothing.
        guard let text = entry.annotations?["org.opencontainers.image.ref.name"],
            text.contains(":") || text.contains("/"), let name = try? Reference(text)
        else { return [] }
        return [name.withDefaultTag]
    }

    private func document(_ descriptor: Descriptor) throws -> [UInt8] {
        _ = try file(descriptor)
        guard let bytes = try spool.read(Self.path(descriptor.digest)) else { throw Self.missing(descriptor.digest) }
        return bytes
    }

    /// The file that a descriptor names, whose content has that digest and size.
    private func file(_ descriptor: Descriptor) throws -> ArchiveSpool.File {
        guard let file = try spool.find(Self.path(descriptor.digest)) else { throw Self.missing(descriptor.digest) }
        guard descriptor.digest.algorithm == .sha256 else {
            throw ExportError(.unsupported, "blob \(descriptor.digest): only sha256 digests can be loaded")
        }
        guard file.descriptor.digest == descriptor.digest else {
            throw ExportError(
                .badArchive,
                "the file of blob \(descriptor.digest) has the digest \(file.descriptor.digest)"
            )
        }
        guard file.descriptor.size == descriptor.size else {
            throw ExportError(
                .badArchive,
                "blob \(descriptor.digest) has \(file.descriptor.size) bytes where \(descriptor.size) are announced"
            )
        }
        return file
    }

    private static func path(_ digest: Digest) -> RawPath {
        RawPath("blobs/\(digest.algorithm.rawValue)/\(digest.hex)")
    }

    private static func missing(_ digest: Digest) -> ExportError {
        ExportError(.badArchive, "the archive lacks blob \(digest)")
    }

    // MARK: Docker

    private func dockerImages(_ list: [UInt8]) throws -> [CatalogueImage] {
        guard let entries = try JSONValue(parsing: list).arrayValue, !entries.isEmpty else {
            throw ExportError(.badArchive, "the archive's manifest.json lists no image")
        }
        return try entries.map(dockerImage)
    }

    private func dockerImage(_ entry: JSONValue) throws -> CatalogueImage {
        guard let configPath = entry["Config"]?.stringValue, let layerPaths = entry["Layers"]?.arrayValue else {
            throw ExportError(.badArchive, "an image of the archive's manifest.json has no Config or no Layers")
        }
        let configFile = try dockerFile(configPath)
        guard let bytes = try spool.read(RawPath(configPath)) else { throw Self.missing(configFile.descriptor.digest) }
        let layers = try layerPaths.map { value in
            guard let path = value.stringValue else {
                throw ExportError(.badArchive, "the archive's manifest.json has a layer that is not a string")
            }
            let file = try dockerFile(path)
            return Descriptor(
                mediaType: try Self.layerType(file, path),
                digest: file.descriptor.digest,
                size: file.descriptor.size
            )
        }
        let names = try (entry["RepoTags"]?.arrayValue ?? []).compactMap(\.stringValue).map {
            try Reference($0).withDefaultTag
        }
        return try image(ImageConfig(parsing: bytes), configFile.descriptor.digest, layers, nil, names)
    }

    private func dockerFile(_ path: String) throws -> ArchiveSpool.File {
        guard let file = try spool.find(RawPath(path)) else {
            throw ExportError(.badArchive, "the archive lacks \"\(path)\"")
        }
        // Names that are digests must be true.
        let name = RawPath(path).lastComponent?.description ?? ""
        let stem = name.hasSuffix(".json") ? String(name.dropLast(5)) : name
        if let digest = try? Digest("sha256:\(stem)"), digest != file.descriptor.digest {
            throw ExportError(.badArchive, "\"\(path)\" has the digest \(file.descriptor.digest)")
        }
        return file
    }

    private static func layerType(_ file: ArchiveSpool.File, _ path: String) throws -> MediaType {
        switch file.compression {
        case .tar: .ociLayer
        case .gzip: .ociLayerGzip
        case .zstd: .ociLayerZstd
        default: throw ExportError(.badArchive, "\"\(path)\" is not a layer that can be read")
        }
    }

    private func image(
        _ config: ImageConfig,
        _ digest: Digest,
        _ layers: [Descriptor],
        _ manifest: Descriptor?,
        _ names: [Reference]
    ) throws -> CatalogueImage {
        let diffIDs = config.diffIDs
        guard diffIDs.count == layers.count else {
            throw ExportError(
                .badArchive,
                "image \(digest.short) has \(layers.count) layers, but its config names \(diffIDs.count)"
            )
        }
        return CatalogueImage(
            configDigest: digest,
            diffIDs: diffIDs,
            layers: layers,
            manifest: manifest,
            names: names
        )
    }
}
