// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import Content
import LinuxSystem
import OCI
import Snapshots

/// Blobs, layers and what the build cache remembers of them.
extension StoreExamination {
    /// Blobs up to this size are always read: manifests and configs, which decide what an image is.
    private static let alwaysRead: Int64 = 1 << 20

    /// The blobs that are not what their names say.
    mutating func examineBlobs(_ store: Store) throws -> Set<Digest> {
        let sizes = Dictionary(
            try store.images.knownLayerBlobs().map { ($0.digest, $0.size) },
            uniquingKeysWith: { first, _ in first }
        )
        var damaged: Set<Digest> = []
        let directory = try open(store.content.directory, [.directory])
        for entry in try readDirectory(directory.raw).sorted(by: { $0.name < $1.name }) {
            try cancellation.check()
            guard let status = try statusIfPresent(at: directory.raw, entry.name) else { continue }
            guard let digest = try? Digest("sha256:\(entry.name)"), status.kind == .regular else {
                try find("blobs/sha256/\(entry.name)", "it is no blob", "removed it") {
                    try removeTree(at: directory.raw, entry.name)
                }
                continue
            }
            guard let blob = try openBlob(digest, in: store) else { continue }
            report.counts.blobs += 1
            let size = try LinuxSystem.status(of: blob.raw).size
            let problem: String?
            if let stored = sizes[digest], stored != size {
                problem = "it has \(size) bytes, but was stored with \(stored)"
            } else if options.isDeep || size <= Self.alwaysRead {
                problem = try isIntact(digest, blob) ? nil : "its content is not what it was stored with"
            } else {
                problem = nil
            }
            guard let problem else { continue }
            damaged.insert(digest)
            try find("blob \(digest)", problem, "removed it") {
                try store.content.remove(digest, ifStill: blob.raw)
            }
        }
        return damaged
    }

    /// Nil for one that somebody removed meanwhile.
    private func openBlob(_ digest: Digest, in store: Store) throws -> SharedFD? {
        do throws(SystemError) {
            return try open(store.content.path(of: digest), [.readOnly, .noFollow]).shared()
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
    }

    private func isIntact(_ digest: Digest, _ blob: SharedFD) throws -> Bool {
        var hasher = Digest.Hasher()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        while true {
            try cancellation.check()
            let count: Int
            do throws(SystemError) {
                count = try readBytes(blob.raw, into: buffer)
            } catch {
                // The disk itself cannot read it.
                return false
            }
            if count == 0 { return hasher.finalize() == digest }
            hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }

    // MARK: Layers

    mutating func examineLayers(_ store: Store, damagedBlobs: Set<Digest>) throws {
        let snapshots = store.snapshots
        if isRebuilt { try adoptLayers(store) }
        let unrecorded = try snapshots.unrecorded()
        // Those who use a layer that was forgotten still read its directory.
        let isAlone = try store.root.oldestLiveOwner() == nil
        if !unrecorded.isEmpty {
            let names = unrecorded.prefix(5).map(\.description).joined(separator: ", ")
            try find(
                "snapshots",
                "\(unrecorded.count) directories belong to no layer: \(names)\(unrecorded.count > 5 ? ", ..." : "")",
                "removed them",
                advice: isAlone ? nil : "they stay while other galley processes run: run galley doctor again later",
                repair: isAlone ? {} : nil
            )
        }
        var proof = LayerProof(store: store, damagedBlobs: damagedBlobs, cancellation: cancellation)
        if options.isDeep || isRebuilt { try proof.findStacks() }
        var wasAltered = false
        for layer in try snapshots.records() {
            report.counts.layers += 1
            var condition = try snapshots.examine(layer, cancellation.check)
            if condition == .sound, options.isDeep || isRebuilt {
                switch try proof.check(layer) {
                case .proved: if !layer.isMarked, options.repairs { try snapshots.mark(layer.id) }
                case .disproved: condition = .altered("its files are not what its digest was made of")
                case .unknown:
                    // Of a salvaged row nothing is believed; of a sound database's there is no reason for doubt.
                    if isRebuilt {
                        try snapshots.forget([layer.id])
                        unsoundLayers.insert(layer.id)
                    } else {
                        report.counts.unverifiedLayers += 1
                    }
                }
            }
            let problem: String
            switch condition {
            case .sound: continue
            case .missing: problem = "its directory is gone"
            case .incomplete: problem = "the machine went down before all of it was on disk"
            case .altered(let text):
                problem = text
                wasAltered = true
            }
            unsoundLayers.insert(layer.id)
            try find("layer \(layer.id)", problem, "forgot it: what needs it is built or pulled again") {
                try snapshots.forget([layer.id])
            }
        }
        if wasAltered { try emptyCache(store) }
        if try snapshots.danglingChains() > unsoundLayers.count {
            try find("galley.db", "names of layers that are gone", "removed them") {
                try snapshots.removeDanglingChains()
            }
        }
    }

    /// Finds the layers of the images whose names were saved among the directories that the new database does not know:
    /// a directory whose archive has the digest that an image's config names is that layer.
    private func adoptLayers(_ store: Store) throws {
        var wanted: Set<DiffID> = []
        let configs = try store.images.readable().flatMap { record in
            try ([record] + record.variants.map(record.variant)).compactMap { try store.config($0.config)?.diffIDs }
        }
        for diffIDs in configs { wanted.formUnion(diffIDs) }
        let snapshots = store.snapshots
        var proved: [DiffID: SnapshotID] = [:]
        for layer in try snapshots.records() {
            guard let diffID = layer.diffID, wanted.contains(diffID), proved[diffID] == nil else { continue }
            let found = try? snapshots.archivedDiffID(of: layer.id, cancellation.check)
            if found == diffID { proved[diffID] = layer.id }
        }
        for name in try snapshots.unrecorded() {
            try cancellation.check()
            guard let id = Int64(name.description).map(SnapshotID.init) else { continue }
            guard let diffID = try? snapshots.archivedDiffID(of: id, cancellation.check) else { continue }
            guard wanted.contains(diffID), proved[diffID] == nil else { continue }
            try snapshots.adopt(id, diffID)
            proved[diffID] = id
        }
        for diffIDs in configs {
            for (chain, diffID) in zip(ChainID.chain(diffIDs), diffIDs) {
                guard let id = proved[diffID] else { continue }
                try snapshots.setChain(chain, diffID, id)
            }
        }
    }

    /// A step that read an altered layer has a wrong result, which nothing tells from a right one.
    private mutating func emptyCache(_ store: Store) throws {
        try find(
            "build cache",
            "its results may have been made with layers that were altered",
            "emptied it",
            advice: "images that were built since somebody altered the layers may be wrong: build them again"
        ) {
            try CacheExamination(store.database).removeAll()
        }
    }

    /// Deletes the directories of all that was forgotten, when nobody can be reading them.
    func removeForgotten(_ store: Store) throws {
        guard options.repairs, try store.root.oldestLiveOwner() == nil else { return }
        try store.snapshots.removeUnrecorded()
    }

    mutating func examineCache(_ store: Store) throws {
        let cache = CacheExamination(store.database)
        report.counts.cacheRecords = try cache.count()
        let present = Set(try store.snapshots.records().map(\.id)).subtracting(unsoundLayers)
        let unsound = try cache.unsound { payload in Store.layers(of: payload).map(present.isSuperset) ?? false }
        guard !unsound.isEmpty else { return }
        try find(
            "build cache",
            "\(unsound.count) records are damaged or lead to layers that are gone",
            "removed them: their steps run again"
        ) {
            try cache.remove(unsound)
        }
    }
}

/// Compares layers with the digests that are known of them.
struct LayerProof {
    enum Verdict { case proved, disproved, unknown }

    let store: Store
    let damagedBlobs: Set<Digest>
    let cancellation: CancellationFlag
    /// What lies below each layer in some image.
    private var stacks: [SnapshotID: [SnapshotID]] = [:]

    init(store: Store, damagedBlobs: Set<Digest>, cancellation: CancellationFlag) {
        self.store = store
        self.damagedBlobs = damagedBlobs
        self.cancellation = cancellation
    }

    mutating func findStacks() throws {
        for record in try store.images.readable() {
            for image in [record] + record.variants.map(record.variant) {
                guard let config = try? store.config(image.config) else { continue }
                let layers = try store.snapshots.snapshots(for: config.diffIDs).prefix { $0 != nil }.compactMap { $0 }
                for (index, layer) in layers.enumerated() { stacks[layer] = Array(layers[..<index]) }
            }
        }
    }

    func check(_ layer: StoredLayer) throws -> Verdict {
        guard let diffID = layer.diffID else { return .unknown }
        let found: DiffID
        do {
            found = try store.snapshots.archivedDiffID(of: layer.id, cancellation.check)
        } catch let error as CancellationError {
            throw error
        } catch {
            // What the disk cannot read, or what no layer has.
            return .disproved
        }
        if found == diffID { return .proved }
        // An archive that others made need not be the one that Galley makes of the same files.
        let blobs = try store.images.layerBlobs(diffID).filter {
            store.content.contains($0.digest) && !damagedBlobs.contains($0.digest)
        }
        guard let blob = blobs.first else {
            return try store.images.layerBlobs(diffID).isEmpty ? .disproved : .unknown
        }
        guard let lower = stacks[layer.id] else { return .unknown }
        let expected = try store.snapshots.diffIDAfterUnpacking(diffID, on: lower) { write in
            try store.content.read(blob) { bytes in
                try cancellation.check()
                try write(bytes)
            }
        }
        return expected == found ? .proved : .disproved
    }
}

extension Store {
    /// The config of an image, read without repairing anything; nil when it is gone or damaged.
    func config(_ digest: Digest) throws -> ImageConfig? {
        guard let bytes = try document(digest) else { return nil }
        return try? ImageConfig(parsing: bytes)
    }

    /// A small blob, read without repairing anything; nil when it is gone or damaged.
    func document(_ digest: Digest) throws -> [UInt8]? {
        let bytes = try? readFile(content.path(of: digest), limit: 16 << 20)
        guard let bytes, digest.algorithm != .sha256 || Digest.sha256(bytes) == digest else { return nil }
        return bytes
    }
}
