// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import Exporters
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots
import Testing

/// `rewrite-timestamp=true`: layers in which nothing is newer than an epoch.
@Suite(.enabled(if: isRoot, "device files need root"))
struct RewrittenLayerTests {
    private static let epoch: Int64 = 900_000_000

    /// A base layer, one that has files on both sides of the epoch, and one that has older ones only.
    private func layers(_ kitchen: TestKitchen) throws -> [SnapshotID] {
        let mixed = try kitchen.layer(
            """
            mkdir -p dir/opaque; echo new > dir/new; ln dir/new dir/hard; ln -s new dir/link; mknod -m 0 gone c 0 0
            setfattr -n trusted.overlay.opaque -v y dir/opaque; setfattr -n user.note -v kept dir/new; chown 5:6 dir
            truncate -s 1M dir/sparse; echo end >> dir/sparse; mkfifo fifo; mknod null c 1 3; chmod 4755 dir/sparse
            """
        )
        try touch(kitchen, mixed, "dir/sparse", "@800000000.5")
        let old = try kitchen.layer("echo old > old")
        try touch(kitchen, old, "old", "@700000000")
        return [try kitchen.layer("mkdir base; echo base > base/f"), mixed, old]
    }

    private func touch(_ kitchen: TestKitchen, _ layer: SnapshotID, _ path: String, _ time: String) throws {
        try kitchen.scratch.shell("cd store/snapshots/\(layer)/fs && touch -h -d \(time) \(path)")
    }

    @Test func onlyNewerFilesOfOwnLayersChange() async throws {
        let kitchen = try TestKitchen()
        let layers = try layers(kitchen)
        let plain = try await kitchen.assemble(layers, baseLayerCount: 1)
        let image = try await kitchen.assemble(layers, baseLayerCount: 1, epoch: Self.epoch)
        #expect(image.layers.map(\.snapshot) == layers)
        #expect(image.layers.map(\.epoch) == [nil, FileTime(seconds: Self.epoch), nil])
        #expect(zip(image.diffIDs, plain.diffIDs).map { $0 == $1 } == [true, false, true])
        _ = try await LayoutExporter(kitchen.blobs(), format: .oci)
            .exportDirectory([NamedImage(image, names: [])], to: kitchen.scratch.file("layout"))
        let report = try #require(try ImageValidator.validate(layout: kitchen.scratch.file("layout")).first)
        #expect(report.config.diffIDs == image.diffIDs)
        let blob = report.manifest.layers[1].digest.hex
        let listing = try kitchen.scratch.shell(
            """
            TZ=UTC tar --full-time -tvf layout/blobs/sha256/\(blob) | awk '{ print $NF, $4, $5 }' | sort
            """
        )
        #expect(listing.contains("dir/sparse 1995-05-09 06:13:20.5"), "\(listing)")
        for name in ["dir/ ", "dir/hard ", "fifo ", "null ", "dir/opaque/ "] {
            #expect(listing.contains("\(name)1998-07-09 16:00:00\n"), "\(listing)")
        }
    }

    @Test func whatIsKnownIsNotReadAgain() async throws {
        let kitchen = try TestKitchen()
        let layers = try layers(kitchen)
        let image = try await kitchen.assemble(layers, epoch: Self.epoch)
        for layer in layers { try kitchen.scratch.shell("echo other > store/snapshots/\(layer)/fs/other") }
        #expect(try await kitchen.assemble(layers, epoch: Self.epoch) == image)
        let other = try await kitchen.assemble(layers, epoch: Self.epoch + 1)
        #expect(Set(other.diffIDs).isDisjoint(with: image.diffIDs))
    }

    @Test func theStoresImageHasTreesOfItsOwn() async throws {
        let kitchen = try TestKitchen()
        let layers = try layers(kitchen)
        let assembler = ImageAssembler(kitchen.snapshots, kitchen.content)
        let image = try await kitchen.assemble(layers, baseLayerCount: 1, epoch: Self.epoch)
        #expect(try kitchen.snapshots.snapshots(for: image.diffIDs) == [layers[0], nil, layers[2]])
        let kept = try await assembler.withTreesOfItsOwn(image)
        #expect(kept.configDigest == image.configDigest)
        #expect(kept.layers.map(\.epoch) == [nil, nil, nil])
        #expect(kept.layers[0].snapshot == layers[0] && kept.layers[2].snapshot == layers[2])
        let tree = kept.layers[1].snapshot
        #expect(tree != layers[1])
        #expect(try kitchen.snapshots.snapshots(for: image.diffIDs) == kept.layers.map(\.snapshot))

        // All but the times is the same, and only newer times differ.
        let facts = "find . ! -path . -printf '%p %y %m %U:%G %s %l %n\\n' | sort"
        let both = try [layers[1], tree].map { try kitchen.scratch.shell("cd store/snapshots/\($0)/fs; \(facts)") }
        #expect(both[0] == both[1])
        let times = try kitchen.scratch.shell(
            """
            cd store/snapshots/\(tree)/fs; stat -c %Y dir dir/new dir/link dir/sparse fifo
            getfattr -h --only-values -n user.note dir/new; getfattr -h --only-values -n trusted.overlay.opaque dir/opaque
            """
        )
        #expect(times == "900000000\n900000000\n900000000\n800000000\n900000000\nkepty")

        // From the store alone, the archive is the recorded one.
        let reference = try Reference("app")
        try await StoreExporter(kitchen.images).export([kept], names: [reference])
        let record = try #require(try kitchen.images.find(reference))
        let stored = try assembler.stored(record)
        _ = try await LayoutExporter(kitchen.blobs(), format: .oci)
            .exportDirectory([NamedImage(stored, names: [])], to: kitchen.scratch.file("layout"))
        let reports = try ImageValidator.validate(layout: kitchen.scratch.file("layout"))
        #expect(reports.map(\.config.diffIDs) == [image.diffIDs])

        // The second time the trees are found, and made again when they are gone.
        #expect(try await assembler.withTreesOfItsOwn(image) == kept)
        #expect(try kitchen.snapshots.remove([tree], unusedSince: .max) == [tree])
        let again = try await assembler.withTreesOfItsOwn(
            kitchen.assemble(layers, baseLayerCount: 1, epoch: Self.epoch)
        )
        #expect(again.configDigest == kept.configDigest)
        #expect(again.layers[1].snapshot != tree && again.layers[1].snapshot != layers[1])
        #expect(try kitchen.snapshots.snapshots(for: image.diffIDs) == again.layers.map(\.snapshot))
        #expect(try kitchen.leftovers() == [])
    }

    @Test func whatIsKnownOfALayerGoesWithIt() async throws {
        let kitchen = try TestKitchen()
        let layer = try kitchen.layer("echo 1 > f")
        _ = try await kitchen.assemble([layer], epoch: Self.epoch)
        #expect(try kitchen.snapshots.rewritten(layer, epoch: Self.epoch) != nil)
        _ = try kitchen.snapshots.remove([layer], unusedSince: .max)
        #expect(try kitchen.snapshots.rewritten(layer, epoch: Self.epoch) == nil)
    }
}
