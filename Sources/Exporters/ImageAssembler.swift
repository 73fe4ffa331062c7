// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
public import Content
public import LinuxSystem
public import OCI
public import Snapshots
import Solver

/// Gives images their id: learns the digests of their layers and writes the config.
public struct ImageAssembler: Sendable {
    private let snapshots: OverlaySnapshotter
    private let content: ContentStore
    private let parallel: Int

    /// - Parameter parallel: most layers that are read at the same time.
    public init(_ snapshots: OverlaySnapshotter, _ content: ContentStore, parallel: Int = 4) {
        self.snapshots = snapshots
        self.content = content
        self.parallel = max(1, parallel)
    }

    /// Completes the config, stores it and returns the image.
    ///
    /// A layer without a recorded diffID is archived into a hash, nothing is compressed or written; what was learnt is
    /// recorded. Memory does not grow with a layer's size.
    ///
    /// - Parameters:
    ///   - created: nil keeps what the config says.
    ///   - epoch: no file of the image's own layers is newer; the base image's stay as they are. Nil keeps all times.
    public func assemble(
        _ image: BuiltImage,
        created: FileTime?,
        epoch: FileTime? = nil,
        transfers: @escaping TransferReporter = silentTransfers
    ) async throws -> AssembledImage {
        let archives = try await archives(of: image, epoch, transfers)
        let diffIDs = archives.map(\.diffID)
        let config = config(of: image, diffIDs, created)
        let bytes = config.encoded()
        let digest = try await blocking { [content, snapshots] in
            // A chain names a tree with exactly the times of its archive.
            for (index, chain) in ChainID.chain(diffIDs).enumerated() where archives[index].epoch == nil {
                try snapshots.setChain(chain, diffIDs[index], image.layers[index])
            }
            return try content.store(bytes)
        }
        return AssembledImage(
            config: bytes,
            configDigest: digest,
            layers: image.layers.enumerated().map { index, id in
                AssembledLayer(
                    snapshot: id,
                    diffID: diffIDs[index],
                    isBase: index < image.baseLayerCount,
                    epoch: archives[index].epoch
                )
            },
            size: archives.reduce(0) { $0 + $1.size },
            platform: image.platform,
            created: config.created
        )
    }

    /// The id that `assemble` would give the image, and its layers. Nothing is kept but what is learnt of layers.
    public func identify(
        _ image: BuiltImage,
        created: FileTime?,
        epoch: FileTime? = nil,
        transfers: @escaping TransferReporter = silentTransfers
    ) async throws -> (config: Digest, diffIDs: [DiffID]) {
        let diffIDs = try await archives(of: image, epoch, transfers).map(\.diffID)
        return (Digest.sha256(config(of: image, diffIDs, created).encoded()), diffIDs)
    }

    private func config(of image: BuiltImage, _ diffIDs: [DiffID], _ created: FileTime?) -> ImageConfig {
        var config = image.config
        config.platform = image.platform
        config.diffIDs = diffIDs
        if let created { config.created = created.rfc3339 }
        return config
    }

    private func archives(
        of image: BuiltImage,
        _ epoch: FileTime?,
        _ transfers: @escaping TransferReporter
    ) async throws -> [LayerArchive] {
        let wanted = image.layers.enumerated().map { index, id in
            WantedArchive(snapshot: id, epoch: index < image.baseLayerCount ? nil : epoch)
        }
        return try await archives(wanted, transfers)
    }

    /// An image of the local store as it was assembled or pulled. Blocks.
    public func stored(_ record: ImageRecord) throws -> AssembledImage {
        guard let bytes = try content.load(record.config) else {
            throw ExportError(
                .incomplete,
                "the store has no config for \(record.reference.familiar)",
                nextStep: "pull or build it again"
            )
        }
        let config = try ImageConfig(parsing: bytes)
        let diffIDs = config.diffIDs
        let layers = try zip(diffIDs, snapshots.snapshots(for: diffIDs)).map { diffID, snapshot in
            guard let snapshot else {
                throw ExportError(
                    .incomplete,
                    "the store lacks layer \(diffID.digest.short) of \(record.reference.familiar)",
                    nextStep: "pull or build it again"
                )
            }
            return AssembledLayer(snapshot: snapshot, diffID: diffID, isBase: true)
        }
        return AssembledImage(
            config: bytes,
            configDigest: record.config,
            layers: layers,
            size: record.size,
            platform: config.platform,
            created: config.created,
            manifest: try record.manifest.flatMap { try content.load($0.digest) }
        )
    }

    /// The same image with each layer's files as its archive has them, as the local store must have it: what the image is
    /// run as and what is built on it is then what everybody else gets who pulls it.
    public func withTreesOfItsOwn(
        _ image: AssembledImage,
        transfers: @escaping TransferReporter = silentTransfers
    ) async throws -> AssembledImage {
        var image = image
        for (index, layer) in image.layers.enumerated() {
            guard let epoch = layer.epoch else { continue }
            let progress = transfers("setting times of layer \(layer.snapshot)", nil)
            image.layers[index].snapshot = try await cancellableBlocking { [snapshots] cancellation in
                let known = try snapshots.rewritten(layer.snapshot, epoch: epoch.seconds)
                return try snapshots.rewrittenTree(
                    of: layer.snapshot,
                    epoch: epoch.seconds,
                    known ?? RewrittenLayer(diffID: layer.diffID, tree: nil),
                    cancellation
                )
            }
            image.layers[index].epoch = nil
            progress.complete()
        }
        let layers = image.layers
        try await blocking { [snapshots] in
            for (layer, chain) in zip(layers, ChainID.chain(layers.map(\.diffID))) {
                try snapshots.setChain(chain, layer.diffID, layer.snapshot)
            }
        }
        return image
    }

    private struct WantedArchive: Hashable {
        var snapshot: SnapshotID
        var epoch: FileTime?
    }

    private struct LayerArchive {
        var diffID: DiffID
        var size: Int64
        /// Nil when no file is newer than the one that was asked for.
        var epoch: FileTime?
    }

    private func archives(_ wanted: [WantedArchive], _ transfers: @escaping TransferReporter) async throws
        -> [LayerArchive]
    {
        var waiting = Set(wanted).makeIterator()
        let known = try await withThrowingTaskGroup(of: (WantedArchive, LayerArchive).self) { group in
            func start() {
                guard let one = waiting.next() else { return }
                group.addTask { (one, try await archive(one, transfers)) }
            }
            for _ in 0..<parallel { start() }
            var known: [WantedArchive: LayerArchive] = [:]
            while let (one, archive) = try await group.next() {
                known[one] = archive
                start()
            }
            return known
        }
        return wanted.compactMap { known[$0] }
    }

    private func archive(_ wanted: WantedArchive, _ transfers: @escaping TransferReporter) async throws -> LayerArchive
    {
        try await cancellableBlocking { cancellation in
            if let known = try self.known(wanted) { return known }
            let id = wanted.snapshot
            let progress = transfers("hashing layer \(id)", nil)
            let directory = try snapshots.layerDirectory(id)
            let writer = try LayerWriter(LayerWriter.Options(sourceDateEpoch: wanted.epoch)) { _ in }
            let sink = CountingSink(writer, cancellation, progress: progress)
            try withExtendedLifetime(directory) { try LayerArchiver(directory.raw, to: sink).walk() }
            let diffID = try writer.finish().diffID
            try record(wanted, diffID, size: sink.bytes, isPlain: !writer.hasClampedTimes)
            progress.complete()
            return LayerArchive(
                diffID: diffID,
                size: sink.bytes,
                epoch: writer.hasClampedTimes ? wanted.epoch : nil
            )
        }
    }

    private func known(_ wanted: WantedArchive) throws -> LayerArchive? {
        guard let size = try snapshots.size(of: wanted.snapshot) else { return nil }
        guard let epoch = wanted.epoch else {
            return try snapshots.diffID(of: wanted.snapshot).map { LayerArchive(diffID: $0, size: size) }
        }
        guard let known = try snapshots.rewritten(wanted.snapshot, epoch: epoch.seconds) else { return nil }
        return LayerArchive(diffID: known.diffID, size: size, epoch: known.tree == wanted.snapshot ? nil : epoch)
    }

    /// - Parameter isPlain: whether the archive has the files' own times.
    private func record(_ wanted: WantedArchive, _ diffID: DiffID, size: Int64, isPlain: Bool) throws {
        let id = wanted.snapshot
        if isPlain {
            try snapshots.setArchive(id, diffID: diffID, size: size)
        } else {
            try snapshots.setSize(id, size)
        }
        guard let epoch = wanted.epoch else { return }
        try snapshots.setRewritten(
            id,
            epoch: epoch.seconds,
            RewrittenLayer(diffID: diffID, tree: isPlain ? id : nil)
        )
    }
}
