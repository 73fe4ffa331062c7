// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildOps
import Content
import LinuxSystem
import OCI
import Snapshots

/// What a prune did.
public struct PruneReport: Sendable, Hashable {
    /// What is gone, in the order in which it went.
    public var removed: [UsageRecord] = []
    public var layers = 0
    public var blobs = 0
    public var cacheRecords = 0
    /// Ids of the cache mounts whose directories were removed.
    public var cacheMounts: [String] = []
    /// Bytes of the disk that are free now.
    public var reclaimed: Int64 = 0
}

/// Removes what was chosen. Blocks.
///
/// First what leads to data, then the data, or both at once: whoever is killed in between, or comes in between, finds too
/// little and makes it again, never something that is half there. What another process took into use since the survey
/// stays, with what leads to it.
struct Pruning {
    private let store: Store
    private let survey: StoreSurvey
    private let cancellation: CancellationFlag
    private var report = PruneReport()

    init(_ store: Store, _ survey: StoreSurvey, _ cancellation: CancellationFlag) {
        self.store = store
        self.survey = survey
        self.cancellation = cancellation
    }

    /// Cancelled, it leaves what it did not come to; directories that were taken away but not deleted go with the process.
    mutating func remove(_ chosen: [Int]) throws -> PruneReport {
        try cancellation.check()
        var layers: [SnapshotID] = []
        var mounts: [String] = []
        var mirrors: [String] = []
        var blobs: [Digest] = []
        var records: [String: UsageRecord] = [:]
        for index in chosen {
            let record = survey.records[index]
            switch survey.things[index] {
            case .layer(let id): layers.append(id)
            case .cacheMount(let name): mounts.append(name)
            case .gitMirror(let name): mirrors.append(name)
            case .blob(let digest): blobs.append(digest)
            case .memory(let kind):
                try CacheCatalogue(store.database).forget(kind)
                report.removed.append(record)
            case .database: break
            }
            records[record.id] = record
        }
        try removeLayers(layers, records)
        for (digest, size) in try store.content.remove(blobs, unusedSince: survey.horizon) {
            note(records[digest.description], size)
            report.blobs += 1
        }
        let sizes = MeasuredSizes(store.database)
        for (name, size) in try CacheMounts(store.root).remove(mounts, cancellation) {
            let record = records[String(name.dropFirst("cache-mounts/".count))]
            note(record, size)
            report.cacheMounts.append(String(record?.description.dropFirst("cache mount ".count) ?? ""))
        }
        for (name, size) in try GitMirrors(store.root).remove(mirrors, cancellation) {
            note(records[String(name.dropFirst("git/".count))], size)
        }
        try sizes.forget(mounts + mirrors)
        return report
    }

    private mutating func note(_ record: UsageRecord?, _ size: Int64) {
        report.reclaimed += size
        guard var record else { return }
        record.size = size
        report.removed.append(record)
    }

    private mutating func removeLayers(_ ids: [SnapshotID], _ records: [String: UsageRecord]) throws {
        if ids.isEmpty { return }
        let doomed = Set(ids)
        var results: [SnapshotID: [Int64]] = [:]
        var damaged: [Int64] = []
        for result in survey.results {
            guard let layers = Store.layers(of: result.payload) else {
                damaged.append(result.id)
                continue
            }
            for layer in layers where doomed.contains(layer) { results[layer, default: []].append(result.id) }
        }
        report.cacheRecords += try CacheCatalogue(store.database).remove(damaged)
        for image in survey.unnamed where !image.layers.isDisjoint(with: doomed) {
            _ = try store.images.removeImplicit(image.record, setBefore: survey.horizon)
        }
        var count = 0
        let removed = try store.snapshots.removeUnused(
            ids,
            before: survey.horizon,
            cancellation
        ) { layers, transaction in
            count += try CacheCatalogue.remove(Set(layers.flatMap { results[$0, default: []] }), transaction)
        }
        report.cacheRecords += count
        report.layers += removed.count
        let gone = Set(removed)
        // An archive goes with the last of the layers that it carries.
        var archives: [SnapshotID: [Digest]] = [:]
        for (digest, carried) in survey.archives where gone.isSuperset(of: carried) {
            archives[carried[0], default: []].append(digest)
        }
        let freed = Dictionary(
            try store.content.remove(archives.values.flatMap { $0 }, unusedSince: survey.horizon),
            uniquingKeysWith: { first, _ in first }
        )
        report.blobs += freed.count
        for id in removed {
            let record = records[id.description]
            let blobs = archives[id, default: []].reduce(0) { $0 + (freed[$1] ?? 0) }
            note(record, (survey.trees[id] ?? 0) + blobs)
        }
    }
}
