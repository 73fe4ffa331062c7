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

@Suite(.enabled(if: isRoot, "overlay mounts need root"))
struct ImageLoaderTests {
    @Test(arguments: [LayoutExporter.Format.oci, .docker], ["cat", "gzip", "zstd -q"])
    func whatWasExportedComesBack(_ format: LayoutExporter.Format, _ packer: String) async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.sample()
        let names = [try Reference("example.com/app:1"), try Reference("app:latest")]
        _ = try await LayoutExporter(kitchen.blobs(), format: format)
            .exportArchive([NamedImage(image, names: names)], to: .file(kitchen.scratch.file("image.tar")))
        try kitchen.scratch.shell("\(packer) < image.tar > packed")

        let other = try TestKitchen()
        try other.scratch.shell("cp \(kitchen.scratch.file("packed")) .")
        let loaded = try await other.load("packed")
        #expect(loaded.map(\.config) == [image.configDigest])
        #expect(loaded.first?.names == names)
        let record = try #require(try other.images.find(names[0]))
        let back = try ImageAssembler(other.snapshots, other.content).stored(record)
        #expect(back.diffIDs == image.diffIDs)
        #expect(back.config == image.config)
        #expect(record.size == image.size)
        #expect(
            try listTree(other.snapshots.readTree(back.layers.map(\.snapshot)).root, .all)
                == listTree(kitchen.snapshots.readTree(image.layers.map(\.snapshot)).root, .all)
        )
        // Only what the image needs was kept: two layers, a config, in OCI layouts the manifest.
        #expect(try other.content.all().count == (try other.images.find(names[0])?.manifest == nil ? 3 : 4))
        #expect(try other.leftovers() == [])

        // The blobs that came are the blobs that go.
        let again = try await LayoutExporter(other.blobs(LayerOptions(compression: .zstd)), format: .oci)
            .exportArchive([NamedImage(back, names: names)], to: .file(other.scratch.file("again.tar")))
        #expect(again[0].layers.allSatisfy { $0.mediaType == .ociLayerGzip })
        // With force they are compressed anew, from the blob: the diffIDs stay.
        let forced = LayerOptions(compression: .zstd, force: true)
        _ = try await LayoutExporter(other.blobs(forced), format: .oci)
            .exportDirectory([NamedImage(back, names: names)], to: other.scratch.file("forced"))
        let report = try ImageValidator.validate(layout: other.scratch.file("forced"))[0]
        #expect(report.manifest.layers.allSatisfy { $0.mediaType == .ociLayerZstd })
    }

    @Test func skopeosDockerArchiveIsRead() async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.sample()
        _ = try await LayoutExporter(kitchen.blobs(), format: .oci)
            .exportArchive([NamedImage(image, names: [Reference("app")])], to: .file(kitchen.scratch.file("oci.tar")))
        try kitchen.scratch.shell("skopeo copy -q oci-archive:oci.tar docker-archive:docker.tar:example.com/app:2")
        let other = try TestKitchen()
        try other.scratch.shell("cp \(kitchen.scratch.file("docker.tar")) .")
        let loaded = try await other.load("docker.tar")
        #expect(loaded.first?.names.map(\.description) == ["example.com/app:2"])
        let record = try #require(try other.images.find(Reference("example.com/app:2")))
        #expect(try ImageAssembler(other.snapshots, other.content).stored(record).diffIDs == image.diffIDs)
    }

    /// As Docker before 25 wrote it: a directory a layer, layers that other images have as links.
    @Test func oldDockerArchivesAreRead() async throws {
        let kitchen = try TestKitchen()
        let layer = try TarBuilder { try $0.file("f", "x") }.bytes()
        let archive = try Self.dockerArchive(layers: [("aaa/layer.tar", layer), ("bbb/layer.tar", layer)]) { tar in
            try tar.directory("aaa")
            try tar.add("aaa/layer.tar", EntryMetadata(.file(size: Int64(layer.count))), layer)
            try tar.symlink("bbb/layer.tar", to: "../aaa/layer.tar")
            try tar.file("repositories", "{}")
        }
        try replaceFile(kitchen.scratch.file("old.tar"), archive)
        let loaded = try await kitchen.load("old.tar")
        #expect(loaded.first?.names.map(\.familiar) == ["old:1"])
        #expect(try kitchen.snapshots.all().count == 2)
    }

    private static func dockerArchive(
        layers: [(path: String, tar: [UInt8])],
        diffIDs: [DiffID]? = nil,
        _ build: (inout TarBuilder) throws -> Void
    ) throws -> [UInt8] {
        var config = ImageConfig()
        config.diffIDs = diffIDs ?? layers.map { DiffID(.sha256($0.tar)) }
        let bytes = config.encoded()
        let name = "\(Digest.sha256(bytes).hex).json"
        let list: JSONValue = [
            ["Config": .string(name), "RepoTags": ["old:1"], "Layers": .array(layers.map { .string($0.path) })]
        ]
        return try TarBuilder { tar in
            try build(&tar)
            try tar.file(RawPath(name), String(decoding: bytes, as: UTF8.self))
            try tar.file("manifest.json", String(decoding: list.encoded(), as: UTF8.self))
        }.bytes()
    }

    @Test func hostileArchivesAreRefusedAndLeaveNothing() async throws {
        let layer = try TarBuilder { try $0.file("f", "x") }.bytes()
        let blob = Digest.sha256("other").hex
        func docker(_ path: String, _ build: (inout TarBuilder) throws -> Void) throws -> [UInt8] {
            try Self.dockerArchive(layers: [(path, layer)], build)
        }
        func file(_ tar: inout TarBuilder, _ path: RawPath, _ bytes: [UInt8]) throws {
            try tar.add(path, EntryMetadata(.file(size: Int64(bytes.count))), bytes)
        }
        let archives: [(String, [UInt8])] = try [
            ("not an image archive", Array("garbage".utf8)),
            ("not an image archive", []),
            ("neither manifest.json nor index.json", TarBuilder { try $0.file("f") }.bytes()),
            ("lacks \"l.tar\"", docker("l.tar") { _ in }),
            (
                "too many links",
                docker("a") {
                    try $0.symlink("a", to: "b")
                    try $0.symlink("b", to: "a")
                }
            ),
            ("leads outside", docker("a") { try $0.symlink("a", to: "../../etc/passwd") }),
            ("leads outside", docker("../a") { try file(&$0, "../a", layer) }),
            (
                "has the digest",
                docker("blobs/sha256/\(blob)") { try file(&$0, RawPath("blobs/sha256/\(blob)"), layer) }
            ),
            ("not a layer that can be read", docker("l.tar") { try $0.file("l.tar", "nonsense") }),
            (
                "but the image says",
                Self.dockerArchive(layers: [("l.tar", layer)], diffIDs: [DiffID(.sha256("x"))]) {
                    try file(&$0, "l.tar", layer)
                }
            ),
            (
                "but its config names 2",
                Self.dockerArchive(layers: [("l.tar", layer)], diffIDs: [DiffID(.sha256("x")), DiffID(.sha256("x"))]) {
                    try file(&$0, "l.tar", layer)
                }
            ),
            ("ends inside", Array(docker("l.tar") { try file(&$0, "l.tar", layer) }.prefix(800))),
            ("manifest.json", TarBuilder { try $0.file("manifest.json", "[{\"Config\":3}]") }.bytes()),
            ("JSON", TarBuilder { try $0.file("manifest.json", "[{") }.bytes()),
            (
                "lacks blob",
                TarBuilder { tar in
                    try tar.file("oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}")
                    let entry = Descriptor(mediaType: .ociManifest, digest: .sha256("x"), size: 1)
                    try file(&tar, "index.json", Index(manifests: [entry]).encoded())
                }.bytes()
            ),
        ]
        for (message, bytes) in archives {
            let kitchen = try TestKitchen()
            try replaceFile(kitchen.scratch.file("evil.tar"), bytes)
            await #expect("\(message)") {
                _ = try await kitchen.load("evil.tar")
            } throws: {
                "\($0)".contains(message)
            }
            #expect(try kitchen.content.all().isEmpty, "\(message)")
            #expect(try kitchen.images.all().isEmpty)
            #expect(try kitchen.leftovers() == [])
        }
    }

    @Test func loadsFromAPipe() async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.sample()
        _ = try await LayoutExporter(kitchen.blobs(), format: .docker)
            .exportArchive([NamedImage(image, names: [])], to: .file(kitchen.scratch.file("image.tar")))
        try kitchen.scratch.shell("mkfifo pipe")
        async let fed = blocking { try kitchen.scratch.shell("cat image.tar > pipe") }
        let loaded = try await blocking { try open(kitchen.scratch.file("pipe"), .readOnly).shared() }
        let images = try await ImageLoader(kitchen.snapshots, kitchen.content, kitchen.images).load(from: loaded)
        _ = try await fed
        #expect(images.map(\.config) == [image.configDigest])
        #expect(images.first?.names == [])
    }
}
