// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Exporters
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots
import Synchronization
import Testing

/// Layers that go out before the image is known, because their digests are learnt on the way.
@Suite(.enabled(if: isRoot, "device files and overlay mounts need root"))
struct NewLayerTests {
    private func layers(_ kitchen: TestKitchen) throws -> [SnapshotID] {
        try ["base", "one", "two"].map {
            try kitchen.layer("echo \($0) > \($0); head -c 700000 /dev/zero > zeros-\($0)")
        }
    }

    private func built(_ ids: [SnapshotID], _ kitchen: TestKitchen) -> BuiltImage {
        BuiltImage(layers: ids, config: kitchen.config(layers: ids.count), baseLayerCount: 1, platform: .host)
    }

    /// The archive of an image that nobody has seen before, with its layers first or not.
    private func export(_ kitchen: TestKitchen, leads: Bool) async throws -> (file: [UInt8], image: AssembledImage) {
        let ids = try layers(kitchen)
        // Of the base everything is known.
        _ = try await kitchen.assemble([ids[0]])
        let path = kitchen.scratch.file("out.tar")
        let exporter = LayoutExporter(kitchen.blobs(), format: .docker)
        let export = try await exporter.begin(.archive(.file(path)))
        if leads {
            try await export.addLayers(ids + [ids[1]], baseLayerCount: 1)
            #expect(try ids.allSatisfy { try kitchen.snapshots.diffID(of: $0) != nil })
        }
        let image = try await kitchen.assemble(ids + [ids[1]], baseLayerCount: 1)
        _ = try await export.finish([NamedImage(image, names: [])])
        return (try readFile(path), image)
    }

    @Test func theArchiveIsTheSame() async throws {
        let one = try await export(TestKitchen(), leads: true)
        let other = try await export(TestKitchen(), leads: false)
        #expect(one.image.configDigest == other.image.configDigest)
        #expect(one.image.size == other.image.size)
        #expect(one.file == other.file)
    }

    @Test("into a directory that holds the blobs already")
    func intoADirectory() async throws {
        let kitchen = try TestKitchen()
        let ids = try layers(kitchen)
        let path = kitchen.scratch.file("layout")
        for _ in 0..<2 {
            let export = try await LayoutExporter(kitchen.blobs(), format: .oci).begin(.directory(path))
            try await export.addLayers(ids, baseLayerCount: 0)
            let image = try await kitchen.assemble(ids)
            let exported = try await export.finish([NamedImage(image, names: [])])
            #expect(try ImageValidator.validate(layout: path).map(\.manifestDigest) == [exported[0].manifest.digest])
        }
    }

    @Test func nothingStaysOfWhatIsNotFinished() async throws {
        let kitchen = try TestKitchen()
        for place in ["out.tar", "layout"] {
            let ids = try layers(kitchen)
            let path = kitchen.scratch.file(place)
            let exporter = LayoutExporter(kitchen.blobs(), format: .oci)
            let export = try await exporter.begin(place == "layout" ? .directory(path) : .archive(.file(path)))
            try await export.addLayers(ids, baseLayerCount: 0)
            export.discard()
        }
        let names = try kitchen.names()
        #expect(names == [])
        #expect(try kitchen.leftovers().isEmpty)
    }

    @Test(arguments: [false, true]) func arePushedOnce(_ repeats: Bool) async throws {
        let kitchen = try TestKitchen()
        let ids = try layers(kitchen)
        let registry = MemoryRepository()
        registry.state.withLock { $0.repeats = repeats }
        let exporter = RegistryExporter(kitchen.blobs())
        try await exporter.pushNewLayers(ids + [ids[1]], to: registry)
        #expect(registry.state.withLock(\.uploads).count == 3)
        let image = try await kitchen.assemble(ids)
        #expect(image.size == 3 * 700_000 + 5 + 4 + 4)
        let pushed = try await exporter.push(image, to: registry, tags: ["1"])
        // The config is what was left to send.
        #expect(registry.state.withLock(\.uploads).count == 4)
        _ = try registry.validate(pushed.manifest)
        try await exporter.pushNewLayers(ids, to: registry)
        #expect(registry.state.withLock(\.uploads).count == 4)
    }
}
