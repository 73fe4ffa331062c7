// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots
import Synchronization
import Testing

@Suite(.enabled(if: isRoot, "overlay mounts need root"))
struct LayerImporterTests {
    private let base: [UInt8]

    init() throws {
        base = try TarBuilder { tar in
            try tar.directory("./", mode: 0o751, mtime: 5)
            try tar.directory("etc", mode: 0o700, uid: 7, mtime: 10)
            try tar.file("etc/hosts", "base")
            try tar.directory("usr", mtime: 11)
            try tar.directory("usr/lib", mode: 0o775, uid: 3, mtime: 12)
            try tar.file("usr/lib/libc", "c", uid: 9)
            try tar.symlink("lib", to: "usr/lib")
            try tar.symlink("abs", to: "/usr/lib/../lib")
            try tar.symlink("nowhere", to: "gone/dir")
        }.bytes()
    }

    @Test(arguments: MediaType.Compression.allCases, [1, 700, 1 << 20])
    func importsAnyCompressionInAnyPieces(_ compression: MediaType.Compression, _ chunk: Int) async throws {
        let store = try TestStore()
        let ids = try await store.import([base], blobs: [compressed(base, compression)], chunk: chunk)
        #expect(ids.count == 1)
        #expect(try store.merged(ids, [.modes, .owners, .times]).contains("etc directory 700 7:7 10.0"))
        #expect(try store.snapshots.diffID(of: ids[0]) == DiffID(.sha256(base)))
        #expect(try store.snapshots.size(of: ids[0]) == 5)
        #expect(try store.leftovers() == [])
    }

    @Test func impliedDirectoriesLookAsBelow() async throws {
        let store = try TestStore()
        let top = try TarBuilder { try $0.file("etc/new", "n") }.bytes()
        let ids = try await store.import([base, top])
        #expect(try store.layer(ids[1], [.modes, .owners, .times]).contains("etc directory 700 7:7 10.0"))
        let tree = try store.snapshots.readTree(ids)
        let root = try status(of: tree.root.raw)
        #expect(root.permissions == 0o751)
        #expect(root.modified == FileTime(seconds: 5))
    }

    @Test(arguments: ["lib", "abs"])
    func contentFollowsTheSymlinkOfALowerLayer(_ link: String) async throws {
        let store = try TestStore()
        let top = try TarBuilder { tar in
            try tar.file(RawPath("\(link)/new"), "n")
            try tar.file(RawPath("\(link)/sub/deep"), "d")
            try tar.file(RawPath("\(link)/.wh.libc"))
        }.bytes()
        let ids = try await store.import([base, top])
        #expect(
            try store.layer(ids[1]) == [
                "usr directory", "usr/lib directory", "usr/lib/libc whiteout", "usr/lib/new regular \"n\"",
                "usr/lib/sub directory", "usr/lib/sub/deep regular \"d\"",
            ]
        )
        let merged = try store.merged(ids, [.modes, .owners, .times])
        #expect(merged.contains("usr directory 755 0:0 11.0"))
        #expect(merged.contains("usr/lib directory 775 3:3 12.0"))
        #expect(merged.contains { $0.hasPrefix("lib symlink") })
    }

    @Test func contentBelowADanglingSymlinkGoesWhereItPoints() async throws {
        let store = try TestStore()
        let top = try TarBuilder { try $0.file("nowhere/f", "n") }.bytes()
        let ids = try await store.import([base, top])
        #expect(try store.layer(ids[1]) == ["gone directory", "gone/dir directory", "gone/dir/f regular \"n\""])
    }

    @Test func symlinksThatLeadOutsideStayInside() async throws {
        let store = try TestStore()
        let evil = try TarBuilder { try $0.symlink("out", to: "../../../../../tmp/galley-escape") }.bytes()
        let top = try TarBuilder { try $0.file("out/f", "n") }.bytes()
        let ids = try await store.import([evil, top])
        #expect(
            try store.layer(ids[1]) == [
                "tmp directory", "tmp/galley-escape directory", "tmp/galley-escape/f regular \"n\"",
            ]
        )
    }

    @Test func hardLinksToLowerFilesCopyThemUp() async throws {
        let store = try TestStore()
        let top = try TarBuilder { tar in
            try tar.hardLink("etc/two", to: "etc/one")
            try tar.hardLink("etc/one", to: "lib/libc")
            try tar.hardLink("link", to: "lib")
        }.bytes()
        let ids = try await store.import([base, top])
        #expect(
            try store.layer(ids[1], [.owners]) == [
                "etc directory 7:7", "etc/one regular 9:9 \"c\"", "etc/two regular 9:9 = etc/one \"c\"",
                "lib symlink 0:0 -> usr/lib", "link symlink 0:0 = lib -> usr/lib", "usr directory 0:0",
                "usr/lib directory 3:3", "usr/lib/libc regular 9:9 = etc/one \"c\"",
            ]
        )
        #expect(try store.merged(ids, [.times]).contains("etc directory 10.0"))
    }

    @Test func refusesWhatDoesNotFit() async throws {
        let cases: [(String, (inout TarBuilder) throws -> Void)] = [
            ("\"a\" is a hard link to nothing: no layer has \"gone\"", { try $0.hardLink("a", to: "gone") }),
            ("\"a\" is a hard link to the directory \"usr\"", { try $0.hardLink("a", to: "usr") }),
            (
                "\"etc/hosts\", which is not a directory",
                { try $0.file("etc/hosts/below") }
            ),
            (
                "is a hard link to nothing",
                { tar in
                    try tar.file("usr/.wh..wh..opq")
                    try tar.hardLink("a", to: "usr/lib/libc")
                }
            ),
            ("\"..\" component", { try $0.file("../outside") }),
        ]
        for (message, build) in cases {
            let store = try TestStore()
            let top = try TarBuilder(build).bytes()
            await #expect {
                try await store.import([base, top])
            } throws: { error in
                "\(error)".contains(message) && (error as? SnapshotError)?.code == .badLayer
            }
            // The layer below was good and may stay.
            #expect(try store.snapshots.all().count <= 1)
            #expect(try store.leftovers() == [])
        }
    }

    @Test func anotherDigestIsRefused() async throws {
        let store = try TestStore()
        let wrong = DiffID(.sha256("other"))
        await #expect {
            try await LayerImporter(store.snapshots).importLayers([wrong]) { _, input in
                try await input.write(base[...])
            }
        } throws: {
            "\($0)".contains("but the image says \(wrong)")
        }
        #expect(try store.snapshots.all().isEmpty)
        #expect(try store.leftovers() == [])
    }

    @Test func theFeedersErrorComesBack() async throws {
        struct Cut: Error {}
        let store = try TestStore()
        await #expect(throws: Cut.self) {
            try await LayerImporter(store.snapshots).importLayers([DiffID(.sha256(base))]) { _, input in
                try await input.write(base.prefix(600))
                throw Cut()
            }
        }
        #expect(try store.leftovers() == [])
    }

    @Test(arguments: [[0x1f, 0x8b, 8, 0], [1, 2, 3], Array(repeating: 0x41, count: 4096)] as [[UInt8]])
    func garbageIsRefused(_ bytes: [UInt8]) async throws {
        let store = try TestStore()
        await #expect(throws: SnapshotError.self) { try await store.import([bytes]) }
    }

    @Test func knownLayersAreNotAskedFor() async throws {
        let store = try TestStore()
        let top = try TarBuilder { try $0.file("x") }.bytes()
        let first = try await store.import([base])
        let asked = Mutex<[Int]>([])
        let blobs = [base, top]
        let ids = try await LayerImporter(store.snapshots).importLayers(blobs.map { DiffID(.sha256($0)) }) {
            index,
            input in
            asked.withLock { $0.append(index) }
            try await input.write(blobs[index][...])
        }
        #expect(ids.first == first.first)
        #expect(asked.withLock(\.self) == [1])
    }

    @Test func layersAboveArriveFirst() async throws {
        let store = try TestStore()
        let top = try TarBuilder { try $0.file("etc/new", "n") }.bytes()
        let blobs = [base, top]
        let (done, signal) = AsyncStream<Void>.makeStream()
        let ids = try await LayerImporter(store.snapshots).importLayers(blobs.map { DiffID(.sha256($0)) }) {
            index,
            input in
            // The lower layer's bytes come only when the upper layer's are all there.
            if index == 0 { for await _ in done { break } }
            try await input.write(blobs[index][...])
            if index == 1 { signal.finish() }
        }
        #expect(try store.layer(ids[1], [.modes]).first == "etc directory 700")
    }

    @Test func twoImportersOfOneImageShareItsLayers() async throws {
        let store = try TestStore()
        async let first = store.import([base])
        async let second = store.import([base])
        let both = try await (first, second)
        #expect(both.0 == both.1)
        #expect(try store.snapshots.all().count == 1)
    }
}
