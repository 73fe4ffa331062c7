// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import BuildDefinition
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots
import Testing

@testable import BuildOps

@Suite(.enabled(if: isRoot, "owners need root"), .endsHangs) struct AddArchiveTests {
    private static let tree = "mkdir -p t/d; echo -n x > t/d/f; chmod 700 t/d; chown -R 5:6 t/d; ln -s d t/l; "

    @Test(arguments: [
        "tar cf a", "tar czf a", "tar cjf a", "tar cJf a", "tar c --zstd -f a", "tar c -H ustar -f a",
        "tar c -H gnu -f a",
    ])
    func unpacks(command: String) async throws {
        let kitchen = try TestKitchen()
        let context = try kitchen.context(Self.tree + "\(command) -C t d l")
        let base = try kitchen.stage("mkdir -m 750 here")
        let actions = [
            copying("/a", "/here", unpacks: true), copying("/a", "/n/m", owner: "7:8", unpacks: true),
            copying("/a", "/", unpacks: true),
        ]
        let result = try await kitchen.run(actions, base: base, source: context)
        #expect(
            try kitchen.list(result.layers, [.owners, .modes]) == [
                "d directory 700 5:6", #"d/f regular 644 5:6 "x""#, "here directory 750 0:0",
                "here/d directory 700 5:6",
                #"here/d/f regular 644 5:6 "x""#, "here/l symlink 777 0:0 -> d", "l symlink 777 0:0 -> d",
                "n directory 755 7:8", "n/m directory 755 7:8", "n/m/d directory 700 7:8",
                #"n/m/d/f regular 644 7:8 "x""#,
                "n/m/l symlink 777 7:8 -> d",
            ]
        )
    }

    @Test func whatIsNoArchiveIsCopied() async throws {
        let kitchen = try TestKitchen()
        let context = try kitchen.context(
            "echo hello | gzip -n > text.gz; echo -n not > a.tar; touch empty; printf '\\x1f\\x8b' > short.gz; mkdir dir; touch dir/x"
        )
        let result = try await kitchen.run(
            [copying("/*", "/d/", unpacks: true)],
            base: try kitchen.stage(""),
            source: context
        )
        #expect(
            try kitchen.list(result.layers).map { $0.prefix { $0 != " " } }
                == ["d", "d/a.tar", "d/empty", "d/short.gz", "d/text.gz", "d/x"]
        )
        #expect(try kitchen.list(result.layers).contains(#"d/a.tar regular "not""#))
    }

    /// The first header may be far behind the first compressed bytes: a block gives nothing before it is whole.
    @Test(arguments: ["gzip -9", "bzip2 -9", "xz -9", "zstd -q -19"])
    func firstEntryOfALargeBlock(compressor: String) async throws {
        let kitchen = try TestKitchen()
        let context = try kitchen.context(
            """
            head -c 2000000 /dev/urandom > f; ln -s f l
            tar c --sort=name f l | \(compressor) > a; sha256sum < f > sum; rm f l
            """
        )
        let result = try await kitchen.run(
            [copying("/a", "/", unpacks: true), copying("/sum", "/")],
            base: try kitchen.stage(""),
            source: context
        )
        #expect(try kitchen.list(result.layers).map { $0.prefix { $0 != " " } } == ["f", "l", "sum"])
        let layer = try kitchen.snapshots.layerDirectory(result.layers[1])
        let sum = String(decoding: try readFile(at: layer.raw, "sum"), as: UTF8.self)
        #expect(sum.hasPrefix(Digest.sha256(try readFile(at: layer.raw, "f", limit: 1 << 22)).hex))
    }

    /// What ends before its first entry is a file like any other; what is damaged behind it is a broken archive.
    @Test(arguments: [
        ("tar cf a -T /dev/null", true), ("head -c 100000 /dev/zero > a", true),
        ("tar czf a -T /dev/null", true), ("seq 100000 | bzip2 > a", true), ("seq 100000 | xz > a", true),
        ("seq 100000 | xz > a; truncate -s 5000 a", true), ("printf 'BZh9 and more' > a", true),
        ("seq 200000 > f; tar c f | xz > a; truncate -s 5000 a; rm f", false),
        ("seq 200000 > f; tar c f | bzip2 -1 > a; truncate -s 200000 a; rm f", false),
        ("seq 200000 > f; tar c f | xz > a; echo garbage >> a; rm f", false),
        ("echo x > f; tar c f | xz --lzma2=dict=512MiB > a; rm f", false),
    ])
    func archivesWithoutAnEntry(script: String, isCopied: Bool) async throws {
        let kitchen = try TestKitchen()
        let context = try kitchen.context(script)
        let base = try kitchen.stage("")
        let actions = [copying("/a", "/d/", unpacks: true)]
        if isCopied {
            let result = try await kitchen.run(actions, base: base, source: context)
            #expect(try kitchen.list(result.layers).map { $0.prefix { $0 != " " } } == ["d", "d/a"])
        } else {
            await #expect(throws: ArchiveError.self) {
                try await kitchen.run(actions, base: base, source: context)
            }
        }
    }

    @Test func followsSymlinksOfTheImageInsideIt() async throws {
        let kitchen = try TestKitchen()
        let context = try kitchen.context(
            "mkdir -p t/lib/x; touch t/lib/x/f; tar cf a.tar -C t lib/x/f; ln -s a.tar link"
        )
        let base = try kitchen.stage("mkdir -p usr/lib; ln -s usr/lib lib; ln -s /../../usr/lib dest")
        let result = try await kitchen.run(
            [copying("/link", "/", unpacks: true), copying("/a.tar", "/dest", unpacks: true)],
            base: base,
            source: context
        )
        #expect(
            try kitchen.list(result.layers) == [
                "dest symlink -> /../../usr/lib", "lib symlink -> usr/lib", "usr directory", "usr/lib directory",
                "usr/lib/lib directory", "usr/lib/lib/x directory", "usr/lib/lib/x/f regular \"\"",
                "usr/lib/x directory",
                "usr/lib/x/f regular \"\"",
            ]
        )
    }

    /// Nothing reaches the host; whether it is refused or kept inside is the archive module's to say.
    @Test(arguments: ["../evil", "/../evil", "a/../../../evil", "../../../../../../../../tmp/galley-evil"])
    func hostileNamesStayInside(name: String) async throws {
        let kitchen = try TestKitchen()
        let tar = try TarBuilder { try $0.file(RawPath(name), "x") }.bytes()
        let directory = try kitchen.directory("")
        try replaceFile(directory.appending("a.tar"), tar)
        let context = kitchen.value(try kitchen.scan(directory))
        _ = try? await kitchen.run(
            [copying("/a.tar", "/d/", unpacks: true)],
            base: try kitchen.stage(""),
            source: context
        )
        #expect(try statusIfPresent(at: workingDirectory, kitchen.scratch.file("evil")) == nil)
        #expect(try statusIfPresent(at: workingDirectory, "/tmp/galley-evil") == nil)
        #expect(try statusIfPresent(at: workingDirectory, "/evil") == nil)
    }

    @Test func symlinkOfTheArchiveDoesNotLeadOut() async throws {
        let kitchen = try TestKitchen()
        let outside = kitchen.scratch.file("outside")
        try makeDirectory(outside)
        let tar = try TarBuilder {
            try $0.symlink("out", to: outside)
            try $0.file("out/evil", "x")
        }.bytes()
        let directory = try kitchen.directory("")
        try replaceFile(directory.appending("a.tar"), tar)
        let context = kitchen.value(try kitchen.scan(directory))
        _ = try? await kitchen.run(
            [copying("/a.tar", "/", unpacks: true)],
            base: try kitchen.stage(""),
            source: context
        )
        #expect(try statusIfPresent(at: workingDirectory, outside.appending("evil")) == nil)
    }

    @Test func archiveThatChangedSinceTheScanIsNoticed() async throws {
        let kitchen = try TestKitchen()
        let directory = try kitchen.directory("touch f; tar cf a.tar f")
        let context = kitchen.value(try kitchen.scan(directory))
        try kitchen.scratch.shell("cd '\(directory)'; touch g; tar cf a.tar g")
        let result = try await kitchen.run(
            [copying("/a.tar", "/", unpacks: true)],
            base: try kitchen.stage(""),
            source: context
        )
        #expect(result.sourceChanged)
    }
}
