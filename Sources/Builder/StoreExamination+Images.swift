// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import LinuxSystem
import OCI
import Snapshots

/// Names of images, and whether what they stand for is there.
extension StoreExamination {
    private enum Condition {
        case sound
        /// It can no longer be used.
        case lost(String)
        /// It can be used once more when it was fetched again, with the layer whose archive alone is gone.
        case incomplete(String, SnapshotID?)
        /// It can be used, but the archives that it came as are gone and cannot be made again.
        case unarchived(String)
    }

    mutating func examineImages(_ store: Store) throws {
        let images = store.images
        for row in try images.unreadable() {
            try find(
                "image \(row.name)",
                "its record is damaged",
                "removed the name",
                advice: "build or pull the image again"
            ) {
                try images.removeUnreadable(row)
            }
        }
        for record in try images.readable() {
            try cancellation.check()
            if !record.isImplicit { report.counts.images += 1 }
            switch try condition(record, store) {
            case .sound: try examineVariants(record, store)
            case .lost(let problem):
                try find(
                    subject(record),
                    problem,
                    "removed the name",
                    advice: advice(record)
                ) {
                    try images.remove(record.reference, config: record.config)
                }
            case .incomplete(let problem, let layer):
                if let layer { unsoundLayers.insert(layer) }
                try find(
                    subject(record),
                    problem,
                    "kept the name: what is missing is fetched again when it is needed",
                    advice: record.isImplicit ? nil : "or fetch it now: galley pull \(record.reference.familiar)"
                ) {
                    if let layer { try store.snapshots.forget([layer]) }
                    // Nothing is unpacked of an image without a size.
                    try Self.update(record, images) { $0.size = 0 }
                }
            case .unarchived(let problem):
                try find(
                    subject(record),
                    problem,
                    "kept the name: the image can be run and built upon, but not pushed or saved",
                    advice: "load or build it again to push it"
                ) {
                    try Self.update(record, images) { $0.manifest = nil }
                }
            }
        }
    }

    private mutating func examineVariants(_ record: ImageRecord, _ store: Store) throws {
        let images = store.images
        for variant in record.variants {
            guard case .lost(let problem) = try condition(record.variant(variant), store) else { continue }
            try find(
                "\(subject(record)) for \(variant.platform)",
                problem,
                "the name no longer stands for it",
                advice: advice(record)
            ) {
                try Self.update(record, images) { $0.variants.removeAll { $0.config == variant.config } }
            }
        }
    }

    /// Changes a record unless somebody has moved the name meanwhile.
    private static func update(_ record: ImageRecord, _ images: ImageStore, _ change: (inout ImageRecord) -> Void)
        throws
    {
        guard var current = try images.find(record.reference), current.config == record.config else { return }
        change(&current)
        try images.set(current)
    }

    private func subject(_ record: ImageRecord) -> String {
        record.reference.isUnnamed ? "image \(record.config.short)" : "image \(record.reference.familiar)"
    }

    private func advice(_ record: ImageRecord) -> String {
        if record.reference.isUnnamed { return "build it again" }
        return record.repositoryDigest == nil
            ? "build it again" : "build it again, or pull it: galley pull \(record.reference.familiar)"
    }

    private func condition(_ image: ImageRecord, _ store: Store) throws -> Condition {
        guard let config = try store.config(image.config) else { return .lost("its config is gone") }
        let diffIDs = config.diffIDs
        let layers = try store.snapshots.snapshots(for: diffIDs).map { id in
            id.flatMap { unsoundLayers.contains($0) ? nil : $0 }
        }
        let isFetchable = image.manifest != nil && image.repositoryDigest != nil
        if let missing = layers.firstIndex(where: { $0 == nil }) {
            let count = layers.count { $0 == nil }
            let problem =
                count == 1
                ? "lost its layer \(missing + 1) of \(layers.count) (\(diffIDs[missing].digest.short))"
                : "lost \(count) of its \(layers.count) layers"
            if isFetchable { return image.size == 0 ? .sound : .incomplete(problem, nil) }
            let absent = zip(diffIDs, layers).filter { $0.1 == nil }.map(\.0)
            return try canUnpack(absent, of: image, store) ? .sound : .lost(problem)
        }
        guard image.manifest != nil else { return .sound }
        // Most archives that others made cannot be made again from the files.
        for (diffID, layer) in zip(diffIDs, layers) where try !hasBlob(diffID, store) {
            guard let layer, try store.snapshots.archivedDiffID(of: layer, cancellation.check) != diffID else {
                continue
            }
            let problem = "lost the archive of a layer (\(diffID.digest.short))"
            return isFetchable ? .incomplete(problem, layer) : .unarchived(problem)
        }
        return .sound
    }

    private func hasBlob(_ diffID: DiffID, _ store: Store) throws -> Bool {
        try store.images.layerBlobs(diffID).contains { store.content.contains($0.digest) }
    }

    /// Whether the next use unpacks the layers from blobs that are here.
    private func canUnpack(_ diffIDs: [DiffID], of image: ImageRecord, _ store: Store) throws -> Bool {
        guard let manifest = image.manifest, try store.document(manifest.digest) != nil else { return false }
        return try diffIDs.allSatisfy { try hasBlob($0, store) }
    }
}
