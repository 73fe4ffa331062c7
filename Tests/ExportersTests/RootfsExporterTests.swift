// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Exporters
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots
import Testing

@Suite(.enabled(if: isRoot, "device files and overlay mounts need root"))
struct RootfsExporterTests {
    @Test func theTarHoldsTheMergedTree() async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.sample()
        let layers = image.layers.map(\.snapshot)
        try await RootfsExporter(kitchen.snapshots)
            .exportArchive([RootfsTree(layers: layers)], to: .file(kitchen.scratch.file("rootfs.tar")))
        try kitchen.scratch.shell("mkdir tree; tar -xpf rootfs.tar -C tree --numeric-owner")
        let tree = try open(kitchen.scratch.file("tree"), [.directory]).shared()
        #expect(try listTree(tree, .all) == listTree(kitchen.snapshots.readTree(layers).root, .all))
    }

    @Test func everyFileHasTheTimeThatIsAskedFor() async throws {
        let kitchen = try TestKitchen()
        let layers = [try kitchen.layer("mkdir -p a/b; echo 1 > a/b/f; ln -s f a/b/l; touch -d @1500000000 a")]
        let tree = RootfsTree(layers: layers, time: FileTime(seconds: 1_234_567_890))
        let exporter = RootfsExporter(kitchen.snapshots)
        try await exporter.exportArchive([tree], to: .file(kitchen.scratch.file("rootfs.tar")))
        try await exporter.exportDirectory(tree, to: kitchen.scratch.file("tree"))
        let expected = "1234567890\n1234567890\n1234567890\n1234567890\n"
        #expect(try kitchen.scratch.shell("cd tree; stat -c %Y a a/b a/b/f a/b/l") == expected)
        try kitchen.scratch.shell("mkdir again; tar -xpf rootfs.tar -C again")
        #expect(try kitchen.scratch.shell("cd again; stat -c %Y a a/b a/b/f a/b/l") == expected)
    }

    @Test func theDirectoryIsTheCallersAndReplacesFiles() async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.sample()
        try kitchen.scratch.shell(
            """
            mkdir -p dest/usr outside/bin; echo mine > dest/mine; echo old > dest/zeros; chmod 750 dest
            ln -s ../outside dest/etc; rmdir dest/usr; ln -s ../outside dest/usr
            """
        )
        let layers = image.layers.map(\.snapshot)
        try await RootfsExporter(kitchen.snapshots).exportDirectory(
            RootfsTree(layers: layers),
            to: kitchen.scratch.file("dest")
        )
        #expect(try kitchen.scratch.shell("find outside -type f") == "")
        #expect(
            try kitchen.scratch.shell("cat dest/mine dest/etc/new; stat -c %a dest; stat -c %s dest/zeros")
                == "mine\nnew\n750\n3000000\n"
        )
        let dest = try open(kitchen.scratch.file("dest"), [.directory]).shared()
        #expect(try listTree(dest, .owners).allSatisfy { $0.contains(" 0:0") })
    }

    @Test func aNewDirectoryGoesAgainWhenTheDiskIsFull() async throws {
        let kitchen = try TestKitchen()
        let layer = try kitchen.layer("head -c 4000000 /dev/urandom > f")
        try kitchen.scratch.shell("mkdir small; mount -t tmpfs -o size=1m tmpfs small")
        defer { _ = try? kitchen.scratch.shell("umount small") }
        let exporter = RootfsExporter(kitchen.snapshots)
        await #expect {
            try await exporter.exportDirectory(RootfsTree(layers: [layer]), to: kitchen.scratch.file("small/tree"))
        } throws: {
            ($0 as? ExportError)?.code == .diskFull
        }
        await #expect {
            try await exporter.exportArchive(
                [RootfsTree(layers: [layer])],
                to: .file(kitchen.scratch.file("small/tree.tar"))
            )
        } throws: {
            ($0 as? ExportError)?.code == .diskFull
        }
        #expect(try kitchen.scratch.shell("ls -A small") == "")
    }

    @Test func anEmptyImageIsAnEmptyTree() async throws {
        let kitchen = try TestKitchen()
        try await RootfsExporter(kitchen.snapshots).exportDirectory(
            RootfsTree(layers: []),
            to: kitchen.scratch.file("tree")
        )
        #expect(try kitchen.scratch.shell("ls -A tree") == "")
    }
}
