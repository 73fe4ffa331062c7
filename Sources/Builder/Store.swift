// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildOps
import Content
import LinuxSystem
import OCI
import Snapshots
import Solver

/// The root directory with everything in it, opened once.
final class Store: Sendable {
    let root: StoreRoot
    let database: MetadataDatabase
    let content: ContentStore
    let images: ImageStore
    let snapshots: OverlaySnapshotter

    init(_ path: RawPath) throws {
        root = try StoreRoot(path)
        database = try MetadataDatabase(
            path: path.appending("galley.db").description,
            schemas: [ImageStore.schema, OverlaySnapshotter.schema, BuildCacheSchema.schema, WebMemory.schema]
        )
        content = ContentStore(root)
        images = ImageStore(database)
        snapshots = OverlaySnapshotter(root, database)
    }

    /// The layers that a cache record names; nil for a damaged record.
    static func layers(of payload: [UInt8]) -> [SnapshotID]? {
        let numbers = String(decoding: payload, as: UTF8.self).split(separator: " ")
        let layers = numbers.compactMap { Int64($0).map(SnapshotID.init) }
        return layers.count == numbers.count ? layers : nil
    }

    /// Results of former steps: a record holds the numbers of its layers.
    var cacheIndex: LocalCacheIndex<StepValue> {
        let snapshots = snapshots
        return LocalCacheIndex(
            database,
            codec: .init(
                encode: { value in
                    guard case .tree(let stack) = value.content, let layers = stack.present else { return nil }
                    return Array(layers.map(\.description).joined(separator: " ").utf8)
                },
                decode: { payload, identity in
                    guard let layers = Store.layers(of: payload), try snapshots.use(layers) else { return nil }
                    return StepValue(identity: identity, content: .tree(LayerStack(layers)))
                }
            )
        )
    }
}
