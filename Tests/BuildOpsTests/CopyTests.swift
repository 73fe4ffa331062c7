// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots
import Testing

@testable import BuildOps

/// One COPY: what the base holds, what the context holds, and what the whole tree is afterwards.
struct CopyCase: Sendable, CustomTestStringConvertible {
    var name: String
    var base = ""
    var context = ""
    var copies: [FileAction]
    var facts: ListedFacts = []
    var expected: [String]
    var testDescription: String { name }
}

@Suite(.enabled(if: isRoot, "owners and devices need root"), .endsHangs)
struct CopyTests {
    /// The kernel's longest path has about 2,000 directories in it.
    @Test func deepTrees() async throws {
        let kitchen = try TestKitchen()
        let part = String(repeating: "d/", count: 100)
        let script =
            "mkdir s; cd s; for i in $(seq 20); do mkdir -p \(part); cd \(part) 2>/dev/null; done; echo -n x > f"
        let result = try await kitchen.run(
            [copying("/s", "/n")],
            base: try kitchen.stage(""),
            source: try kitchen.context(script)
        )
        #expect(try kitchen.list(result.layers).last?.hasSuffix(#"/f regular "x""#) == true)
    }

    private static let cases: [CopyCase] = [
        CopyCase(
            name: "file to file",
            context: "echo -n x > a",
            copies: [copying("/a", "/b")],
            expected: [#"b regular "x""#]
        ),
        CopyCase(
            name: "file to existing directory",
            base: "mkdir d",
            context: "echo -n x > a",
            copies: [copying("/a", "/d")],
            expected: ["d directory", #"d/a regular "x""#]
        ),
        CopyCase(
            name: "file to new directory",
            context: "echo -n x > a",
            copies: [copying("/a", "/n/m/")],
            expected: ["n directory", "n/m directory", #"n/m/a regular "x""#]
        ),
        CopyCase(
            name: "file to new directory told by a dot",
            context: "echo -n x > a",
            copies: [copying("/a", "/n/.")],
            expected: ["n directory", #"n/a regular "x""#]
        ),
        CopyCase(
            name: "file to new file with parents",
            context: "echo -n x > a; chmod 640 a",
            copies: [copying("/a", "/n/m")],
            facts: [.modes, .owners],
            expected: ["n directory 755 0:0", #"n/m regular 640 0:0 "x""#]
        ),
        CopyCase(
            name: "file over file",
            base: "echo -n old > f",
            context: "echo -n new > a",
            copies: [copying("/a", "/f")],
            expected: [#"f regular "new""#]
        ),
        CopyCase(
            name: "directory to new directory: content only",
            context: "mkdir -p s/t; chmod 700 s; chmod 711 s/t; echo -n x > s/f; chmod 600 s/f",
            copies: [copying("/s", "/n")],
            facts: [.modes, .owners],
            expected: ["n directory 755 0:0", #"n/f regular 600 0:0 "x""#, "n/t directory 711 0:0"]
        ),
        CopyCase(
            name: "directory to existing directory",
            base: "mkdir -p d/t; chmod 700 d; chown 5:6 d d/t; touch d/t/old",
            context: "mkdir -p s/t; chmod 711 s/t; touch s/t/new",
            copies: [copying("/s", "/d")],
            facts: [.modes, .owners],
            expected: [
                "d directory 700 5:6", "d/t directory 711 0:0", "d/t/new regular 644 0:0 \"\"",
                "d/t/old regular 644 0:0 \"\"",
            ]
        ),
        CopyCase(
            name: "the whole context to the root",
            base: "echo -n b > b; chmod 750 .",
            context: "echo -n a > a; chmod 700 .",
            copies: [copying("/", "/")],
            expected: [#"a regular "a""#, #"b regular "b""#]
        ),
        CopyCase(
            name: "unmatched wildcard",
            base: "touch b",
            context: "touch a",
            copies: [copying("/*.go", "/x/")],
            expected: ["b regular \"\""]
        ),
        CopyCase(
            name: "wildcards",
            context: "mkdir s; echo -n 1 > s/1.go; echo -n 2 > s/2.go; touch s/3.c s/.4.go; echo -n x > top.go",
            copies: [copying("/s/*.go", "/x/")],
            expected: ["x directory", "x/.4.go regular \"\"", #"x/1.go regular "1""#, #"x/2.go regular "2""#]
        ),
        CopyCase(
            name: "wildcard directories give their content",
            context: "mkdir -p a1 a2; touch a1/x a2/y",
            copies: [copying("/a?", "/d/")],
            expected: ["d directory", "d/x regular \"\"", "d/y regular \"\""]
        ),
        CopyCase(
            name: "escaped wildcard",
            context: "echo -n 1 > 'a*'; echo -n 2 > ab",
            copies: [copying(#"/a\*"#, "/d/")],
            expected: ["d directory", #"d/a* regular "1""#]
        ),
        CopyCase(
            name: "symlinked source is followed, its name kept",
            context: "mkdir r; echo -n x > r/f; ln -s r/f l; ln -s ../../r deep",
            copies: [copying("/l", "/d/"), copying("/deep", "/e")],
            expected: ["d directory", #"d/l regular "x""#, "e directory", #"e/f regular "x""#]
        ),
        CopyCase(
            name: "symlinks in trees stay",
            context: "mkdir s; ln -s /etc/passwd s/abs; ln -s ../.. s/up; ln -s none s/gone",
            copies: [copying("/s", "/d")],
            expected: [
                "d directory", "d/abs symlink -> /etc/passwd", "d/gone symlink -> none", "d/up symlink -> ../..",
            ]
        ),
        CopyCase(
            name: "destination through symlinks",
            base:
                "mkdir -p real/in; ln -s /real abs; ln -s ../real/in real/rel; ln -s abs chain; ln -s /../../../real out",
            context: "echo -n x > f",
            copies: [
                copying("/f", "/abs/1"), copying("/f", "/abs/rel/2"), copying("/f", "/chain/"), copying("/f", "/out/3"),
            ],
            expected: [
                "abs symlink -> /real", "chain symlink -> abs", "out symlink -> /../../../real", "real directory",
                #"real/1 regular "x""#, #"real/3 regular "x""#, #"real/f regular "x""#, "real/in directory",
                #"real/in/2 regular "x""#,
                "real/rel symlink -> ../real/in",
            ]
        ),
        CopyCase(
            name: "destination is a symlink to a file, and one that dangles",
            base: "echo -n old > f; ln -s f l; ln -s new/dir dangling",
            context: "echo -n x > a",
            copies: [copying("/a", "/l"), copying("/a", "/dangling/b")],
            expected: [
                "dangling symlink -> new/dir", #"f regular "x""#, "l symlink -> f", "new directory",
                "new/dir directory", #"new/dir/b regular "x""#,
            ]
        ),
        CopyCase(
            name: "dot dot stays inside",
            base: "mkdir d",
            context: "echo -n x > a",
            copies: [copying("/../../a", "/../../d/../b")],
            expected: [#"b regular "x""#, "d directory"]
        ),
        CopyCase(
            name: "a file in a tree replaces a symlink of the image",
            base: "mkdir d; ln -s /x d/l; touch x",
            context: "mkdir s; echo -n n > s/l",
            copies: [copying("/s", "/d")],
            expected: ["d directory", #"d/l regular "n""#, "x regular \"\""]
        ),
        CopyCase(
            name: "hard links are kept within one copy",
            context: "mkdir s; echo -n x > s/a; ln s/a s/b; ln s/a c; ln -s t s/l; ln s/l s/m",
            copies: [copying("/s", "/d"), copying("/c", "/c")],
            expected: [
                #"c regular "x""#, "d directory", #"d/a regular "x""#, #"d/b regular = d/a "x""#, "d/l symlink -> t",
                "d/m symlink = d/l -> t",
            ]
        ),
        CopyCase(
            name: "a hard link is not made to what replaced the first copy",
            context: "mkdir -p 1 2 3; echo -n one > 1/f; ln 1/f 3/g; echo -n two > 2/f",
            copies: [copying("/[123]", "/d/")],
            expected: ["d directory", #"d/f regular "two""#, #"d/g regular "one""#]
        ),
        CopyCase(
            name: "attributes, setuid, fifos and devices",
            context:
                "mkdir s; echo -n x > s/f; setfattr -n user.a -v b s/f; chmod 4755 s/f; mkfifo -m 600 s/p; mknod -m 660 s/n c 1 3",
            copies: [copying("/s", "/d")],
            facts: [.modes, .attributes],
            expected: [
                "d directory 755", #"d/f regular 4755 user.a=b "x""#, "d/n characterDevice 660 1/3", "d/p fifo 600",
            ]
        ),
        CopyCase(
            name: "owners of the context do not count; numbers and names of the image do",
            base: "mkdir etc; echo 'app:x:7:8::/:' > etc/passwd; printf 'root:x:0:\\nstaff:x:9:' > etc/group",
            context: "mkdir s; touch s/f; chown -R 55:66 s",
            copies: [
                copying("/s", "/0"), copying("/s", "/1/n", owner: "app"), copying("/s/f", "/2", owner: "app:staff"),
                copying("/s/f", "/3", owner: "3"), copying("/s/f", "/4", owner: "4:5"),
                copying("/s/f", "/5", owner: ":staff"),
            ],
            facts: [.owners],
            expected: [
                "0 directory 0:0", "0/f regular 0:0 \"\"", "1 directory 7:8", "1/n directory 7:8",
                "1/n/f regular 7:8 \"\"",
                "2 regular 7:9 \"\"", "3 regular 3:3 \"\"", "4 regular 4:5 \"\"", "5 regular 0:9 \"\"",
                "etc directory 0:0", "etc/group regular 0:0 \"root:x:0:\nstaff:x:9:\"",
                "etc/passwd regular 0:0 \"app:x:7:8::/:\n\"",
            ]
        ),
        CopyCase(
            name: "chmod, also of made parents, never of symlinks",
            context: "mkdir -p s/t; touch s/t/f; ln -s f s/t/l",
            copies: [copying("/s", "/a/b", permissions: 0o1750)],
            facts: [.modes],
            expected: [
                "a directory 750", "a/b directory 750", "a/b/t directory 1750", "a/b/t/f regular 1750 \"\"",
                "a/b/t/l symlink 777 -> f",
            ]
        ),
        CopyCase(
            name: "symbolic chmod is about what is copied, not about what is made for it",
            context: "mkdir -p s/t; touch s/t/f s/t/x; chmod 600 s/t/f; chmod 4711 s/t/x; ln -s f s/t/l",
            copies: [copying("/s", "/a/b", mode: "u=rwX,go=rX"), copying("/s/t/f", "/c/f", mode: "a+x,g+s")],
            facts: [.modes],
            expected: [
                "a directory 755", "a/b directory 755", "a/b/t directory 755", "a/b/t/f regular 644 \"\"",
                "a/b/t/l symlink 777 -> f", "a/b/t/x regular 755 \"\"", "c directory 755", "c/f regular 2711 \"\"",
            ]
        ),
        CopyCase(
            name: "chmod leaves existing directories of the destination",
            base: "mkdir -p d/t; chmod 700 d d/t",
            context: "mkdir -p s/t; touch s/t/f s/g",
            copies: [copying("/s", "/d", permissions: 0o640), copying("/s/g", "/d/g2", mode: "o=")],
            facts: [.modes],
            expected: [
                "d directory 700", "d/g regular 640 \"\"", "d/g2 regular 640 \"\"", "d/t directory 640",
                "d/t/f regular 640 \"\"",
            ]
        ),
        CopyCase(
            name: "names that are no text",
            context: #"touch $'a\xff' $'a\xfe'; mkdir $'d\xff'; touch $'d\xff/x'"#,
            copies: [copying("/", "/d")],
            expected: [
                "d directory", "d/a\u{fffd} regular \"\"", "d/a\u{fffd} regular \"\"", "d/d\u{fffd} directory",
                "d/d\u{fffd}/x regular \"\"",
            ]
        ),
    ]

    @Test(arguments: cases) func copies(_ item: CopyCase) async throws {
        let kitchen = try TestKitchen()
        let result = try await kitchen.run(
            item.copies,
            base: try kitchen.stage(item.base),
            source: try kitchen.context(item.context)
        )
        #expect(!result.sourceChanged)
        #expect(try kitchen.list(result.layers, item.facts) == item.expected)
    }

    @Test func ownersOfAStageAreKept() async throws {
        let kitchen = try TestKitchen()
        let source = try kitchen.stage(
            "mkdir -p s/t; touch s/f s/t/g; chown -R 5:6 s; chmod 700 s/t; touch -d @5 s/t s/f"
        )
        let result = try await kitchen.run(
            [copying("/s", "/n"), copying("/s/f", "/f")],
            base: try kitchen.stage(""),
            source: source
        )
        #expect(
            try kitchen.list(result.layers, [.owners, .modes]) == [
                "f regular 644 5:6 \"\"", "n directory 755 0:0", "n/f regular 644 5:6 \"\"", "n/t directory 700 5:6",
                "n/t/g regular 644 5:6 \"\"",
            ]
        )
        let times = try kitchen.list(result.layers, [.times])
        #expect(times.contains("n/t directory 5.0"))
        #expect(times.contains("f regular 5.0 \"\""))
    }

    @Test(arguments: [
        ("mkdir -p f", "touch f", "/f", "/x/../f/../", "cannot replace the directory /f with a file", ""),
        ("mkdir -p d/f", "mkdir s; touch s/f", "/s", "/d", "cannot replace the directory /d/f with a file", ""),
        ("touch d", "mkdir s", "/s", "/d", "cannot copy to non-directory: /d", ""),
        ("mkdir d; touch d/t", "mkdir -p s/t", "/s", "/d", "cannot copy to non-directory: /d/t", ""),
        ("mkdir d; ln -s /e d/t; mkdir e", "mkdir -p s/t", "/s", "/d", "cannot copy to non-directory: /d/t", ""),
        ("touch f", "touch a", "/a", "/f/b", "cannot copy to non-directory: /f", ""),
        ("ln -s b a; ln -s a b", "touch f", "/f", "/a/x", "too many levels of symbolic links", ""),
        ("", "ln -s b a; ln -s a b", "/a", "/x", "too many levels of symbolic links", ""),
        ("", "ln -s /etc/passwd a", "/a", "/x", "not found in the build context", ""),
        ("", "ln -s ../../../../etc/passwd a", "/a", "/x", "not found in the build context", ""),
        ("", "touch a", "/b", "/x", "not found in the build context", ""),
        ("", "touch a", "/a/b", "/x", "not found in the build context", ""),
        ("", "touch a", "/a", "/x", "unable to find user nobody", "nobody"),
        ("mkdir etc; ln -s /nowhere etc/passwd", "touch a", "/a", "/x", "unable to find user root", "root"),
        ("mkdir etc; mkfifo etc/passwd", "touch a", "/a", "/x", "unable to find user root", "root"),
        ("", "touch a", "/a", "/x", "is not an owner", "4294967295"),
        ("", "touch a", "/a", "/x\0y", "holds a NUL byte", ""),
        ("", "touch a", "/a\0b", "/x", "holds a NUL byte", ""),
        ("", "mkdir s; mknod s/w c 0 0", "/s", "/x", "a device 0/0", ""),
    ]) func refuses(
        base: String,
        context: String,
        source: String,
        destination: String,
        message: String,
        owner: String
    ) async throws {
        let kitchen = try TestKitchen()
        let input = try kitchen.context(context)
        let stage = try kitchen.stage(base)
        let action = copying(source, destination, owner: owner.isEmpty ? nil : owner)
        do {
            _ = try await kitchen.run([action], base: stage, source: input)
            #expect(message == "")
        } catch let error as BuildOpsError {
            #expect(error.message.contains(message) && message != "", "\(error)")
        }
    }

    @Test func sparseFilesStaySparse() async throws {
        let kitchen = try TestKitchen()
        let context = try kitchen.context(
            "truncate -s 1G s; printf x | dd of=s bs=1 seek=500M conv=notrunc status=none"
        )
        let result = try await kitchen.run([copying("/s", "/t")], base: try kitchen.stage(""), source: context)
        let layer = try kitchen.snapshots.layerDirectory(result.layers[1])
        let status = try status(at: layer.raw, "t")
        #expect(status.size == 1 << 30)
        #expect(status.blocks * 512 < 1 << 20)
        try kitchen.scratch.shell("cmp context-1/s store/snapshots/*/fs/t || cmp context-1/s $(find store -name t)")
    }

    /// What a command left as the time of a directory is no part of a copy's layer; the base image's age is the least.
    @Test func timesOfDirectories() async throws {
        let kitchen = try TestKitchen()
        let context = try kitchen.context(
            """
            mkdir -p s/t; echo 1 > s/f; echo 2 > s/t/g; mkdir -p tree/d/e; echo 3 > tree/d/e/h
            tar cf x.tar --mtime=@200 -C tree d/e/h; find . -depth -exec touch -h -d @150 {} +
            """
        )
        let bottom = try kitchen.stage(
            "mkdir -p d/e d/new top; find . -depth -exec touch -d @100 {} +; touch -d @120 top"
        )
        let actions = [
            copying("/s/f", "/d/"), copying("/s", "/made/deep"), copying("/x.tar", "/", unpacks: true),
            FileAction.makeDirectory(FileMakeDirectory(path: "/work/dir")),
        ]
        let expected = [
            "d directory 200.0", "d/e directory 200.0", "made directory 150.0", "made/deep directory 150.0",
            "made/deep/t directory 150.0", "work directory 120.0", "work/dir directory 120.0",
        ]
        for script in ["touch -d @5000 d d/e", "mkdir -p d/e; touch -d @6000 d d/e .; echo > d/e/z"] {
            let command = try kitchen.stage("mkdir -p d/e; chmod 755 d d/e; \(script)")
            let base = StepValue(LayerStack(try await bottom.layers() + command.layers()))
            let result = try await kitchen.run(actions, base: base, source: context)
            let times = try kitchen.listLast(result.layers, [.times])
            #expect(times.filter { $0.contains(" directory ") } == expected)
        }
    }

    /// Another path, other times of making, other owner and mode of the context directory: the same bytes.
    @Test func equalInputsGiveEqualLayers() async throws {
        let kitchen = try TestKitchen()
        let script = """
            mkdir -p s/t/u; echo 1 > s/a; ln s/a s/t/b; ln -s a s/l; echo 2 > s/t/u/c
            tar cf x.tar --mtime=@9 -C s a; mkdir -p tree/usr/bin; echo n > tree/usr/bin/n; tar cf y.tar --mtime=@9 -C tree usr/bin/n
            find . -depth -exec touch -h -d @77.5 {} +
            """
        let base = try kitchen.stage("mkdir -p usr/bin opt; touch usr/bin/old; find . -depth -exec touch -d @3 {} +")
        var listings: [[String]] = []
        for extra in ["", "chmod 711 .; chown 7 .; touch ignored; rm ignored; touch -d @99 ."] {
            let context = try kitchen.context("\(script)\n\(extra)")
            let actions = [
                copying("/", "/new/dir"), copying("/s", "/opt/"), copying("/s/a", "/usr/bin/x"),
                copying("/x.tar", "/unpacked/", unpacks: true), copying("/y.tar", "/", unpacks: true),
                FileAction.makeDirectory(FileMakeDirectory(path: "/work/dir")),
                FileAction.makeFile(FileMakeFile(path: "/work/file", content: [65])),
            ]
            let result = try await kitchen.run(actions, base: base, source: context)
            listings.append(try kitchen.listLast(result.layers, [.owners, .modes, .times]))
        }
        #expect(listings[0] == listings[1])
        let now = FileTime.now.seconds
        #expect(!listings[0].contains { $0.contains(" \(now / 1000)") }, "\(listings[0])")
    }

    @Test func makesDirectories() async throws {
        let kitchen = try TestKitchen()
        let base = try kitchen.stage(
            "mkdir -p real etc; echo 'u:x:5:6::/:' > etc/passwd; ln -s real link; mkdir -m 700 old; touch file"
        )
        let context = try kitchen.context("touch a")
        func make(_ path: String, _ owner: String? = nil) -> FileAction {
            .makeDirectory(FileMakeDirectory(path: path, owner: owner.map { FileOwner($0) }))
        }
        let actions = [make("/link/a/b", "u"), make("/old"), make("/n", "7:8"), make("/")]
        let result = try await kitchen.run(actions, base: base, source: context)
        let found = try kitchen.list(result.layers, [.owners, .modes])
        for line in [
            "real/a directory 755 5:6", "real/a/b directory 755 5:6", "old directory 700 0:0", "n directory 755 7:8",
            "real directory 755 0:0", "link symlink 777 0:0 -> real",
        ] { #expect(found.contains(line), "\(found)") }
        await #expect(throws: BuildOpsError.self) {
            try await kitchen.run([make("/file")], base: base, source: context)
        }
        await #expect(throws: BuildOpsError.self) {
            try await kitchen.run([make("/file/x")], base: base, source: context)
        }
    }

    @Test func cancellationStopsACopy() async throws {
        let kitchen = try TestKitchen()
        let context = try kitchen.context("touch a")
        let base = try kitchen.stage("")
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await kitchen.run([copying("/", "/d/")], base: base, source: context)
        }
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test func manyFiles() async throws {
        let kitchen = try TestKitchen()
        let context = try kitchen.context("mkdir s; cd s; seq -w 20000 | xargs touch")
        let base = try kitchen.stage("")
        let result = try await kitchen.run([copying("/s", "/d/")], base: base, source: context)
        #expect(try kitchen.scratch.shell("find store/snapshots -type f -path '*/d/*' | wc -l").contains("20000"))
        #expect(!result.sourceChanged)
    }
}
