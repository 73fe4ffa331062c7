// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildDefinition
import GalleyTesting
import Testing

@testable import BuildOps

@Suite(.endsHangs) struct ContextComparisonTests {
    private static let tree = """
        mkdir -p d/e other; echo 1 > d/a; echo 1 > d/a.md; echo 1 > d/e/b; echo 1 > top; echo 1 > '[x]'; echo 1 > other/o
        ln -s d link; ln -s a d/l; chmod 644 d/a
        """

    struct Case: Sendable, CustomTestStringConvertible {
        var change: String
        var copy: FileCopy
        var isMount = false
        var expected: [String]
        var testDescription: String { "\(copy.source): \(change)" }

        init(_ change: String, _ source: String, _ expected: [String], _ adjust: (inout FileCopy) -> Void = { _ in }) {
            self.change = change
            self.expected = expected
            copy = FileCopy(input: 0, source: source, destination: "/")
            adjust(&copy)
        }

        static func mount(_ change: String, _ source: String, _ expected: [String]) -> Case {
            var result = Case(change, source, expected)
            result.isMount = true
            return result
        }
    }

    @Test(
        arguments: [
            Case("true", "/", []),
            Case("touch d/a", "/", []),
            Case("echo 2 > d/a; echo 2 > top", "/", ["modified d/a: content", "modified top: content"]),
            Case("echo 2 > d/a; echo 2 > top", "/d", ["modified d/a: content"]),
            Case("echo 2 > d/a; echo 2 > top", "/top", ["modified top: content"]),
            Case("echo 2 > d/a; chmod 755 d/a", "/d/a", ["modified d/a: content, mode 0644 -> 0755"]),
            Case("chmod 4755 d/a", "/d/a", ["modified d/a: mode 0644 -> 4755"]),
            Case("rm d/a; echo 1 > d/z", "/d", ["removed d/a", "added d/z"]),
            Case("rm -r d/e", "/d", ["removed d/e/", "removed d/e/b"]),
            Case("mkdir d/n", "/d", ["added d/n/"]),
            Case("rm d/a; mkdir d/a", "/d", ["replaced d/a: file -> directory"]),
            Case("ln -sfn e d/l", "/d", ["modified d/l: link to a -> e"]),
            Case("mkfifo d/p", "/d", ["added d/p"]),
            // Only what a directory holds is copied, but all of directories below; a mount shows the directory itself.
            Case("chmod 700 d d/e", "/d", ["modified d/e: mode 0755 -> 0700"]),
            .mount("chmod 700 d d/e", "/d", ["modified d: mode 0755 -> 0700", "modified d/e: mode 0755 -> 0700"]),
            .mount("echo 2 > d/a; echo 2 > top", "/d/a", ["modified d/a: content"]),
            // Wildcards, and names that look like them.
            Case("echo 2 > d/a; echo 2 > d/a.md", "/d/*.md", ["modified d/a.md: content"]),
            Case("echo 2 > d/e/b; echo 2 > d/a", "/*/e", ["modified d/e/b: content"]),
            Case("echo 2 > d/e/b; echo 2 > top", "/**/b", ["modified d/e/b: content"]),
            Case("echo 2 > '[x]'; echo 2 > top", "/[x]", ["modified [x]: content"]) { $0.allowsWildcards = false },
            // Symlinks on the way, as they were and as they are.
            Case("echo 2 > d/a", "/link", ["modified d/a: content"]),
            Case("echo 2 > d/a", "/link/a", ["modified d/a: content"]),
            Case("ln -sfn other link; echo 2 > other/o; echo 2 > top", "/link", ["modified other/o: content"]),
            // What is left out.
            Case("echo 2 > d/a; echo 2 > d/a.md", "/d", ["modified d/a: content"]) { $0.excludePatterns = ["*.md"] },
            Case("echo 2 > d/a; echo 2 > d/a.md", "/d/a*", ["modified d/a: content"]) {
                $0.excludePatterns = ["*.md"]
            },
            Case("echo 2 > d/a; echo 2 > d/e/b", "/*", ["modified d/a: content"]) { $0.excludePatterns = ["e"] },
            Case("echo 2 > d/e/b; echo 2 > top", "/d/e/b", ["modified d/e/b: content"]) { $0.parentsPivot = "/d" },
        ]
    )
    func tellsWhatChangedOfWhatIsRead(_ item: Case) throws {
        let kitchen = try TestKitchen()
        let path = try kitchen.directory(Self.tree)
        let former = ContextManifest(try kitchen.scan(path)).bytes
        try kitchen.scratch.shell("cd \(path); \(item.change)")
        let now = ContextManifest(try kitchen.scan(path))
        let old = try #require(ContextManifest(decoding: former))
        let op: BuildOp
        if item.isMount {
            let mount = ExecMount(.bind(input: 0, path: item.copy.source), target: "/m", readOnly: true)
            var exec = ExecOp(arguments: [], environment: [], workingDirectory: "/", user: "")
            exec.mounts = [mount]
            op = .exec(exec)
        } else {
            op = .file(FileOp(actions: [.copy(item.copy)], hasBase: false))
        }
        let changes = now.changes(since: old, ContextSelection(op, input: 0), shown: 100)
        #expect(changes == FileChanges(count: item.expected.count, lines: item.expected))
        let few = now.changes(since: old, ContextSelection(op, input: 0), shown: 1)
        #expect(few == FileChanges(count: item.expected.count, lines: Array(item.expected.prefix(1))))
        // Another input is another matter.
        #expect(now.changes(since: old, ContextSelection(op, input: 1), shown: 9).count == 0)
    }

    @Test func damagedBytesAreNoManifest() throws {
        let kitchen = try TestKitchen()
        let tree = try kitchen.scan(try kitchen.directory(Self.tree))
        let bytes = ContextManifest(tree).bytes
        let whole = try #require(ContextManifest(decoding: bytes))
        let again = ContextManifest(tree)
        #expect(Set(whole.directories) == Set(again.directories))
        for directory in whole.directories { #expect(whole.entries(directory) == again.entries(directory)) }
        for count in bytes.indices {
            if let part = ContextManifest(decoding: Array(bytes.prefix(count))) {
                // Cut between two directories.
                #expect(Set(part.directories).isStrictSubset(of: Set(whole.directories)))
            }
            var changed = bytes
            changed[count] = 0xFF
            // Neither a trap nor endless memory.
            _ = ContextManifest(decoding: changed)
        }
    }
}
