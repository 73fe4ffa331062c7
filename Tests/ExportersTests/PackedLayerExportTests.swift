// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import Content
import Exporters
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots
import Testing

/// A layer that the store has as its archive gives the same blobs as one that it has as a directory.
@Suite(.enabled(if: isRoot, "overlay mounts need root"))
struct PackedLayerExportTests {
    private func layers(_ kitchen: TestKitchen) throws -> (packed: SnapshotID, directory: SnapshotID) {
        let directory = try kitchen.layer(
            """
            mkdir -p a/b; head -c 9000000 /dev/urandom | base64 > a/text; head -c 3000000 /dev/urandom > a/random
            for i in $(seq 200); do echo $i > a/b/$i; done; ln a/b/3 a/three
            """
        )
        let pending = try kitchen.snapshots.begin()
        let file = LayerTarFile(try pending.makeArchive())
        let source = try kitchen.snapshots.layerDirectory(directory)
        let written = try LayerArchiver.archive(source.raw, options: LayerWriter.Options()) { try file.append($0) }
        // `archive` has closed it; nothing follows.
        let packed = PackedLayer(diffID: written.diffID, size: written.uncompressedSize)
        return (try kitchen.snapshots.publish(pending, packed: packed), directory)
    }

    @Test(arguments: MediaType.Compression.allCases)
    func sameBlobs(_ compression: MediaType.Compression) async throws {
        let kitchen = try TestKitchen()
        let (packed, directory) = try layers(kitchen)
        var digests: Set<Digest> = []
        for (layer, threads) in [(packed, 1), (packed, 4), (directory, 3)] {
            let image = try await kitchen.assemble([layer])
            _ = try kitchen.removeLayerBlobs(of: image)
            let options = LayerOptions(compression: compression, threads: threads)
            let exported = try await LayoutExporter(kitchen.blobs(options), format: .oci)
                .exportArchive(
                    [NamedImage(image, names: [])],
                    to: .file(kitchen.scratch.file("\(layer)-\(threads).tar"))
                )
            digests.insert(exported[0].manifest.digest)
        }
        #expect(digests.count == 1)
        #expect(try kitchen.snapshots.packedArchive(of: packed) != nil, "it was read, not unpacked")
        try kitchen.scratch.shell("mkdir layout; tar -xf \(packed)-4.tar -C layout")
        _ = try ImageValidator.validate(layout: kitchen.scratch.file("layout"))
    }

    @Test func changedBytesAreNotExported() async throws {
        let kitchen = try TestKitchen()
        let (packed, _) = try layers(kitchen)
        let image = try await kitchen.assemble([packed])
        try kitchen.scratch.shell(
            "printf X | dd of='\(kitchen.root.path)/snapshots/\(packed)/layer.tar' bs=1 seek=700000 conv=notrunc status=none"
        )
        await #expect {
            _ = try await LayoutExporter(kitchen.blobs(), format: .oci)
                .exportArchive([NamedImage(image, names: [])], to: .file(kitchen.scratch.file("x.tar")))
        } throws: { error in
            (error as? ExportError)?.code == .layerChanged
        }
        #expect(try !kitchen.names().contains("x.tar"))
    }

    @Test func timesOfFilesCanBePinned() async throws {
        let kitchen = try TestKitchen()
        let (packed, directory) = try layers(kitchen)
        let images = try await (
            kitchen.assemble([packed], epoch: 900_000_000), kitchen.assemble([directory], epoch: 900_000_000)
        )
        #expect(images.0.layers[0].diffID == images.1.layers[0].diffID)
        #expect(try images.0.layers[0].diffID != kitchen.snapshots.diffID(of: packed))
    }
}
