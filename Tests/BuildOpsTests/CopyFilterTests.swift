// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots
import Testing

@testable import BuildOps

/// What of a tree a copy takes: `--exclude` and `--parents`.
@Suite(.enabled(if: isRoot, "owners need root"), .endsHangs) struct CopyFilterTests {
    typealias Verdict = CopyFilter.Verdict

    @Test(
        arguments: [
            ("", ["*.txt"], "a.txt", .leftOut), ("", ["*.txt"], "d/a.txt", .copied),
            ("", ["**/*.txt"], "d/a.txt", .leftOut), ("", ["d"], "d/e/f", .leftOut), ("", ["/d/"], "d", .copied),
            ("", ["d", "!d/e"], "d", .passedThrough), ("", ["d", "!d/e"], "d/e", .copied),
            ("", ["d", "!d/e"], "d/f", .leftOut), ("", ["*", "!*.go"], "a.go", .copied),
            ("", ["*", "!**/*.go"], "d", .passedThrough), ("", ["d/*"], "d", .copied), ("", [""], "d", .copied),
            ("a/b", [], "a", .passedThrough), ("a/b", [], "a/b", .copied), ("a/b", [], "a/b/c", .copied),
            ("a/b", [], "a/c", .leftOut), ("a/b", [], "ab", .leftOut), ("a", [], "a/b", .copied),
            ("**/x", [], "a/b", .passedThrough), ("**/x", [], "a/x", .copied), ("**/x", [], "x", .copied),
            ("c/**/e", [], "c/e", .copied), ("c/**/e", [], "d", .leftOut), ("c/**/e", [], "c/d/f", .passedThrough),
            ("*/x", [], ".h", .passedThrough), ("!a", [], "!a", .copied), ("!a", [], "b", .leftOut),
            ("a/b", ["a/b/c"], "a/b/c", .leftOut), ("a/b", ["**/c"], "a/b/d", .copied),
            ("a", ["a", "!a/b"], "a", .passedThrough), ("a", ["*"], "a", .leftOut),
        ] as [(String, [String], RawPath, Verdict)]
    )
    func verdicts(wanted: String, excluding: [String], path: RawPath, expected: Verdict) throws {
        let filter = try #require(try CopyFilter(wanted: wanted, excluding: excluding))
        #expect(filter.verdict(path) == expected)
    }

    @Test func nothingToFilter() throws {
        #expect(try CopyFilter(excluding: []) == nil)
        #expect(throws: BuildOpsError.self) { try CopyFilter(excluding: ["[a"]) }
        #expect(throws: BuildOpsError.self) { try CopyFilter(excluding: ["!"]) }
        #expect(throws: BuildOpsError.self) { try CopyFilter(wanted: "[a", excluding: []) }
    }

    private static let tree = """
        mkdir -p a/b/c/d/e a/b2/c e; chmod 700 a; chmod 711 a/b; chmod 750 a/b/c; chown -R 3:4 a
        touch a/b/c/d/foo a/b/c/d/e/bay a/b2/c/bar a/top.txt e/f.txt g.txt h.md
        ln -s a/b l; ln -s ../e a/le
        """

    /// What one copy to /out makes of the tree above.
    struct FilterCase: Sendable, CustomTestStringConvertible {
        var source: String
        var parents: String?
        var excluding: [String] = []
        var expected: [String]
        var testDescription: String { "\(source) \(parents ?? "") \(excluding)" }
    }

    private static let cases: [FilterCase] = [
        FilterCase(source: "/a", excluding: ["b*", "*.txt"], expected: ["le"]),
        FilterCase(source: "/a", excluding: ["**/c"], expected: ["b", "b2", "le", "top.txt"]),
        FilterCase(source: "/a", excluding: ["*", "!b/c/d/foo"], expected: ["b", "b/c", "b/c/d", "b/c/d/foo"]),
        FilterCase(source: "/a", excluding: ["*", "!**/none"], expected: []),
        FilterCase(
            source: "/a",
            excluding: ["a", "a/b"],
            expected: [
                "b", "b/c", "b/c/d", "b/c/d/e", "b/c/d/e/bay", "b/c/d/foo", "b2", "b2/c", "b2/c/bar", "le", "top.txt",
            ]
        ),
        FilterCase(
            source: "/*",
            excluding: ["*.txt", "b*", "a"],
            expected: [
                "c", "c/d", "c/d/e", "c/d/e/bay", "c/d/foo", "h.md", "le",
            ]
        ),
        FilterCase(source: "/g.txt", excluding: ["*.txt"], expected: ["g.txt"]),
        FilterCase(source: "/a/b*", excluding: ["c/d"], expected: ["c", "c/bar"]),
        FilterCase(source: "/l", excluding: ["c/d/e"], expected: ["c", "c/d", "c/d/foo"]),

        FilterCase(
            source: "/a/b/c/d/foo",
            parents: "/",
            expected: [
                "a", "a/b", "a/b/c", "a/b/c/d", "a/b/c/d/foo",
            ]
        ),
        FilterCase(source: "/a/b/c/d", parents: "/a/b", expected: ["c", "c/d", "c/d/e", "c/d/e/bay", "c/d/foo"]),
        FilterCase(source: "/a/*/c", parents: "/a", excluding: ["b"], expected: ["b2", "b2/c", "b2/c/bar"]),
        FilterCase(source: "/a/b*/c/**/e", parents: "/a/b*", expected: ["c", "c/d", "c/d/e", "c/d/e/bay"]),
        FilterCase(source: "/**/*.txt", parents: "/", expected: ["a", "a/top.txt", "e", "e/f.txt", "g.txt"]),
        FilterCase(
            source: "/**/*.txt",
            parents: "/",
            excluding: ["a", "!a/none"],
            expected: [
                "e", "e/f.txt", "g.txt",
            ]
        ),
        FilterCase(source: "/a/**/b?", parents: "/a", expected: ["b2", "b2/c", "b2/c/bar"]),
        FilterCase(source: "/a/b/nothing*", parents: "/a/b", expected: []),
        FilterCase(source: "/none*/x", parents: "/none*", expected: ["-"]),
        // The pivot is followed; what comes behind it is not.
        FilterCase(source: "/l/c/d/foo", parents: "/l", expected: ["c", "c/d", "c/d/foo"]),
        FilterCase(source: "/a/l*", parents: "/a", expected: ["le"]),
        FilterCase(source: "/a/le", parents: "/a", expected: ["le"]),
        FilterCase(source: "/l/c*", parents: "/", expected: []),
        FilterCase(source: "/e", parents: "/e", expected: ["f.txt"]),
        FilterCase(source: "/", parents: "/", excluding: ["a", "l"], expected: ["e", "e/f.txt", "g.txt", "h.md"]),
    ]

    @Test(arguments: cases) func copies(_ item: FilterCase) async throws {
        let kitchen = try TestKitchen()
        let action = copying(item.source, "/out/", parents: item.parents, excluding: item.excluding)
        for source in [try kitchen.context(Self.tree), try kitchen.stage(Self.tree)] {
            let result = try await kitchen.run([action], base: try kitchen.stage(""), source: source)
            let names = try kitchen.list(result.layers).map { String($0.prefix { $0 != " " }) }
            let expected = item.expected == ["-"] ? [] : ["out"] + item.expected.sorted().map { "out/\($0)" }
            #expect(names == expected)
            #expect(!result.sourceChanged)
        }
    }

    @Test(arguments: [
        ("/missing", "/", "\"/missing\": not found"), ("/a/b/nothing", "/a/b", "\"/a/b/nothing\": not found"),
        ("/none/x", "/none", "not found"), ("/g.txt/x", "/g.txt", "\"/g.txt/x\": not found"),
        ("/l/c", "/", "\"/l/c\": not found"), ("/none/x*", "/none", "\"/none\": not found"),
    ])
    func literalPathsMustExist(source: String, pivot: String, message: String) async throws {
        let kitchen = try TestKitchen()
        let action = copying(source, "/out/", parents: pivot)
        let context = try kitchen.context(Self.tree)
        do {
            _ = try await kitchen.run([action], base: try kitchen.stage(""), source: context)
            Issue.record("copied")
        } catch let error as BuildOpsError {
            #expect(error.code == .sourceMissing && error.message.contains(message), "\(error)")
        }
    }

    @Test func sourceOutsideThePivot() async throws {
        let kitchen = try TestKitchen()
        let action = copying("/e", "/out/", parents: "/a")
        let context = try kitchen.context(Self.tree)
        await #expect(throws: BuildOpsError.self) {
            try await kitchen.run([action], base: try kitchen.stage(""), source: context)
        }
    }

    /// Directories on the way have what the source's have; one that is there gets its mode, and keeps its owner.
    @Test func metadataOfParents() async throws {
        let kitchen = try TestKitchen()
        let source = try kitchen.stage("\(Self.tree)\nsetfattr -n user.k -v v a/b; touch -d @5 a/b; chmod 2711 a/b")
        let base = try kitchen.stage(
            "mkdir -p old/a; chmod 1777 old old/a; chown 8:9 old/a; touch -d @7 old/a; touch -d @4 old"
        )
        let actions = [
            copying("/a/b/c/d/foo", "/new", parents: "/"), copying("/a/b/c/d/foo", "/old", parents: "/"),
            copying("/a/b/c/d/foo", "/opts", owner: "1:2", mode: "g=,o=", parents: "/"),
        ]
        let result = try await kitchen.run(actions, base: base, source: source)
        let found = try kitchen.list(result.layers, [.owners, .modes])
        for line in [
            "new directory 755 0:0", "new/a directory 700 3:4", "new/a/b directory 2711 3:4",
            "new/a/b/c directory 750 3:4", "old directory 1777 0:0", "old/a directory 700 8:9",
            "old/a/b directory 2711 3:4", "opts directory 755 1:2", "opts/a directory 700 1:2",
            "opts/a/b directory 700 1:2", "opts/a/b/c/d/foo regular 600 1:2 \"\"",
        ] { #expect(found.contains(line), "\(line) in \(found)") }
        let times = try kitchen.list(result.layers, [.times])
        #expect(times.contains("new/a/b directory 5.0"), "\(times)")
        // A directory that was there is as new as what came into it, whenever a command made it.
        #expect(times.contains("old/a directory 5.0"), "\(times)")
        let layer = try kitchen.snapshots.layerDirectory(result.layers[1])
        let made = try open(at: layer.raw, "new/a/b", [.directory])
        #expect(try extendedAttribute(of: made.raw, "user.k") == Array("v".utf8))
    }

    /// A filter's content key moves with what is copied, and with nothing else.
    @Test(arguments: [
        ("echo 2 > a/b/c/d/foo", true), ("chmod 777 a/b/c", true), ("touch a/b/c/d/more", true), ("rm h.md", false),
        ("touch a/x.log a/b/c/d/x.log", false), ("echo 2 > a/b2/c/bar", false), ("chmod 777 a/b2", false),
        ("mkdir -p a/b/c/d/empty", true), ("chmod 777 e", false), ("mkdir -p z/y", false), ("touch a/b/c/d/foo", false),
        ("setfattr -n user.k -v v a/b/c", true), ("setfattr -n user.k -v v a/b/c/d/foo", true),
        ("setfattr -n user.k -v v a/b2", false), ("setfattr -n user.overlay.k -v v a/b/c", false),
    ])
    func contentKeys(change: String, matters: Bool) async throws {
        let kitchen = try TestKitchen()
        let action = copying("/a/b/c/d", "/out/", parents: "/", excluding: ["**/*.log"])
        let before = try kitchen.context(Self.tree)
        let after = try kitchen.context("\(Self.tree)\n\(change)")
        #expect(
            try await (kitchen.contentDigest(action, of: before) != kitchen.contentDigest(action, of: after)) == matters
        )
        let excluding = copying("/a", "/out/", excluding: ["b2", "**/*.log", "*.txt"])
        #expect(
            try await (kitchen.contentDigest(excluding, of: before) != kitchen.contentDigest(excluding, of: after))
                == matters
        )
    }

    /// Attributes count where a copy keeps them: not of the directory whose content is copied.
    @Test(arguments: [
        ("a/b", true), ("a/b/c/d/foo", true), ("a", false), (".", false), ("e", false),
    ])
    func attributesOfAStage(path: String, matters: Bool) async throws {
        let kitchen = try TestKitchen()
        let action = copying("/a", "/out/")
        var digests: [Digest] = []
        for change in ["true", "setfattr -n user.k -v v", "setfattr -n user.k -v w", "setfattr -n user.l -v v"] {
            let stage = try kitchen.stage("\(Self.tree)\n\(change) \(path)")
            digests.append(try #require(await kitchen.contentDigest(action, of: stage)))
        }
        #expect(Set(digests).count == (matters ? 4 : 1), "\(digests)")
    }

    /// What one copy of a stage reads is remembered for that copy alone.
    @Test func rememberedDigestsAreNotMixedUp() async throws {
        let kitchen = try TestKitchen()
        let stage = try kitchen.stage(Self.tree)
        let actions = [
            copying("/a", "/o"), copying("/a", "/o", excluding: ["b"]), copying("/a", "/o", excluding: ["b", "c"]),
            copying("/a", "/o", excluding: ["b2"]), copying("/a", "/o", parents: "/"),
            copying("/a", "/o", parents: "/a"), copying("/a", "/o", parents: "/a", excluding: ["b"]),
        ]
        var digests: [Digest] = []
        for action in actions + actions { digests.append(try #require(await kitchen.contentDigest(action, of: stage))) }
        #expect(Array(digests.prefix(actions.count)) == Array(digests.suffix(actions.count)))
        // Excluding what is not there reads the same; so does naming the directory itself behind the pivot, but for
        // what its name says.
        #expect(digests[1] == digests[2])
        #expect(Set(digests[0..<7]).count == 4, "\(digests)")
    }

    /// The ignore file takes out first, `--exclude` from what is left; nothing that either names is opened.
    @Test func ignoreFileAndExclude() async throws {
        let kitchen = try TestKitchen()
        let context = try kitchen.context(
            "mkdir -p s/in s/out; touch s/in/a s/in/b.log s/out/c s/keep.log s/d.tmp s/e",
            ignore: ["**/*.log", "!s/keep.log", "s/out"]
        )
        let action = copying("/s", "/d", excluding: ["*.tmp", "!in/b.log", "!out/c"])
        let result = try await kitchen.run([action], base: try kitchen.stage(""), source: context)
        #expect(
            try kitchen.list(result.layers).map { $0.prefix { $0 != " " } } == [
                "d", "d/e", "d/in", "d/in/a", "d/keep.log",
            ]
        )
    }
}
