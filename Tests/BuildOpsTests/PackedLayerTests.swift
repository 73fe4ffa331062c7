// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Content
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots
import Testing

@testable import BuildOps

/// Copies that nobody looks into in the same build: the archive must be the one that the files would give.
@Suite(.enabled(if: isRoot, "owners and devices need root"), .endsHangs)
struct PackedLayerTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var base = ""
        /// Adds to a directory `s` of 300 files.
        var source = ""
        var action = copying("/s", "/d/e")
        var isPacked = true
        var testDescription: String { name }
    }

    private static let files = """
        mkdir -p s/m; cd s
        for i in $(seq 150); do echo $i > f$i; echo m$i > m/$i; done
        touch -d @1000000000.5 f* m/*; touch -d @1000000009 f9; touch -d @1000000003.25 m/3

        """

    private static let cases: [Case] = [
        Case(name: "files", source: "touch -d @1700000000.25 m"),
        Case(name: "into the root", action: copying("/s", "/")),
        Case(name: "over files of the base", base: "mkdir -p d/e; echo old > d/e/f1", source: "touch f1"),
        Case(
            name: "into directories of the base",
            base: "mkdir -p d/e/other; chmod 1700 d; chown 7:8 d/e; setfattr -n user.n -v v d; touch d/e/x"
        ),
        Case(name: "through a symlink of the base", base: "mkdir -p real; ln -s real d", action: copying("/s", "/d/e")),
        Case(name: "new owner", action: copying("/s", "/d/e", owner: "12:34")),
        Case(name: "new modes", source: "chmod 4755 f1", action: copying("/s", "/d/e", permissions: 0o640)),
        Case(name: "symbolic modes", action: copying("/s", "/d/e", mode: "u=rwX,go=r")),
        Case(name: "odd modes", source: "chmod 4711 f1; chmod 1777 m; chmod 0 f2; chown 5:6 f3 m"),
        Case(name: "empty files and directories", source: "mkdir -p empty/x; : > none; : > m/none"),
        Case(name: "links", source: "ln -s f1 l; ln -s /nowhere m/l; touch -h -d @1234567890 l; mkfifo p; chmod 600 p"),
        Case(
            name: "hard links",
            source: """
                ln f1 a; ln m/3 b; ln f5 m/a; ln -P f7 zz; head -c 300000 /dev/urandom > big; ln big aaa; ln big m/zzz
                ln -s x l; ln -P l l2; echo outside > ../o; ln ../o alone
                """
        ),
        Case(
            name: "large files",
            source: "for n in 131071 131072 131073 4194304 5000001; do head -c $n /dev/urandom > l$n; done"
        ),
        Case(
            name: "attributes",
            source: """
                setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 f2
                """
        ),
        Case(
            name: "names",
            source: """
                touch $'\\303\\244' $'\\377bad' 'a b' $'new\\nline' .wh '.whx' "$(printf 'n%.0s' $(seq 150))"
                mkdir -p "$(printf 'd%.0s' $(seq 120))/$(printf 'e%.0s' $(seq 120))"; cd d*/e*; touch f
                """
        ),
        Case(name: "a socket", source: "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")'"),
        Case(
            name: "times before 1970 and after 2106",
            source: "touch -d @-5 f1; touch -d @5000000000 f2",
            isPacked: false
        ),
        Case(name: "attributes that some stores cannot keep", source: "setfattr -n user.a -v 1 m", isPacked: false),
        Case(name: "few files", source: "rm -r m", isPacked: false),
        Case(name: "a marker's name", source: "touch .wh.x", isPacked: false),
        Case(name: "a device", source: "mknod n c 1 3", isPacked: false),
        Case(name: "a sparse file", source: "truncate -s 3M sparse; echo x >> sparse", isPacked: false),
        Case(name: "merged directories", base: "mkdir -p d/e/m; touch d/e/m/old", isPacked: false),
        Case(name: "what is left out", action: copying("/s", "/d/e", excluding: ["f1*"]), isPacked: false),
    ]

    @Test(arguments: cases, [false, true])
    func hasTheArchiveThatItsFilesWouldGive(_ test: Case, isContext: Bool) async throws {
        let kitchen = try TestKitchen()
        // What a context cannot hold, or not that way.
        if isContext, test.name == "a socket" { return }
        let base = try kitchen.stage(test.base)
        let script = Self.files + test.source
        let source = isContext ? try kitchen.context(script) : try kitchen.stage(script)
        guard case .copy(let copy) = test.action else { return }
        let op = FileOp(actions: [.copy(copy)], hasBase: true)
        let packed = try await FileStep(op, kitchen.environment(), isUnread: true).run([base, source])
        let plain = try await FileStep(op, kitchen.environment()).run([base, source])
        #expect(!packed.sourceChanged && !plain.sourceChanged)
        let layers = (packed.layers[packed.layers.count - 1], plain.layers[plain.layers.count - 1])
        let snapshots = kitchen.snapshots
        #expect(try snapshots.packedArchive(of: layers.1) == nil)
        #expect(try (snapshots.packedArchive(of: layers.0) != nil) == test.isPacked)
        let expected = try archive(layers.1, snapshots)
        #expect(try archive(layers.0, snapshots) == expected)
        if test.isPacked {
            #expect(try snapshots.diffID(of: layers.0) == expected)
            #expect(try snapshots.size(of: layers.0) == fileBytes(snapshots.layerDirectory(layers.1)))
        }
        #expect(try kitchen.listLast(packed.layers, .all) == kitchen.listLast(plain.layers, .all))
        #expect(try snapshots.packedArchive(of: layers.0) == nil)
        #expect(try archive(layers.0, snapshots) == expected)
        let roots = try (snapshots.layerDirectory(layers.0), snapshots.layerDirectory(layers.1))
        let facts = try (status(of: roots.0.raw), status(of: roots.1.raw))
        #expect(facts.0.modified == facts.1.modified && facts.0.permissions == facts.1.permissions)
    }

    private func archive(_ id: SnapshotID, _ snapshots: OverlaySnapshotter) throws -> DiffID? {
        do {
            return try snapshots.archivedDiffID(of: id) {}
        } catch {
            // A layer that cannot be archived, however it was made.
            return nil
        }
    }

    private func fileBytes(_ directory: SharedFD) throws -> Int64 {
        var (total, inodes) = (Int64(0), Set<UInt64>())
        func visit(_ parent: CInt) throws {
            for entry in try readDirectory(parent) {
                let status = try status(at: parent, entry.name)
                if status.kind == .regular, inodes.insert(status.inode).inserted { total += status.size }
                if status.kind == .directory {
                    let below = try open(at: parent, entry.name, [.directory])
                    try visit(below.raw)
                }
            }
        }
        try visit(directory.raw)
        return total
    }

    @Test(arguments: [
        "echo changed > f9", "rm f9", "rm m/9; mkdir m/9", "rm -r m; ln -s . m", "truncate -s 0 f140",
        "echo more >> m/150", "rm f9; mkfifo f9", "chmod 600 m",
    ]) func aSourceThatChangesIsCopiedAsItIs(_ change: String) async throws {
        let kitchen = try TestKitchen()
        let path = try kitchen.directory(Self.files)
        let source = kitchen.value(try kitchen.scan(path))
        try kitchen.scratch.shell("cd '\(path)/s'; \(change)")
        guard case .copy(let copy) = copying("/s", "/d") else { return }
        let op = FileOp(actions: [.copy(copy)], hasBase: true)
        let inputs = [try kitchen.stage(""), source]
        let packed = try await FileStep(op, kitchen.environment(), isUnread: true).run(inputs)
        let plain = try await FileStep(op, kitchen.environment()).run(inputs)
        #expect(packed.sourceChanged && plain.sourceChanged)
        #expect(try kitchen.listLast(packed.layers, .all) == kitchen.listLast(plain.layers, .all))
        #expect(try leftovers(kitchen).isEmpty)
    }

    @Test func cancellingLeavesNothing() async throws {
        let kitchen = try TestKitchen()
        let source = try kitchen.context(Self.files)
        let base = try kitchen.stage("")
        guard case .copy(let copy) = copying("/s", "/d") else { return }
        let step = FileStep(FileOp(actions: [.copy(copy)], hasBase: true), kitchen.environment(), isUnread: true)
        let task = Task { try await step.run([base, source]) }
        task.cancel()
        await #expect(throws: CancellationError.self) { _ = try await task.value }
        #expect(try leftovers(kitchen).isEmpty)
    }

    private func leftovers(_ kitchen: TestKitchen) throws -> [RawPath] {
        let directory = try open(kitchen.root.temporary, [.directory])
        return try readDirectory(directory.raw).map(\.name).filter { $0 != "empty" }
    }
}
