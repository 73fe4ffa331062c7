// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
public import Content
public import LinuxSystem
import OCI
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
    /// - Parameter created: nil keeps what the config says.
    public func assemble(
        _ image: BuiltImage,
        created: FileTime?,
        transfers: @escaping TransferReporter = silentTransfers
    ) async throws -> AssembledImage {
        let archives = try await archives(of: image.layers, transfers)
        let diffIDs = archives.map(\.diffID)
        var config = image.config
        config.platform = image.platform
        config.diffIDs = diffIDs
        if let created { config.created = created.rfc3339 }
        let bytes = config.encoded()
        let digest = try await blocking { [content, snapshots] in
            for (chain, id) in zip(ChainID.chain(diffIDs), image.layers) { try snapshots.setChain(chain, id) }
            return try content.store(bytes)
        }
        return AssembledImage(
            config: bytes,
            configDigest: digest,
            layers: image.layers.enumerated().map { index, id in
                AssembledLayer(snapshot: id, diffID: diffIDs[index], isBase: index < image.baseLayerCount)
            },
            size: archives.reduce(0) { $0 + $1.size },
            platform: image.platform,
            created: config.created
        )
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

    private typealias LayerArchive = (diffID: DiffID, size: Int64)

    private func archives(of layers: [SnapshotID], _ transfers: @escaping TransferReporter) async throws
        -> [LayerArchive]
    {
        var waiting = Set(layers).makeIterator()
        let known = try await withThrowingTaskGroup(of: (SnapshotID, LayerArchive).self) { group in
            func start() {
                guard let id = waiting.next() else { return }
                group.addTask { (id, try await archive(id, transfers)) }
            }
            for _ in 0..<parallel { start() }
            var known: [SnapshotID: LayerArchive] = [:]
            while let (id, archive) = try await group.next() {
                known[id] = archive
                start()
            }
            return known
        }
        return layers.compactMap { known[$0] }
    }

    private func archive(_ id: SnapshotID, _ transfers: @escaping TransferReporter) async throws -> LayerArchive {
        try await cancellableBlocking { [snapshots] cancellation in
            if let diffID = try snapshots.diffID(of: id), let size = try snapshots.size(of: id) {
                return (diffID, size)
            }
            let progress = transfers("hashing layer \(id)", nil)
            let directory = try snapshots.layerDirectory(id)
            let writer = try LayerWriter { _ in }
            let sink = CountingSink(writer, cancellation, progress: progress)
            try withExtendedLifetime(directory) { try LayerArchiver(directory.raw, to: sink).walk() }
            let diffID = try writer.finish().diffID
            try snapshots.setArchive(id, diffID: diffID, size: sink.bytes)
            progress.complete()
            return (diffID, sink.bytes)
        }
    }
}
