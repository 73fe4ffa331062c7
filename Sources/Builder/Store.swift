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

    static let schemas = [
        ImageStore.schema, OverlaySnapshotter.schema, BuildCacheSchema.schema, WebMemory.schema,
        StepHistory.schema, MeasuredSizes.schema, KeptFilters.schema,
    ]

    static func databasePath(_ root: RawPath) -> RawPath { root.appending("galley.db") }

    /// - Parameter clearsLeftovers: false leaves what dead processes left, for who only looks.
    init(_ path: RawPath, clearsLeftovers: Bool = true) throws {
        root = try StoreRoot(path, clearsLeftovers: clearsLeftovers)
        database = try MetadataDatabase(path: Self.databasePath(path).description, schemas: Self.schemas)
        content = ContentStore(root)
        images = ImageStore(database)
        snapshots = OverlaySnapshotter(root, database)
    }

    /// What former builds did.
    var history: StepHistory { StepHistory(database) }

    /// The layers that a cache record names, bottom first; nil for a damaged record.
    static func layers(of payload: [UInt8]) -> [SnapshotID]? {
        guard case .tree(let stack)? = StepValue(payload: payload)?.content else { return nil }
        return stack.present
    }

    /// Results of former steps: a record holds the numbers of its layers.
    var cacheIndex: LocalCacheIndex<StepValue> {
        let snapshots = snapshots
        return LocalCacheIndex(
            database,
            codec: .init(
                encode: \.payload,
                decode: { payload in
                    guard let layers = Store.layers(of: payload), try snapshots.use(layers) else { return nil }
                    return StepValue(payload: payload)
                },
                encodeInput: \.inputPayload,
                decodeInput: StepValue.init(payload:)
            ),
            claims: RootClaims(root: root)
        )
    }
}

/// Steps that processes on the same root do once.
private struct RootClaims: StepClaims {
    let root: StoreRoot

    func withClaim<R: Sendable>(
        _ name: String,
        waiting: @Sendable () async -> Void,
        _ body: @Sendable () async throws -> R
    ) async throws -> R {
        try await root.withClaim(name, waiting: waiting, body)
    }
}
