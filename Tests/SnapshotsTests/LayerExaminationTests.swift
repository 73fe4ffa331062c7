// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots
import Testing

@Suite(.enabled(if: isRoot, "layers keep owners only for root"))
struct LayerExaminationTests {
    private let store: TestStore
    private let id: SnapshotID

    init() throws {
        store = try TestStore()
        let pending = try store.snapshots.begin()
        try makeDirectories(pending.directoryPath.appending("a/b"))
        try replaceFile(pending.directoryPath.appending("a/b/f"), [1])
        try setTimes(of: pending.directory.raw, FileTime(seconds: 0))
        id = try store.snapshots.publish(pending)
    }

    private func examine() throws -> LayerCondition? {
        try store.snapshots.records().first.map { try store.snapshots.examine($0) {} }
    }

    private func shell(_ script: String) throws {
        try store.scratch.shell("cd store/snapshots/\(id); \(script)")
    }

    private func archive() throws {
        let diffID = try store.snapshots.archivedDiffID(of: id) {}
        try store.snapshots.setArchive(id, diffID: diffID, size: 1)
    }

    @Test(arguments: [
        (":", nil),
        ("echo 2 > fs/a/b/f", "\"/a/b/f\" was changed after the layer was made"),
        ("chmod 700 fs/a/b; chmod 755 fs/a/b", "\"/a/b\" was changed after the layer was made"),
        // The root's own times are put back, as the check of every use wants them.
        ("touch fs/x; rm fs/x; touch -d @0 fs", "its root directory was changed"),
        ("chmod 700 fs; chmod 755 fs", "its root directory was changed"),
        ("echo 2 > fs/a/b/f; chmod 700 fs; chmod 755 fs", "\"/a/b/f\" was changed after the layer was made"),
    ])
    func findsWhatWasTouched(_ script: String, _ problem: String?) throws {
        try shell(script)
        let expected = problem.map(LayerCondition.altered) ?? .sound
        #expect(try examine() == expected)
    }

    /// Whoever touches the root and changes a file below has not made a copy of the store.
    @Test func anArchiveTellsWhetherATouchedLayerIsStillTheSame() throws {
        try archive()
        try shell("chmod 700 fs; chmod 755 fs; chmod 700 fs/a; chmod 755 fs/a")
        #expect(try examine() == .sound)
        try shell("touch -r fs/a/b/f time; echo 2 > fs/a/b/f; touch -r time fs/a/b/f")
        #expect(try examine() == .altered("\"/a\" was changed after the layer was made"))
    }

    @Test(arguments: [true, false])
    func aCopyIsTakenForWhatItIs(_ isArchived: Bool) throws {
        if isArchived { try archive() }
        try shell("cp -a fs copy; rm -r fs; mv copy fs")
        #expect(try examine() == .sound)
    }

    /// Numbers of files are given out again.
    @Test func aCopyWithTheOriginalsNumberIsNoOriginal() throws {
        try shell("cp -a fs copy; rm -r fs; mv copy fs")
        let root = try status(at: workingDirectory, store.root.path.appending("snapshots/\(id)/fs"))
        try #require(root.born != nil)
        try store.database.write { transaction in
            let mark = try transaction.query("SELECT root FROM snapshots").first?.text(0) ?? ""
            var words = mark.split(separator: " ").map(String.init)
            words[3] = "\(root.inode)"
            try transaction.execute("UPDATE snapshots SET root = ?", [.text(words.joined(separator: " "))])
        }
        #expect(try examine() == .sound)
    }

    @Test func noDepthTakesMoreThanAFewDescriptors() throws {
        let top = store.root.path.appending("snapshots/\(id)/fs")
        var current = try open(top, [.directory])
        for _ in 0..<60 {
            try makeDirectory(at: current.raw, "d")
            try makeDirectory(at: current.raw, "e")
            current = try open(at: current.raw, "d", [.directory])
        }
        try replaceFile(at: current.raw, "f", [1])
        try setTimes(at: workingDirectory, top, FileTime(seconds: 0))
        try store.snapshots.mark(id)
        let prefix = top.description
        var most = 0
        let layer = try #require(try store.snapshots.records().first)
        let condition = try store.snapshots.examine(layer) {
            let directory = try open("/proc/self/fd", [.directory])
            let links = try readDirectory(directory.raw).compactMap { try? readLink(at: directory.raw, $0.name) }
            most = max(most, links.count { $0.description.hasPrefix(prefix) })
        }
        #expect(condition == .sound)
        #expect(most > 0 && most < 8)
        try replaceFile(at: current.raw, "g", [1])
        let path = Array(repeating: "d", count: 60).joined(separator: "/")
        #expect(try store.snapshots.examine(layer) {} == .altered("\"/\(path)\" was changed after the layer was made"))
    }
}
