// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import Testing

@Suite(.enabled(if: isRoot, "ownership and devices need root")) struct LayerUnpackerTests {
    static let tree = """
        mkdir -p src/dir/deep/er src/sticky; cd src
        echo hello > file; : > none; head -c 300000 /dev/urandom > dir/data; echo x > dir/deep/er/x
        ln file dir/link; ln file dir/link2; ln -s ../file dir/sym; ln -s /nowhere/at/all abs; ln dir/sym dir/symlink
        mkfifo pipe; mknod null c 1 3; mknod loop b 7 200
        chown 1000:2000 file dir; chown -h 3000000000:4000000000 dir/sym; chmod 6755 file; chmod 1777 sticky; chmod 2750 dir
        chmod 0 none; chmod 500 dir/deep
        setfattr -n user.key -v value dir/data; setfattr -n user.dir -v v dir; setfattr -n trusted.k -v t -h abs
        setcap cap_net_raw+ep dir/data
        truncate -s 10M sparse; printf x | dd of=sparse bs=1 seek=5000000 conv=notrunc status=none
        touch "$(printf 'bad\\xff\\xfename')" 'spa ce' 'nëw'; printf l > "$(printf 'l%.0s' $(seq 1 200))"
        touch -h -d '2001-02-03 04:05:06.789012345' dir/sym dir/data; touch -h -d @1.5 dir/deep sticky pipe null .
        touch -d '1960-01-01 00:00:00.25' file
        """

    @Test(arguments: ["pax", "gnu"], [1000, 1 << 20])
    func unpacksWhatGNUTarWrites(format: String, chunk: Int) throws {
        let scratch = try ScratchTree()
        let xattrs = format == "pax" ? "--xattrs --xattrs-include='*'" : "--no-xattrs"
        try scratch.shell(
            Self.tree + """

                cd ..; tar --sparse --format=\(format) \(xattrs) --numeric-owner -C src -cf a.tar .
                mkdir theirs; tar \(xattrs) --numeric-owner -xpf a.tar -C theirs
                """
        )
        let ours = try scratch.directory("ours")
        let result = try unpack(scratch.bytes("a.tar"), into: ours, chunk: chunk)
        try expectSameTree(ours, scratch.path + "/theirs")
        if format == "pax" { try expectSameTree(ours, scratch.path + "/src") }
        #expect(result.impliedDirectories.isEmpty && result.pendingHardLinks.isEmpty && result.skippedCount == 0)
        #expect(try status(at: workingDirectory, RawPath(ours + "/sparse")).blocks < 64)
        #expect(try status(at: workingDirectory, RawPath(ours)).modified.seconds == 1)
    }

    @Test func zeroRunsBecomeHoles() throws {
        let scratch = try ScratchTree()
        try scratch.shell(
            """
            head -c 5000000 /dev/zero > z; echo end >> z; head -c 100000 /dev/zero > small
            head -c 3000000 /dev/zero > zz; tar --format=ustar -cf a.tar z small zz; mkdir out
            """
        )
        let result = try unpack(scratch.bytes("a.tar"), into: scratch.path + "/out", chunk: 1 << 20)
        try scratch.shell("for f in z small zz; do cmp $f out/$f; done")
        #expect(result.bytesWritten < 500_000)
        #expect(try status(at: workingDirectory, RawPath(scratch.path + "/out/zz")).blocks < 600)
    }

    // MARK: - Whiteouts

    @Test(arguments: [OverlayFlavour.trusted, .user]) func whiteouts(flavour: OverlayFlavour) throws {
        let scratch = try ScratchTree()
        let out = try scratch.directory("out")
        let result = try unpack(
            tar([
                entry("d", .directory), file("d/.wh.gone"), file("d/.wh..wh..opq"), file(".wh.top"), file("e/.wh.x"),
                file(".wh..wh.plnk"), file(".wh..wh.plnk/1.2"), file("d/new", "n"),
                // The same name removed below and made again here, in both orders.
                file(".wh.again"), entry("again", .directory), file("again/f"), entry("other", .directory),
                file(".wh.other"),
                file(".wh.file"), file("file", "f"), file("file2", "f"), file(".wh.file2"), file(".wh.sub"),
                file("sub/x", "x"),
            ]),
            into: out,
            overlay: flavour
        )
        let root = try open(RawPath(out), [.directory])
        for path: RawPath in ["d/gone", "top", "e/x"] { #expect(try status(at: root.raw, path).isWhiteout, "\(path)") }
        for path: RawPath in ["file", "file2", "d/new"] { #expect(try status(at: root.raw, path).kind == .regular) }
        for path in ["d", "again", "other", "sub"] {
            let fd = try open(at: root.raw, RawPath(path), [.directory])
            #expect(try extendedAttribute(of: fd.raw, flavour.opaqueAttribute) == [0x79], "\(path)")
        }
        #expect(result.impliedDirectories == ["e"])
        #expect(result.skipped.map(\.path) == [".wh..wh.plnk", ".wh..wh.plnk/1.2"])
        #expect(try statusIfPresent(at: root.raw, ".wh..wh.plnk") == nil)
    }

    /// Symlinks lead an archive deeper than its paths are long.
    @Test func replacesDeepDirectories() throws {
        let memory = try detachedMemoryTree()
        try nestDirectories(in: memory.raw, depth: 20_000)
        try unpack(tar([file("d", "new")]), into: "/proc/self/fd/\(memory.raw)")
        #expect(try readFile(at: memory.raw, "d") == Array("new".utf8))
    }

    @Test(arguments: [".wh.", ".wh..", ".wh...", ".wh.d/file", "a/.wh."]) func hostileWhiteouts(path: String) throws {
        let scratch = try ScratchTree()
        #expect(throws: ArchiveError.self) { try unpack(tar([file(RawPath(path))]), into: scratch.directory("out")) }
    }

    @Test func overlayMountHidesWhatIsWhitedOut() throws {
        let scratch = try ScratchTree()
        try scratch.shell("mkdir -p lower/d lower/keep merged; touch lower/gone lower/d/old lower/keep/a lower/keep/b")
        try unpack(
            tar([
                file(".wh.gone"), entry("d", .directory), file("d/.wh..wh..opq"), file("d/new"), file("keep/.wh.a"),
            ]),
            into: scratch.directory("upper")
        )
        let seen = try scratch.shell(
            """
            unshare -m sh -ec 'mount -t overlay overlay -o lowerdir=upper:lower merged; cd merged; find . -mindepth 1 | sort'
            """
        )
        #expect(seen == "./d\n./d/new\n./keep\n./keep/b\n")
    }

    // MARK: - Names that lead outside

    @Test(arguments: ["../x", "a/../../x", "/../x", "a/..", "..", "./../x"]) func dotDot(path: String) throws {
        let scratch = try ScratchTree()
        for bad in [
            file(RawPath(path), "x"), entry(RawPath(path), .symlink(target: "x")), entry(RawPath(path), .fifo),
            entry("l", .hardLink(target: RawPath(path))),
        ] {
            let out = try scratch.directory("out")
            expectError(.unsafePath) { try unpack(tar([file("l0"), bad]), into: out) }
            #expect(try statusIfPresent(at: workingDirectory, RawPath(scratch.path + "/x")) == nil)
            try scratch.shell("rm -r out")
        }
    }

    @Test func absoluteNamesAreRelativeToTheRoot() throws {
        let scratch = try ScratchTree()
        let out = try scratch.directory("out")
        try unpack(
            tar([
                file("/galley-test-absolute", "x"), entry("hard", .hardLink(target: "/galley-test-absolute")),
                entry("/", .directory),
                entry("//d//", .directory), file("./d/./f"),
            ]),
            into: out
        )
        #expect(
            try scratch.shell("cd out; find . -mindepth 1 | sort | tr '\\n' ' '")
                == "./d ./d/f ./galley-test-absolute ./hard "
        )
        #expect(try statusIfPresent(at: workingDirectory, "/galley-test-absolute") == nil)
    }

    @Test(arguments: [
        "/", "..", "../..", "../../../../../../..", "/proc/self/root", "../outside", "/work", "a/../../outside",
    ])
    func symlinksNeverLeadOutside(target: String) throws {
        let scratch = try ScratchTree()
        let outside = try scratch.directory("outside")
        let out = try scratch.directory("out")
        let absolute = target == "/work" ? outside : target
        do {
            try unpack(
                tar([
                    entry("link", .symlink(target: RawPath(absolute))), file("link/pwned", "x"),
                    file("link/outside/pwned"),
                    entry("link/dir", .directory), entry("link/hard", .hardLink(target: "link/pwned")),
                ]),
                into: out
            )
        } catch is ArchiveError {
        }
        #expect(try scratch.shell("find outside -mindepth 1; ls; test -L out/link") == "out\noutside\n")
        #expect(try readLink(RawPath(out + "/link")) == RawPath(absolute))
        #expect(try statusIfPresent(at: workingDirectory, "/pwned") == nil)
    }

    @Test func symlinkedParentsAreFollowedInside() throws {
        let scratch = try ScratchTree()
        let out = try scratch.directory("out")
        let result = try unpack(
            tar([
                entry("usr", .directory), entry("usr/lib", .directory), entry("lib", .symlink(target: "usr/lib")),
                file("lib/a", "a"), file("lib/sub/b", "b"), entry("run", .symlink(target: "/var/run")),
                file("run/pid", "1"),
                entry("up", .directory), entry("up/l", .symlink(target: "../usr/new")), file("up/l/c", "c"),
            ]),
            into: out
        )
        #expect(
            try scratch.shell("cd out; find . -type f | sort | tr '\\n' ' '")
                == "./usr/lib/a ./usr/lib/sub/b ./usr/new/c ./var/run/pid "
        )
        #expect(result.impliedDirectories == ["usr/lib/sub", "usr/new", "var", "var/run"])
    }

    @Test func symlinkLoops() throws {
        let scratch = try ScratchTree()
        expectError(.unsafePath) {
            try unpack(
                tar([
                    entry("a", .symlink(target: "b")), entry("b", .symlink(target: "a")), file("a/x"),
                ]),
                into: scratch.directory("out")
            )
        }
        expectError(.unsafePath) {
            try unpack(tar([entry("a", .symlink(target: "a/b")), file("a/x")]), into: scratch.directory("out2"))
        }
    }

    @Test func filesReplaceLinksRatherThanWriteThroughThem() throws {
        let scratch = try ScratchTree()
        try writeFile(scratch.path + "/victim", Array("safe".utf8))
        let out = try scratch.directory("out")
        try unpack(
            tar([
                entry("l", .symlink(target: RawPath(scratch.path + "/victim"))), file("l", "new"),
                file("shared", "one"), entry("hard", .hardLink(target: "shared")), file("hard", "two"),
                entry("d", .symlink(target: RawPath(scratch.path))), entry("d", .directory), file("d/victim", "new"),
            ]),
            into: out
        )
        #expect(try scratch.shell("cat victim out/l out/shared out/hard out/d/victim") == "safenewonetwonew")
    }

    // MARK: - Hard links

    @Test func hardLinks() throws {
        let scratch = try ScratchTree()
        let result = try unpack(
            tar([
                entry("early", .hardLink(target: "late")), file("late", "x"),
                entry("lower", .hardLink(target: "usr/bin/tool")),
                entry("chain", .hardLink(target: "lower")), entry("replaced", .hardLink(target: "nothing")),
                file("replaced", "r"),
                entry("s", .symlink(target: "late")), entry("slink", .hardLink(target: "s")),
            ]),
            into: scratch.directory("out")
        )
        #expect(result.pendingHardLinks.map(\.path) == ["lower", "chain"])
        #expect(result.pendingHardLinks.map(\.target) == ["usr/bin/tool", "lower"])
        #expect(
            try scratch.shell("cd out; stat -c '%n %h' * | tr '\\n' ' '") == "early 2 late 2 replaced 1 s 2 slink 2 "
        )
    }

    @Test func impossibleHardLinks() throws {
        let scratch = try ScratchTree()
        let cases: [[(TarEntry, [UInt8])]] = [
            [file(".wh.x"), entry("l", .hardLink(target: "x"))],
            [entry("d", .directory), entry("l", .hardLink(target: "d"))],
            [entry("l", .hardLink(target: "l"))], [entry("l", .hardLink(target: "./l"))],
        ]
        for (index, entries) in cases.enumerated() {
            expectError(.conflict) { try unpack(tar(entries), into: scratch.directory("out\(index)")) }
        }
    }

    // MARK: - Other

    @Test func lastOfANameWins() throws {
        let scratch = try ScratchTree()
        let out = try scratch.directory("out")
        var early = entry("d", .directory)
        early.0.metadata.mtime = FileTime(seconds: 5)
        let result = try unpack(
            tar([
                file("a", "long first content"), file("a", "second"), early, file("d/f"), file("d", "now a file"),
                file("b", "x"), entry("b", .directory), file("b/c", "c"), file("i/x"), file("i", "implied no more"),
                entry("m", .directory, mode: 0o700), file("m/k"), entry("m", .directory),
            ]),
            into: out
        )
        #expect(
            try scratch.shell("cd out; cat a d b/c i; stat -c ' %A' m; ls m")
                == "secondnow a filecimplied no more drwxr-xr-x\nk\n"
        )
        #expect(result.impliedDirectories.isEmpty)
    }

    /// Replacing a directory or a symlink makes every remembered parent doubtful, also while the entry is being made.
    @Test func replacementsBelowTheRoot() throws {
        let scratch = try ScratchTree()
        let out = try scratch.directory("out")
        let result = try unpack(
            tar([
                entry("p", .directory), entry("p/d", .directory), file("p/d/f", "1"), file("p/d", "file"),
                entry("p/l", .symlink(target: "elsewhere")), file("p/l/through", "2"), entry("p/l", .directory),
                file("p/l/own", "3"), entry("p/l", .symlink(target: "d")), entry("p/x", .directory), file("p/x/y", "4"),
                entry("p/x", .hardLink(target: "p/d")), entry("p/n", .directory), entry("p/n", .fifo),
                entry("p/l2", .symlink(target: "elsewhere")), file("p/l2/a", "5"),
                entry("p/l2", .symlink(target: "other")),
                file("p/l2/a", "6"),
            ]),
            into: out
        )
        #expect(
            try scratch.shell(
                "cd out/p; cat d x elsewhere/through elsewhere/a other/a; readlink l; stat -c %F n; ls -m"
            )
                == "filefile256d\nfifo\nd, elsewhere, l, l2, n, other, x\n"
        )
        #expect(result.impliedDirectories == ["p/elsewhere", "p/other"])
    }

    /// More directories than descriptors are remembered, and visited in no useful order.
    @Test func manyDirectories() throws {
        let scratch = try ScratchTree()
        let names = (0..<150).map { RawPath("d\($0)/sub") }
        var entries = names.map { entry($0, .directory) }
        for round in 0..<3 { entries += names.map { file($0.appending("f\(round)"), "x") } }
        entries += names.map { entry($0.appending("link"), .hardLink(target: "d0/sub/f0")) }
        let result = try unpack(tar(entries), into: scratch.directory("out"))
        #expect(result.impliedDirectories.count == 150)
        #expect(try scratch.shell("find out -type f | wc -l; stat -c %h out/d0/sub/f0") == "600\n151\n")
    }

    @Test func impliedDirectories() throws {
        let scratch = try ScratchTree()
        let out = try scratch.directory("out")
        let result = try unpack(tar([file("a/b/c/f"), file("x/y/f"), entry("x", .directory)]), into: out)
        #expect(result.impliedDirectories == ["a", "a/b", "a/b/c", "x/y"])
        #expect(try scratch.shell("stat -c '%a %u %g %Y' out/a/b") == "755 0 0 0\n")
    }

    @Test func fileInTheWayOfADirectory() throws {
        let scratch = try ScratchTree()
        expectError(.conflict) { try unpack(tar([file("a"), file("a/b")]), into: scratch.directory("out")) }
        expectError(.conflict) { try unpack(tar([file(".")]), into: scratch.directory("out2")) }
    }

    @Test func overlayAttributesAreRefused() throws {
        let scratch = try ScratchTree()
        var redirect = entry("d", .directory)
        redirect.0.metadata.xattrs = [
            ExtendedAttribute(name: "trusted.overlay.redirect", value: Array("/etc".utf8)),
            ExtendedAttribute(name: "user.overlay.opaque", value: [0x79]),
            ExtendedAttribute(name: "user.ok", value: [1]),
        ]
        var link = entry("s", .symlink(target: "x"))
        link.0.metadata.xattrs = [ExtendedAttribute(name: "user.none", value: [1])]
        let result = try unpack(tar([redirect, link]), into: scratch.directory("out"))
        #expect(result.skipped.map(\.path) == ["d", "d", "s"])
        #expect(
            try scratch.shell("getfattr -m - -d --absolute-names out/d") == "# file: out/d\nuser.ok=0x01\n\n"
                || scratch.shell("getfattr -m - --absolute-names out/d") == "# file: out/d\nuser.ok\n\n"
        )
    }

    @Test func devices() throws {
        let scratch = try ScratchTree()
        let bytes = try tar([
            entry("null", .characterDevice(major: 1, minor: 3)), entry("white", .characterDevice(major: 0, minor: 0)),
            file("f"),
        ])
        #expect(try unpack(bytes, into: scratch.directory("a")).skippedCount == 0)
        #expect(try scratch.shell("stat -c '%n %t:%T' a/null a/white") == "a/null 1:3\na/white 0:0\n")
        let skipped = try unpack(bytes, into: scratch.directory("b"), devices: .skip)
        #expect(skipped.skipped.map(\.path) == ["null"])
        #expect(try scratch.shell("ls b") == "f\nwhite\n")
    }

    @Test func extractor() throws {
        let scratch = try ScratchTree()
        try scratch.shell(
            "mkdir -p out/etc/sub; echo old > out/etc/a; echo keep > out/etc/keep; ln -s /etc out/link; chmod 700 out/etc"
        )
        let fd = try open(RawPath(scratch.path + "/out"), [.directory])
        let extractor = ArchiveExtractor(into: fd.raw, owner: (uid: 12, gid: 34))
        let bytes = try tar([
            file("etc/.wh.keep", "w"), file("etc/a", "new"), file("link/b", "b"), file("new/c", "c"),
            entry("white", .characterDevice(major: 0, minor: 0)),
        ])
        try feed(bytes, 77) { try extractor.write($0) }
        let result = try extractor.finish()
        #expect(result.skipped.map(\.path) == ["white"])
        #expect(
            try scratch.shell("cd out; stat -c '%n %u:%g' etc/.wh.keep etc/a etc/b new new/c etc; cat etc/keep etc/a")
                == """
                etc/.wh.keep 12:34\netc/a 12:34\netc/b 12:34\nnew 12:34\nnew/c 12:34\netc 0:0\nkeep\nnew
                """
        )
        let again = ArchiveExtractor(into: fd.raw)
        try feed(tar([entry("l", .hardLink(target: "nothing"))]), 512) { try again.write($0) }
        expectError(.conflict) { _ = try again.finish() }
    }

    @Test(arguments: 0..<4) func damagedArchivesStayInside(seed: UInt64) throws {
        let scratch = try ScratchTree()
        try scratch.shell(
            Self.tree
                + "\n cd ..; rm src/sparse; tar --format=pax --xattrs --xattrs-include='*' -C src -cf a.tar .; mkdir jail"
        )
        let original = try scratch.bytes("a.tar")
        var random = SplitMix(state: seed)
        for round in 0..<60 {
            var bytes = original
            for _ in 0..<3 {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let out = try scratch.directory("jail/\(round)")
            _ = try? unpack(bytes, into: out, chunk: 3000)
        }
        #expect(try scratch.shell("ls") == "a.tar\njail\nsrc\n")
    }
}
