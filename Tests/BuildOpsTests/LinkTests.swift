// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import BuildDefinition
import GalleyTesting
import LinuxSystem
import Snapshots
import Testing

@testable import BuildOps

/// `--link`: a layer made over nothing, and then put over layers that it does not know.
@Suite(.enabled(if: isRoot, "owners need root"), .endsHangs) struct LinkTests {
    private static let context = """
        mkdir -p s/t; echo -n new > s/t/f; echo -n a > a; ln -s s l
        mkdir -p r/lib/x; echo -n r > r/lib/x/r; tar cf r.tar --mtime=@7 --owner=0 --group=0 -C r lib; rm -r r
        """

    struct LinkCase: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var below: String
        var actions: [FileAction]
        var expected: [String]
    }

    private static let cases: [LinkCase] = [
        LinkCase(
            testDescription: "directories merge",
            below: "mkdir -p usr/bin; touch usr/bin/old usr/x",
            actions: [copying("/a", "/usr/bin/a"), copying("/s", "/usr")],
            expected: [
                "usr directory", #"usr/bin directory"#, #"usr/bin/a regular "a""#, #"usr/bin/old regular """#,
                "usr/t directory", #"usr/t/f regular "new""#, #"usr/x regular """#,
            ]
        ),
        LinkCase(
            testDescription: "no symlink below is followed",
            below: "mkdir -p usr/lib; touch usr/lib/old; ln -s usr/lib lib; ln -s usr/lib/old f",
            actions: [copying("/a", "/lib/a"), copying("/a", "/f")],
            expected: [
                #"f regular "a""#, "lib directory", #"lib/a regular "a""#, "usr directory", "usr/lib directory",
                #"usr/lib/old regular """#,
            ]
        ),
        LinkCase(
            testDescription: "a directory hides a file, and a file hides a directory",
            below: "touch d; mkdir -p a/deep; touch a/deep/x",
            actions: [copying("/s", "/d"), copying("/a", "/a")],
            expected: [#"a regular "a""#, "d directory", "d/t directory", #"d/t/f regular "new""#]
        ),
        LinkCase(
            testDescription: "its own symlinks are followed",
            below: "mkdir real; touch real/old",
            actions: [copying("/", "/ctx", excluding: ["r.tar"]), copying("/a", "/ctx/l/b")],
            expected: [
                "ctx directory", #"ctx/a regular "a""#, "ctx/l symlink -> s", "ctx/s directory",
                #"ctx/s/b regular "a""#, "ctx/s/t directory", #"ctx/s/t/f regular "new""#, "real directory",
                #"real/old regular """#,
            ]
        ),
        LinkCase(
            testDescription: "archives merge too",
            below: "mkdir -p lib/x opt/lib; touch lib/x/old opt/lib/old",
            actions: [copying("/r.tar", "/", unpacks: true), copying("/r.tar", "/opt/", unpacks: true)],
            expected: [
                "lib directory", "lib/x directory", #"lib/x/old regular """#, #"lib/x/r regular "r""#,
                "opt directory", "opt/lib directory", #"opt/lib/old regular """#, "opt/lib/x directory",
                #"opt/lib/x/r regular "r""#,
            ]
        ),
    ]

    @Test(arguments: cases) func overOtherLayers(_ item: LinkCase) async throws {
        let kitchen = try TestKitchen()
        let result = try await kitchen.runWithoutBase(item.actions, source: try kitchen.context(Self.context))
        #expect(result.layers.count == 1)
        #expect(try kitchen.list([kitchen.layer(item.below)] + result.layers) == item.expected)
        #expect(try overlayMarks(kitchen.snapshots.layerDirectory(result.layers[0])) == [])
    }

    /// Whiteouts and overlayfs's own attributes anywhere in a layer.
    private func overlayMarks(_ directory: SharedFD) throws -> [String] {
        var found = try extendedAttributeNames(of: directory.raw).filter { $0.contains("overlay") }
        for entry in try readDirectory(directory.raw) {
            let status = try status(at: directory.raw, entry.name)
            if status.isWhiteout { found.append("\(entry.name)") }
            guard status.kind == .directory else { continue }
            found += try overlayMarks(try open(at: directory.raw, entry.name, [.directory, .noFollow]).shared())
        }
        return found
    }

    @Test func ownersAreNumbersOnly() async throws {
        let kitchen = try TestKitchen()
        let context = try kitchen.context(Self.context)
        let result = try await kitchen.runWithoutBase([copying("/a", "/n/a", owner: "5:6")], source: context)
        #expect(
            try kitchen.list(result.layers, [.owners, .modes]) == ["n directory 755 5:6", #"n/a regular 644 5:6 "a""#]
        )
        for (owner, kind) in [("app", "user app"), ("5:staff", "group staff")] {
            do {
                _ = try await kitchen.runWithoutBase([copying("/a", "/a", owner: owner)], source: context)
                Issue.record("\(owner) was found")
            } catch let error as BuildOpsError {
                #expect(error.code == .unknownUser && error.message.contains("unable to find \(kind)"))
                #expect(error.nextStep?.contains("--link") == true)
            }
        }
    }

    /// The layer is the same whatever it is put over.
    @Test func isTheSameEachTime() async throws {
        let kitchen = try TestKitchen()
        let script = "\(Self.context)\nfind . -depth -exec touch -h -d @7 {} +"
        var listings: [[String]] = []
        for _ in 0..<2 {
            let result = try await kitchen.runWithoutBase(
                [copying("/s", "/n/m"), copying("/a", "/x/"), copying("/r.tar", "/y/", unpacks: true)],
                source: try kitchen.context(script)
            )
            listings.append(try kitchen.listLast(result.layers, [.owners, .modes, .times]))
        }
        #expect(listings[0] == listings[1])
        // Directories without a source have the time of the newest thing in them.
        #expect(listings[0].contains("n/m directory 755 0:0 7.0"), "\(listings[0])")
    }
}
