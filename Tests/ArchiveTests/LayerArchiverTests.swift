// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import Glibc
import LinuxSystem
import OCI
import Testing

@Suite(.enabled(if: isRoot, "ownership and devices need root")) struct LayerArchiverTests {
    @Test func roundTrip() throws {
        let scratch = try ScratchTree()
        try scratch.shell(
            LayerUnpackerTests.tree
                + "\n mknod -m 0 gone c 0 0; setfattr -n trusted.overlay.opaque -v y dir; setfattr -n trusted.overlay.origin -v x none"
        )
        let first = try archive(scratch.path + "/src")
        try unpack(first.bytes, into: scratch.directory("again"))
        try scratch.shell("setfattr -x trusted.overlay.origin src/none")
        // A whiteout's own time means nothing and is not kept.
        try scratch.shell("touch -h -d @0 src/gone again/gone; touch -d @0 src again")
        try expectSameTree(scratch.path + "/again", scratch.path + "/src")
        let second = try archive(scratch.path + "/again")
        #expect(second.bytes == first.bytes)
        #expect(second.layer == first.layer)
        #expect(first.layer.diffID.digest == Digest.sha256(first.bytes))
        #expect(
            first.layer.descriptor
                == Descriptor(
                    mediaType: .ociLayer,
                    digest: first.layer.diffID.digest,
                    size: Int64(first.bytes.count)
                )
        )
    }

    @Test func othersReadIt() throws {
        let scratch = try ScratchTree()
        try scratch.shell(LayerUnpackerTests.tree)
        try writeFile(scratch.path + "/a.tar", archive(scratch.path + "/src").bytes)
        try scratch.shell(
            "mkdir out; tar --xattrs --xattrs-include='*' --numeric-owner -xpf a.tar -C out 2>&1; python3 -c 'import tarfile; tarfile.open(\"a.tar\").getmembers()'"
        )
        try expectSameTree(scratch.path + "/out", scratch.path + "/src")
    }

    /// umoci reads several gzip members with Go's compress/gzip, verifies digest and diffID, and applies the layers.
    /// Debian's knows no zstd.
    @Test(
        .enabled(if: access("/usr/bin/umoci", X_OK) == 0, "needs umoci"),
        arguments: [MediaType.Compression.gzip, .none]
    )
    func umociUnpacksIt(compression: MediaType.Compression) throws {
        let scratch = try ScratchTree()
        try scratch.shell(
            "mkdir -p one/d two/d oci/blobs/sha256; seq 1 400000 > one/text; head -c 2000000 /dev/urandom > one/noise"
        )
        try scratch.shell(
            "touch one/gone one/d/old; mknod two/gone c 0 0; touch two/d/new; setfattr -n trusted.overlay.opaque -v y two/d; ln -s /x two/sym"
        )
        func store(_ bytes: [UInt8]) throws -> String {
            let digest = Digest.sha256(bytes)
            try writeFile(scratch.path + "/oci/blobs/sha256/\(digest.hex)", bytes)
            return "\"digest\":\"\(digest)\",\"size\":\(bytes.count)"
        }
        var layers = [String]()
        var diffIDs = [String]()
        for name in ["one", "two"] {
            let (bytes, layer) = try archive("\(scratch.path)/\(name)", LayerWriter.Options(compression: compression))
            layers.append("{\"mediaType\":\"\(layer.descriptor.mediaType)\",\(try store(bytes))}")
            diffIDs.append("\"\(layer.diffID)\"")
        }
        let config = try store(
            Array(
                """
                {"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[\(diffIDs.joined(separator: ","))]}}
                """.utf8
            )
        )
        let manifest = try store(
            Array(
                """
                {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","config":{"mediaType":"\(MediaType.ociConfig)",\(config)},\
                "layers":[\(layers.joined(separator: ","))]}
                """.utf8
            )
        )
        try writeFile(
            scratch.path + "/oci/index.json",
            Array(
                """
                {"schemaVersion":2,"manifests":[{"mediaType":"\(MediaType.ociManifest)",\(manifest),\
                "annotations":{"org.opencontainers.image.ref.name":"t"}}]}
                """.utf8
            )
        )
        try writeFile(scratch.path + "/oci/oci-layout", Array("{\"imageLayoutVersion\":\"1.0.0\"}".utf8))
        try scratch.shell(
            "umoci unpack --image oci:t bundle; cmp one/text bundle/rootfs/text; cmp one/noise bundle/rootfs/noise"
        )
        #expect(
            try scratch.shell("cd bundle/rootfs; find . -mindepth 1 | sort | tr '\\n' ' '")
                == "./d ./d/new ./noise ./sym ./text "
        )
    }

    @Test func orderAndMarkers() throws {
        let scratch = try ScratchTree()
        try scratch.shell(
            """
            mkdir -p src/b/sub src/a; cd src; touch a.txt a/z b/1 B; mknod gone c 0 0; mknod a/gone c 0 0
            setfattr -n user.overlay.opaque -v y b; ln B zz; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
            """
        )
        let items = try Collector.read(archive(scratch.path + "/src").bytes)
        #expect(
            items.map { $0.entry.path.description } == [
                "B", "a/", "a/.wh.gone", "a/z", "a.txt", "b/", "b/.wh..wh..opq", "b/1", "b/sub/", ".wh.gone", "zz",
            ]
        )
        #expect(items.last?.entry.metadata.kind == .hardLink(target: "B"))
        #expect(items.allSatisfy { $0.entry.metadata.xattrs.isEmpty && $0.entry.userName.isEmpty })
    }

    @Test(arguments: MediaType.Compression.allCases) func compressed(compression: MediaType.Compression) throws {
        let scratch = try ScratchTree()
        try scratch.shell(
            "mkdir src; head -c 3000000 /dev/urandom > src/noise; seq 1 500000 > src/text; cp /bin/bash src"
        )
        let plain = try archive(scratch.path + "/src")
        var seen = Set<[UInt8]>()
        for threads in [1, 2, 5] {
            let (bytes, layer) = try archive(
                scratch.path + "/src",
                LayerWriter.Options(compression: compression, threads: threads)
            )
            seen.insert(bytes)
            #expect(layer.diffID == plain.layer.diffID)
            #expect(layer.uncompressedSize == Int64(plain.bytes.count))
            #expect(
                layer.descriptor
                    == Descriptor(
                        mediaType: .layer(compression),
                        digest: .sha256(bytes),
                        size: Int64(bytes.count)
                    )
            )
            var out = [UInt8]()
            let decompressor = try Decompressor(layer: compression) { out += $0 }
            try feed(bytes, 10_000) { try decompressor.write($0) }
            try decompressor.finish()
            #expect(out == plain.bytes)
        }
        #expect(seen.count == 1)
    }

    @Test func emptyLayer() throws {
        let scratch = try ScratchTree()
        #expect(try archive(scratch.directory("src")).layer.diffID == .empty)
    }

    @Test func sourceDateEpoch() throws {
        let scratch = try ScratchTree()
        try scratch.shell("mkdir src; touch -d @100.5 src/old; touch -d @200 src/new")
        let options = LayerWriter.Options(sourceDateEpoch: FileTime(seconds: 150))
        let items = try Collector.read(archive(scratch.path + "/src", options).bytes)
        #expect(
            items.map(\.entry.metadata.mtime) == [
                FileTime(seconds: 150), FileTime(seconds: 100, nanoseconds: 500_000_000),
            ]
        )
        for (epoch, isClamped) in [(150, true), (199, true), (200, false), (nil, false)] as [(Int64?, Bool)] {
            let writer = try LayerWriter(LayerWriter.Options(sourceDateEpoch: epoch.map { FileTime(seconds: $0) })) {
                _ in
            }
            let directory = try open(RawPath(scratch.path + "/src"), [.directory])
            try LayerArchiver(directory.raw, to: writer).walk()
            #expect(writer.hasClampedTimes == isClamped)
        }
    }

    @Test func whatALayerCannotSay() throws {
        let scratch = try ScratchTree()
        for script in [
            "mkdir src; touch src/.wh.file", "mkdir -p src/.wh.dir",
            "mkdir -p src/d; setfattr -n trusted.overlay.redirect -v /x src/d",
            "mkdir src; touch src/f; setfattr -n trusted.overlay.metacopy -v '' src/f",
        ] {
            try scratch.shell(script)
            expectError(.unsupported) { _ = try archive(scratch.path + "/src") }
            try scratch.shell("rm -r src")
        }
    }

    /// A command may make paths that are longer than any archive may have.
    @Test(arguments: [(2_000, nil), (2_100, .unsupported)] as [(Int, ArchiveError.Code?)])
    func deepTrees(depth: Int, code: ArchiveError.Code?) throws {
        let memory = try detachedMemoryTree()
        try nestDirectories(in: memory.raw, depth: depth)
        let archive = {
            let root = try open(at: memory.raw, ".", [.directory])
            _ = try LayerArchiver.archive(root.raw, options: LayerWriter.Options()) { _ in }
        }
        if let code { expectError(code) { try archive() } } else { try archive() }
    }

    /// A sink that is full or gone stops the threads and passes its error on.
    @Test func failingSink() throws {
        struct Full: Error {}
        let scratch = try ScratchTree()
        try scratch.shell("mkdir src; head -c 20000000 /dev/urandom > src/noise")
        let fd = try open(RawPath(scratch.path + "/src"), [.directory])
        for compression in MediaType.Compression.allCases {
            var left = 3
            #expect(throws: Full.self) {
                try LayerArchiver.archive(fd.raw, options: LayerWriter.Options(compression: compression)) { _ in
                    left -= 1
                    if left == 0 { throw Full() }
                }
            }
        }
    }

    @Test func sparseFilesAreNotRead() throws {
        let scratch = try ScratchTree()
        try scratch.shell(
            "mkdir src; truncate -s 2G src/huge; printf x | dd of=src/huge bs=1 seek=1000000000 conv=notrunc status=none"
        )
        let fd = try open(RawPath(scratch.path + "/src"), [.directory])
        let sink = CountingSink()
        try LayerArchiver(fd.raw, to: sink).walk()
        #expect(sink.data < 1 << 20)
        #expect(sink.data + sink.holes == 2 << 30)
    }

    private final class CountingSink: ChangeSink {
        var data: Int64 = 0
        var holes: Int64 = 0
        func begin(_ path: RawPath, _ metadata: EntryMetadata) throws {}
        func write(_ bytes: UnsafeRawBufferPointer) throws { data += Int64(bytes.count) }
        func writeHole(_ count: Int64) throws { holes += count }
        func end() throws {}
        func addWhiteout(_ path: RawPath) throws {}
        func makeOpaque(_ directory: RawPath) throws {}
    }
}
