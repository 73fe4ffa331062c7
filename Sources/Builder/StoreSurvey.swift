// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildOps
import Content
import LinuxSystem
import OCI
import Snapshots

/// Everything that takes space, at one moment, and what it is needed for.
struct StoreSurvey {
    /// What a record stands for.
    enum Thing {
        case layer(SnapshotID)
        case cacheMount(String)
        case gitMirror(String)
        case memory(CacheCatalogue.Memory.Kind)
        case blob(Digest)
        /// Removed as a part of others.
        case database
    }

    /// What no image and no process used after this may go: nanoseconds since 1970.
    let horizon: Int64
    let disk: FileSystemSpace
    private(set) var records: [UsageRecord] = []
    /// One a record.
    private(set) var things: [Thing] = []
    let results: [CacheCatalogue.Record]
    /// Images without a name that a user gave, with their layers.
    private(set) var unnamed: [(record: ImageRecord, layers: Set<SnapshotID>)] = []
    /// Blobs that carry layers of the store, and the layers that each carries.
    private(set) var archives: [Digest: [SnapshotID]] = [:]
    /// Bytes on disk of the layers' trees alone.
    private(set) var trees: [SnapshotID: Int64] = [:]

    /// Looks at everything. Blocks.
    init(_ store: Store, _ cancellation: CancellationFlag) throws {
        // Before all else: what is used from now on has a later stamp.
        horizon = try store.root.pruneHorizon()
        if try store.root.oldestLiveOwner() == nil { try store.snapshots.clampStamps(to: FileTime.now.sinceEpoch) }
        disk = try FileSystemSpace(of: store.root.path)
        try store.snapshots.measure(cancellation)
        let catalogue = CacheCatalogue(store.database)
        results = try catalogue.records()
        let needs = try ImageNeeds(store, horizon)
        unnamed = needs.unnamed
        let blobs = try store.content.all()
        let layers = try store.snapshots.all()
        addLayers(layers, needs, blobs: blobs, carried: try store.images.allLayerBlobs())
        for blob in blobs where archives[blob.digest] == nil && !needs.blobs.contains(blob.digest) {
            let record = UsageRecord(
                id: blob.digest.description,
                kind: .internal,
                description: "blob of no image",
                lastUsed: blob.used,
                size: blob.diskSize,
                isInUse: blob.used > horizon,
                isDangling: true
            )
            add(record, .blob(blob.digest))
        }
        try cancellation.check()
        let sizes = MeasuredSizes(store.database)
        for mount in try CacheMounts(store.root).all(sizes) {
            add(mount, .cacheMount, "cache mount \(mount.purpose)", .cacheMount(mount.name))
        }
        for mirror in try GitMirrors(store.root).all(sizes) {
            let address = mirror.purpose.isEmpty ? "" : " \(mirror.purpose)"
            add(mirror, .gitMirror, "mirror of git repository\(address)", .gitMirror(mirror.name))
        }
        try addDatabase(store, catalogue.memories())
    }

    private mutating func add(_ record: UsageRecord, _ thing: Thing) {
        records.append(record)
        things.append(thing)
    }

    private mutating func add(
        _ directory: MutableStore,
        _ kind: UsageRecord.Kind,
        _ description: String,
        _ thing: Thing
    ) {
        let record = UsageRecord(
            id: directory.name.split(separator: "/").last.map(String.init) ?? directory.name,
            kind: kind,
            description: description,
            created: directory.created,
            lastUsed: directory.used,
            uses: directory.uses,
            size: directory.size,
            isMutable: true,
            isInUse: directory.isInUse
        )
        add(record, thing)
    }

    // MARK: Layers

    private mutating func addLayers(
        _ layers: [OverlaySnapshotter.Layer],
        _ needs: ImageNeeds,
        blobs: [ContentStore.Entry],
        carried: [DiffID: [Digest]]
    ) {
        let uses = LayerUses(results, needs)
        let sizes = Dictionary(blobs.map { ($0.digest, $0.diskSize) }, uniquingKeysWith: { first, _ in first })
        for layer in layers {
            var size = layer.disk ?? 0
            trees[layer.id] = size
            for blob in layer.diffID.flatMap({ carried[$0] }) ?? [] {
                guard let bytes = sizes[blob] else { continue }
                // Several layers can be unpacked from one archive; it is counted with the first.
                if archives[blob] == nil { size += bytes }
                archives[blob, default: []].append(layer.id)
            }
            let record = UsageRecord(
                id: layer.id.description,
                kind: .regular,
                parents: uses.parents[layer.id, default: []].sorted().map(\.description),
                description: uses.descriptions[layer.id]?.text ?? "",
                created: layer.created,
                lastUsed: layer.used,
                uses: layer.uses,
                size: size,
                isInUse: layer.used > horizon || needs.released.contains(layer.id),
                isShared: needs.named.contains(layer.id),
                isDangling: !uses.reached.contains(layer.id)
            )
            add(record, .layer(layer.id))
        }
    }

    // MARK: Database

    private mutating func addDatabase(_ store: Store, _ memories: [CacheCatalogue.Memory]) throws {
        var remembered: Int64 = 0
        for memory in memories {
            remembered += memory.size
            let updated = memory.updated.map { FileTime(seconds: $0).sinceEpoch }
            var record = UsageRecord(id: "", kind: .internal, lastUsed: updated, size: memory.size)
            record.isMutable = true
            switch memory.kind {
            case .directory(let path):
                record.id = "context-" + String(Digest.sha256(path).hex.prefix(16))
                record.kind = .local
                record.description = "digests of files below \(path)"
            case .selections:
                record.id = "selections"
                record.description = "digests of selected files of layers"
            case .web:
                record.id = "web"
                record.description = "versions of files from web servers"
            }
            add(record, .memory(memory.kind))
        }
        let rest = UsageRecord(
            id: "galley.db",
            kind: .internal,
            description: "names of images, results of \(results.count) steps",
            size: max(0, try store.databaseSize() - remembered),
            isMutable: true,
            isInUse: true
        )
        add(rest, .database)
    }
}

/// What results and images make of layers.
private struct LayerUses {
    /// Of each layer, those right below it.
    var parents: [SnapshotID: Set<SnapshotID>] = [:]
    /// What made a layer; the result with the fewest layers knows best.
    var descriptions: [SnapshotID: (text: String, depth: Int)] = [:]
    /// Layers that anything leads to.
    var reached: Set<SnapshotID> = []

    init(_ results: [CacheCatalogue.Record], _ needs: ImageNeeds) {
        var seen: Set<[UInt8]> = []
        for result in results {
            guard let stack = Store.layers(of: result.payload), let top = stack.last else { continue }
            if !result.description.isEmpty, stack.count < descriptions[top]?.depth ?? .max {
                descriptions[top] = (result.description, stack.count)
            }
            if seen.insert(result.payload).inserted { add(stack) }
        }
        for (stack, name) in needs.stacks {
            add(stack)
            for layer in stack where descriptions[layer] == nil { descriptions[layer] = ("layer of \(name)", .max) }
        }
    }

    private mutating func add(_ stack: [SnapshotID]) {
        var lower: SnapshotID?
        for layer in stack {
            reached.insert(layer)
            // A layer that is older than one below it was made without it, and can do without it.
            if let lower, lower < layer { parents[layer, default: []].insert(lower) }
            lower = layer
        }
    }
}

/// What images need.
struct ImageNeeds {
    /// Layers of images with names that users gave.
    private(set) var named: Set<SnapshotID> = []
    /// Layers of images that had a name a moment ago.
    private(set) var released: Set<SnapshotID> = []
    /// Documents of all images, and blobs of layers that are not unpacked.
    private(set) var blobs: Set<Digest> = []
    /// The layers of each image, bottom first, with its name.
    private(set) var stacks: [(layers: [SnapshotID], name: String)] = []
    private(set) var unnamed: [(record: ImageRecord, layers: Set<SnapshotID>)] = []

    init(_ store: Store, _ horizon: Int64) throws {
        // Names that go while this reads are found among the released ones.
        for record in try store.images.all() {
            var layers: Set<SnapshotID> = []
            for image in [record] + record.variants.map(record.variant) {
                blobs.formUnion([image.config, image.manifest?.digest, image.repositoryDigest].compactMap { $0 })
                let stack = try stack(image.config, store)
                stacks.append(
                    (stack, record.reference.isUnnamed ? "an image without a name" : record.reference.familiar)
                )
                layers.formUnion(stack)
            }
            if record.isImplicit { unnamed.append((record, layers)) } else { named.formUnion(layers) }
        }
        for image in try store.images.released(after: horizon) {
            blobs.formUnion([image.config] + image.documents)
            released.formUnion(try stack(image.config, store))
        }
    }

    /// The layers of an image that are in the store.
    private mutating func stack(_ config: Digest, _ store: Store) throws -> [SnapshotID] {
        guard let bytes = try? store.content.load(config), let diffIDs = try? ImageConfig(parsing: bytes).diffIDs else {
            return []
        }
        let layers = try store.snapshots.snapshots(for: diffIDs)
        for (diffID, layer) in zip(diffIDs, layers) where layer == nil {
            blobs.formUnion(try store.images.layerBlobs(diffID).map(\.digest))
        }
        return layers.compactMap { $0 }
    }
}

extension Store {
    /// Bytes on disk of the database with its journal.
    func databaseSize() throws -> Int64 {
        try ["galley.db", "galley.db-wal", "galley.db-shm"].reduce(0) { sum, name in
            let status = try statusIfPresent(at: workingDirectory, root.path.appending(RawPath(name)))
            return sum + (status?.blocks ?? 0) * 512
        }
    }
}
