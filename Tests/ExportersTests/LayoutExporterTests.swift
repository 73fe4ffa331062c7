// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import Exporters
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots
import Testing

@Suite(.enabled(if: isRoot, "device files and overlay mounts need root"))
struct LayoutExporterTests {
    private let names: [Reference]

    init() throws { names = [try Reference("example.com/team/app:1"), try Reference("app")] }

    @Test(arguments: MediaType.Compression.allCases, [LayoutExporter.Format.oci, .docker])
    func everyToolAcceptsTheArchive(_ compression: MediaType.Compression, _ format: LayoutExporter.Format) async throws
    {
        let kitchen = try TestKitchen()
        let image = try await kitchen.sample()
        let exporter = LayoutExporter(
            kitchen.blobs(LayerOptions(compression: compression)),
            format: format,
            annotations: ["org.example": "yes"]
        )
        let exported = try await exporter.exportArchive(
            [NamedImage(image, names: names)],
            to: .file(kitchen.scratch.file("image.tar"))
        )
        try kitchen.scratch.shell("mkdir layout; tar -xf image.tar -C layout")
        let reports = try ImageValidator.validate(layout: kitchen.scratch.file("layout"))
        #expect(reports.map(\.names) == [["example.com/team/app:1"], ["docker.io/library/app:latest"]])
        #expect(reports.allSatisfy { $0.manifestDigest == exported[0].manifest.digest })
        #expect(reports[0].manifest.annotations == ["org.example": "yes"])
        #expect(reports[0].manifest.config.digest == image.configDigest)
        #expect(reports[0].manifest.layers.allSatisfy { $0.mediaType.layerCompression == compression })
        #expect(reports[0].config.created == "2001-09-09T01:46:40Z")

        let inspected = try kitchen.scratch.shell("skopeo inspect oci-archive:image.tar:1")
        #expect(inspected.contains(exported[0].manifest.digest.description))
        if format == .docker {
            #expect(try kitchen.scratch.shell("skopeo inspect docker-archive:image.tar:app:latest").contains("Layers"))
        }
        if compression != .zstd {
            try kitchen.scratch.shell("umoci unpack --image layout:latest bundle >&2")
            #expect(try kitchen.scratch.shell("cat bundle/rootfs/etc/new; test ! -e bundle/rootfs/etc/motd") == "new\n")
            #expect(try kitchen.scratch.shell("stat -c %a:%u:%g bundle/rootfs/var/empty") == "1777:5:6\n")
        }
        #expect(try kitchen.leftovers() == [])
    }

    @Test("what a killed process left beside an output goes, and nothing else")
    func leftoversOfOthers() async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.sample()
        let kept: Set = [".image.tar.galley-", ".image.tar.galley-7x", ".other.tar.galley-7", "image.tar.galley-7"]
        let dead: Set = [".image.tar.galley-7", ".image.tar.galley-18446744073709551615"]
        for name in kept.union(dead).union([".image.tar.galley-8"]) {
            try replaceFile(kitchen.scratch.file(name), Array("x".utf8))
        }
        let living = try open(kitchen.scratch.file(".image.tar.galley-8"), .readWrite)
        #expect(lockFile(living.raw))
        for _ in 0..<2 {
            _ = try await LayoutExporter(kitchen.blobs(), format: .oci)
                .exportArchive([NamedImage(image, names: names)], to: .file(kitchen.scratch.file("image.tar")))
        }
        let left = try kitchen.names()
        #expect(left == kept.union(["image.tar", ".image.tar.galley-8"]))
    }

    @Test(arguments: [MediaType.Compression.gzip, .zstd])
    func theBytesDependOnNothingElse(_ compression: MediaType.Compression) async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.sample()
        for (file, threads) in [("a", 1), ("b", 8), ("c", 8)] {
            let options = LayerOptions(compression: compression, threads: threads)
            _ = try await LayoutExporter(kitchen.blobs(options), format: .oci)
                .exportArchive([NamedImage(image, names: names)], to: .file(kitchen.scratch.file(file)))
            // Each is to be made anew.
            #expect(try kitchen.removeLayerBlobs(of: image) == 2)
        }
        let pipe = kitchen.scratch.file("pipe")
        try kitchen.scratch.shell("mkfifo pipe")
        async let copied = blocking { try kitchen.scratch.shell("cat pipe > d") }
        _ = try await LayoutExporter(kitchen.blobs(LayerOptions(compression: compression)), format: .oci)
            .exportArchive([NamedImage(image, names: names)], to: .file(pipe))
        _ = try await copied
        try kitchen.scratch.shell("cmp a b; cmp a c; cmp a d")
    }

    @Test(arguments: MediaType.Compression.allCases)
    func keepsWhatItCompressed(_ compression: MediaType.Compression) async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.sample()
        let exporter = LayoutExporter(kitchen.blobs(LayerOptions(compression: compression)), format: .oci)
        for file in ["a", "b"] {
            _ = try await exporter.exportArchive(
                [NamedImage(image, names: names)],
                to: .file(kitchen.scratch.file(file))
            )
        }
        try kitchen.scratch.shell("cmp a b; mkdir layout; tar -xf a -C layout")
        let reports = try ImageValidator.validate(layout: kitchen.scratch.file("layout"))
        let kept = reports[0].manifest.layers.filter { kitchen.content.contains($0.digest) }
        #expect(kept.count == (compression == .none ? 0 : 2))
        for blob in kept { try kitchen.content.read(blob) { _ in } }
    }

    @Test func dockersMediaTypesOnRequest() async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.sample()
        let blobs = kitchen.blobs(LayerOptions(ociMediaTypes: false))
        let directory = kitchen.scratch.file("layout")
        _ = try await LayoutExporter(blobs, format: .oci)
            .exportDirectory([NamedImage(image, names: names)], to: directory)
        let reports = try ImageValidator.validate(layout: directory)
        #expect(reports[0].manifest.mediaType == .dockerManifest)
    }

    @Test func aDirectoryCollectsImages() async throws {
        let kitchen = try TestKitchen()
        let directory = kitchen.scratch.file("layout")
        let exporter = LayoutExporter(kitchen.blobs(), format: .oci)
        for name in ["one", "two", "one"] {
            let image = try await kitchen.assemble([kitchen.layer("echo \(name) > f")])
            _ = try await exporter.exportDirectory([NamedImage(image, names: [Reference(name)])], to: directory)
        }
        let reports = try ImageValidator.validate(layout: directory)
        #expect(reports.flatMap(\.names).sorted() == ["docker.io/library/one:latest", "docker.io/library/two:latest"])
        try kitchen.scratch.shell("umoci list --layout layout | grep -c latest")
        #expect(try kitchen.names() == ["layout"])
    }

    @Test func severalImagesShareTheirLayersInOneArchive() async throws {
        let kitchen = try TestKitchen()
        let base = try kitchen.layer("echo base > base")
        let images = try await [
            kitchen.assemble([base, kitchen.layer("echo 1 > f")]),
            kitchen.assemble([base, kitchen.layer("echo 2 > f")]),
        ]
        let named = try zip(images, ["one", "two"]).map { NamedImage($0, names: [try Reference($1)]) }
        _ = try await LayoutExporter(kitchen.blobs(), format: .docker)
            .exportArchive(named, to: .file(kitchen.scratch.file("both.tar")))
        try kitchen.scratch.shell("mkdir layout; tar -xf both.tar -C layout")
        #expect(try ImageValidator.validate(layout: kitchen.scratch.file("layout")).count == 2)
        // 3 layers, 2 configs, 2 manifests.
        #expect(try kitchen.scratch.shell("tar -tf both.tar | grep -c 'sha256/.'") == "7\n")
    }

    @Test func layersWithTheSameContentAreStoredOnce() async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.assemble([kitchen.layer("echo x > f"), kitchen.layer("echo x > f")])
        #expect(image.layers[0].diffID == image.layers[1].diffID)
        _ = try await LayoutExporter(kitchen.blobs(), format: .oci)
            .exportArchive([NamedImage(image, names: [])], to: .file(kitchen.scratch.file("image.tar")))
        try kitchen.scratch.shell("mkdir layout; tar -xf image.tar -C layout")
        #expect(try ImageValidator.validate(layout: kitchen.scratch.file("layout")).count == 1)
        #expect(try kitchen.scratch.shell("tar -tf image.tar | grep -c 'sha256/.'") == "3\n")
    }

    // MARK: Destinations that fail

    @Test func aFullDiskLeavesNothing() async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.assemble([kitchen.layer("head -c 4000000 /dev/urandom > f")])
        try kitchen.scratch.shell("mkdir small; mount -t tmpfs -o size=1m tmpfs small")
        defer { _ = try? kitchen.scratch.shell("umount small") }
        let exporter = LayoutExporter(kitchen.blobs(), format: .oci)
        await #expect {
            _ = try await exporter.exportArchive(
                [NamedImage(image, names: [])],
                to: .file(kitchen.scratch.file("small/image.tar"))
            )
        } throws: {
            ($0 as? ExportError)?.code == .diskFull
        }
        await #expect {
            _ = try await exporter.exportDirectory(
                [NamedImage(image, names: [])],
                to: kitchen.scratch.file("small/layout")
            )
        } throws: {
            ($0 as? ExportError)?.code == .diskFull
        }
        #expect(try kitchen.scratch.shell("ls -A small") == "")
    }

    @Test func anOldFileSurvivesAFailure() async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.assemble([kitchen.layer("echo x > f")])
        try kitchen.scratch.shell("echo old > image.tar")
        // The layer is not what was recorded for it.
        try kitchen.snapshots.setArchive(image.layers[0].snapshot, diffID: DiffID(.sha256("other")), size: 1)
        let changed = try await kitchen.assemble([image.layers[0].snapshot])
        await #expect {
            _ = try await LayoutExporter(kitchen.blobs(), format: .oci)
                .exportArchive([NamedImage(changed, names: [])], to: .file(kitchen.scratch.file("image.tar")))
        } throws: {
            ($0 as? ExportError)?.code == .layerChanged
        }
        #expect(try kitchen.scratch.shell("cat image.tar; ls -A | grep -v shell") == "old\nimage.tar\nstore\n")
    }

    @Test(arguments: ["nowhere/image.tar", "store", "/proc/image.tar"])
    func anUnusableDestinationIsAnError(_ file: String) async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.assemble([kitchen.layer("echo x > f")])
        let path = file.hasPrefix("/") ? RawPath(file) : kitchen.scratch.file(file)
        await #expect {
            _ = try await LayoutExporter(kitchen.blobs(), format: .oci)
                .exportArchive([NamedImage(image, names: [])], to: .file(path))
        } throws: {
            ($0 as? ExportError)?.code == .destination
        }
    }

    @Test func cancellationLeavesNothing() async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.assemble([kitchen.layer("head -c 30000000 /dev/urandom > f")])
        let export = Task {
            _ = try await LayoutExporter(kitchen.blobs(), format: .oci).exportArchive(
                [NamedImage(image, names: [])],
                to: .file(kitchen.scratch.file("image.tar"))
            ) { name, total in
                // The transfer has begun: now is the moment.
                withUnsafeCurrentTask { $0?.cancel() }
                return silentTransfers(name, total)
            }
        }
        export.cancel()
        await #expect(throws: CancellationError.self) { try await export.value }
        #expect(try kitchen.names() == [])
    }
}
