// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
public import OCI

/// Unpacks an image's layers into the store, several at once while their bytes arrive.
///
/// Every layer is unpacked into a directory of its own without waiting for the one below it; then the layers are fitted
/// to each other and published from the bottom up. What was published before an error stays, for the next attempt.
public struct LayerImporter: Sendable {
    private let snapshots: OverlaySnapshotter
    private let parallel: Int

    /// - Parameter parallel: most layers that are unpacked at the same time.
    public init(_ snapshots: OverlaySnapshotter, parallel: Int = 6) {
        self.snapshots = snapshots
        self.parallel = max(1, parallel)
    }

    /// Makes sure that every layer of the stack is in the store and returns the stack, bottom first.
    ///
    /// Layers that the store has under their chainID are not asked for. For each other one `feed` is called once, for
    /// several at the same time, to write the layer's bytes to the input in order: a tar, plain or compressed with gzip
    /// or zstd (told from the bytes). `write` suspends until the unpacker keeps up. When `feed` returns the layer must be
    /// complete; its diffID is verified.
    public func importLayers(
        _ diffIDs: [DiffID],
        feed: @Sendable @escaping (_ index: Int, _ input: LayerInput) async throws -> Void
    ) async throws -> [SnapshotID] {
        let chains = ChainID.chain(diffIDs)
        var finished = try await blocking { [snapshots] in
            try snapshots.snapshots(for: diffIDs).map { try $0.flatMap { try snapshots.use([$0]) ? $0 : nil } }
        }
        let missing = finished.indices.filter { finished[$0] == nil }
        try await withThrowingTaskGroup(of: (Int, UnpackedLayer).self) { group in
            var waiting = missing.makeIterator()
            func start() {
                guard let index = waiting.next() else { return }
                group.addTask { [snapshots] in
                    (
                        index,
                        try await UnpackedLayer.unpack(diffIDs[index], into: snapshots) { try await feed(index, $0) }
                    )
                }
            }
            for _ in 0..<parallel { start() }
            var unpacked: [Int: UnpackedLayer] = [:]
            do {
                while let (index, layer) = try await group.next() {
                    start()
                    unpacked[index] = layer
                    // Only a layer whose lower layers are all there can be fitted to them.
                    while let next = finished.firstIndex(of: nil), let layer = unpacked.removeValue(forKey: next) {
                        let lower = finished[..<next].compactMap(\.self)
                        finished[next] = try await blocking { [snapshots] in
                            try layer.publish(on: lower, as: chains[next], in: snapshots)
                        }
                    }
                }
            } catch {
                group.cancelAll()
                for layer in unpacked.values { layer.pending.discard() }
                while let rest = await group.nextResult() {
                    if case .success(let (_, layer)) = rest { layer.pending.discard() }
                }
                throw error
            }
        }
        return finished.compactMap(\.self)
    }
}

/// Takes the bytes of one layer.
public struct LayerInput: BlobWriter {
    let channel: ByteChannel

    /// Suspends until the unpacker is ready for more; throws what the unpacker failed with.
    public func write(_ bytes: ArraySlice<UInt8>) async throws { try await channel.send(bytes) }
}
