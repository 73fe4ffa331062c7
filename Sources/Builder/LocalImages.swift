// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import OCI
import Snapshots

/// Finds images of the local store by what users write: a name, a digest, an id or the start of one.
struct LocalImages {
    let store: Store

    /// The image's record and, when several names have it, the one that was asked for. Nil when there is none.
    func find(_ text: String) throws -> ImageRecord? {
        let name = text.hasPrefix("sha256:") ? String(text.dropFirst(7)) : text
        let isHex = name.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        if !text.hasPrefix("sha256:"), let reference = try? Reference(text),
            let record = try store.images.find(reference)
        {
            return record
        }
        guard isHex, (1...64).contains(name.utf8.count) else {
            _ = try Reference(text)
            return nil
        }
        let matches = try store.images.find(idPrefix: name)
        guard Set(matches.map(\.config)).count <= 1 else {
            throw BuilderError(
                .ambiguous,
                "several images have an id that starts with \(name)",
                nextStep: "give more digits of the id"
            )
        }
        return matches.first
    }

    func get(_ text: String) throws -> ImageRecord {
        guard let record = try find(text) else {
            throw BuilderError(
                .notFound,
                "No such image: \(text)",
                nextStep: "galley images lists the images of the local store"
            )
        }
        return record
    }

    /// The image's config. From now on no prune takes its documents, nor those of its layers that are here, from this
    /// process.
    func pinnedConfig(_ record: ImageRecord) throws -> ImageConfig {
        for digest in [record.config, record.manifest?.digest].compactMap({ $0 }) { _ = try store.content.use(digest) }
        let config = try config(record)
        _ = try store.snapshots.use(store.snapshots.snapshots(for: config.diffIDs).compactMap { $0 })
        return config
    }

    func config(_ record: ImageRecord) throws -> ImageConfig {
        guard let bytes = try store.content.load(record.config) else {
            throw BuilderError(
                .notFound,
                "the config of \(record.reference.familiar) is gone from the store",
                nextStep: "pull or build the image again"
            )
        }
        return try ImageConfig(parsing: bytes)
    }
}

extension Reference {
    /// What an image without a name is recorded under. No registry can have the name, and no list shows it.
    static func unnamed(_ config: Digest) -> Reference {
        Reference(domain: unnamedDomain, path: "image", digest: config)
    }

    private static let unnamedDomain = "unnamed.invalid"

    var isUnnamed: Bool { domain == Self.unnamedDomain }
}
