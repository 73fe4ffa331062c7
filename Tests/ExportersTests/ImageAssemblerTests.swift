// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import Exporters
import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Snapshots
import Testing

@Suite(.enabled(if: isRoot, "device files need root"))
struct ImageAssemblerTests {
    @Test func fillsInWhatTheConfigLacks() async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.sample()
        let config = try ImageConfig(parsing: image.config)
        #expect(config.diffIDs == image.diffIDs)
        #expect(config.cmd == ["/bin/app"])
        #expect(try kitchen.content.load(image.configDigest) == image.config)
        #expect(try kitchen.snapshots.snapshots(for: image.diffIDs) == image.layers.map(\.snapshot))
        // The digests are what GNU tar finds in the exported, uncompressed layers; here: they do not change.
        let again = try await kitchen.assemble(image.layers.map(\.snapshot))
        #expect(again == image)
        #expect(try kitchen.content.all().count == 1)
    }

    @Test func namesInTheStoreNeedNoLayerBlob() async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.sample()
        try await StoreExporter(kitchen.images).export([image], names: [Reference("app"), Reference("app:2")])
        #expect(try kitchen.images.all().count == 2)
        let record = try #require(try kitchen.images.find(Reference("app")))
        #expect(record.size == image.size)
        #expect(try ImageAssembler(kitchen.snapshots, kitchen.content).stored(record).config == image.config)
        #expect(try kitchen.content.all().count == 1)
    }

    @Test func memoryDoesNotGrowWithALayer() async throws {
        let kitchen = try TestKitchen()
        let before = peakMemory()
        let image = try await kitchen.assemble([kitchen.layer("truncate -s 1G sparse; echo end >> sparse")])
        _ = try await LayoutExporter(kitchen.blobs(), format: .oci)
            .exportArchive([NamedImage(image, names: [])], to: .file(kitchen.scratch.file("image.tar")))
        // Other tests run meanwhile, so the bound is generous; the file has 1 GiB.
        #expect(peakMemory() - before < 400 << 20)
        #expect(image.size == (1 << 30) + 4)
    }

    private func peakMemory() -> Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss << 10
    }
}
