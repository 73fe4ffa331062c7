// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildOps
import Content
import LinuxSystem
import OCI
import Snapshots

extension Engine {
    /// Removes what nothing needs: layers that neither a named image nor the build cache uses, and blobs of no image.
    ///
    /// What another process that runs now has made or looked up stays.
    /// - Parameter all: the build cache too, with the directories of cache mounts that no step uses now, and base images
    ///   that builds pulled by themselves.
    public func prune(all: Bool) async throws -> PruneReport {
        let store = store
        return try await blocking { try Pruning(store: store, all: all).run() }
    }
}

/// One prune. Blocks.
private struct Pruning {
    let store: Store
    let all: Bool

    func run() throws -> PruneReport {
        var report = PruneReport(layers: 0, blobs: 0, cacheRecords: 0, reclaimed: 0)
        // Whatever was used since the oldest process that still runs began may be part of its build.
        let cutoff = try store.root.oldestLiveOwner().map { $0 - 1 } ?? FileTime.now.seconds
        for record in try store.images.all()
        where record.reference.isUnnamed || all && record.isImplicit {
            _ = try store.images.remove(record.reference)
        }
        var layers = Set<SnapshotID>()
        var blobs = Set<Digest>()
        for record in try store.images.all() {
            for image in [record] + record.variants.map(record.variant) { try keep(image, &layers, &blobs) }
        }
        let cache = store.cacheIndex
        if all {
            report.cacheRecords = try cache.removeAll()
            try removeGitMirrors(in: store.root)
            for mount in try CacheMounts(store.root).removeUnused() {
                report.cacheMounts.append(mount.id)
                report.reclaimed += mount.size
            }
        } else {
            for payload in try cache.payloads() { layers.formUnion(Store.layers(of: payload) ?? []) }
        }
        try removeLayers(except: layers, cutoff, &report)
        for blob in try store.content.all() where !blobs.contains(blob.digest) && blob.modified <= cutoff {
            try store.content.remove(blob.digest)
            report.blobs += 1
            report.reclaimed += blob.size
        }
        return report
    }

    /// What an image needs: its documents, its layers' trees, and the blobs they came as.
    private func keep(_ record: ImageRecord, _ layers: inout Set<SnapshotID>, _ blobs: inout Set<Digest>) throws {
        blobs.insert(record.config)
        if let manifest = record.manifest { blobs.insert(manifest.digest) }
        if let digest = record.repositoryDigest { blobs.insert(digest) }
        guard let bytes = try store.content.load(record.config) else { return }
        let diffIDs = try ImageConfig(parsing: bytes).diffIDs
        layers.formUnion(try store.snapshots.snapshots(for: diffIDs).compactMap { $0 })
        for diffID in diffIDs { blobs.formUnion(try store.images.layerBlobs(diffID).map(\.digest)) }
    }

    private func removeLayers(
        except kept: Set<SnapshotID>,
        _ cutoff: Int64,
        _ report: inout PruneReport
    ) throws {
        let doomed = try store.snapshots.all().filter { !kept.contains($0.id) }
        let sizes = Dictionary(doomed.map { ($0.id, $0.size ?? 0) }, uniquingKeysWith: { first, _ in first })
        let removed = try store.snapshots.remove(doomed.map(\.id), unusedSince: cutoff)
        report.layers = removed.count
        report.reclaimed += removed.reduce(0) { $0 + (sizes[$1] ?? 0) }
    }
}
