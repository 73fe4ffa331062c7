// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots

/// A store in a scratch directory.
struct TestStore {
    let scratch: ScratchDirectory
    let root: StoreRoot
    let database: MetadataDatabase
    let snapshots: OverlaySnapshotter

    init(usesDetachedMounts: Bool = true, in scratch: ScratchDirectory? = nil) throws {
        let scratch = try scratch ?? ScratchDirectory()
        self.scratch = scratch
        root = try StoreRoot(scratch.file("store"))
        database = try MetadataDatabase(
            path: scratch.file("store/galley.db").description,
            schemas: [ImageStore.schema, OverlaySnapshotter.schema]
        )
        snapshots = OverlaySnapshotter(root, database, usesDetachedMounts: usesDetachedMounts)
    }

    /// Imports tar archives as layers, bottom first, in pieces of `chunk` bytes.
    func `import`(_ tars: [[UInt8]], blobs: [[UInt8]]? = nil, chunk: Int = 1000) async throws -> [SnapshotID] {
        let blobs = blobs ?? tars
        return try await LayerImporter(snapshots).importLayers(tars.map { DiffID(.sha256($0)) }) { index, input in
            var rest = blobs[index][...]
            while !rest.isEmpty {
                try await input.write(rest.prefix(chunk))
                rest = rest.dropFirst(chunk)
            }
        }
    }

    func merged(_ layers: [SnapshotID], _ facts: ListedFacts = []) throws -> [String] {
        try listTree(snapshots.readTree(layers).root, facts)
    }

    func layer(_ id: SnapshotID, _ facts: ListedFacts = []) throws -> [String] {
        try listTree(snapshots.layerDirectory(id), facts)
    }

    /// What lies in this process's temporary directory, but for the empty directory that mounts share.
    func leftovers() throws -> [String] {
        let directory = try open(root.temporary, [.directory])
        return try readDirectory(directory.raw).map(\.name.description).filter { $0 != "empty" }
    }
}
