// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import GalleyTesting
import LinuxSystem
import OCI
import Testing

@testable import Snapshots

/// Layers that are there as their archive.
struct PackedLayersTests {
    /// GNU tar's, so that nothing of ours has written it.
    private func archive(_ store: TestStore) throws -> [UInt8] {
        try store.scratch.shell(
            """
            mkdir t; cd t; mkdir d; echo one > d/a; ln d/a d/b; ln -s a d/l; chmod 640 d/a
            tar --format=posix --owner=0 --group=0 --mtime=@1600000000 -cf ../layer.tar d
            """
        )
        return try readFile(store.scratch.file("layer.tar"))
    }

    private func publish(_ bytes: [UInt8], diffID: DiffID? = nil, _ store: TestStore) throws -> SnapshotID {
        let pending = try store.snapshots.begin()
        let file = try pending.makeArchive()
        try writeBytes(file.raw, bytes)
        try setPermissions(of: pending.directory.raw, 0o751)
        try setTimes(of: pending.directory.raw, FileTime(seconds: 1234))
        let packed = PackedLayer(diffID: diffID ?? DiffID(.sha256(bytes)), size: 4)
        return try store.snapshots.publish(pending, packed: packed)
    }

    private func directory(_ id: SnapshotID, _ store: TestStore) -> RawPath {
        store.root.path.appending("snapshots").appending("\(id)")
    }

    private func names(_ id: SnapshotID, _ store: TestStore) throws -> [String] {
        let directory = try open(directory(id, store), [.directory])
        return try readDirectory(directory.raw).map(\.name.description).sorted()
    }

    private func condition(_ id: SnapshotID, _ store: TestStore) throws -> LayerCondition {
        let snapshots = OverlaySnapshotter(store.root, store.database)
        return try snapshots.examine(try #require(try snapshots.records().first { $0.id == id })) {}
    }

    @Test func whoeverLooksUnpacksIt() throws {
        let store = try TestStore()
        let bytes = try archive(store)
        let id = try publish(bytes, store)
        let snapshots = store.snapshots
        #expect(try names(id, store) == ["layer.tar", "root"])
        #expect(try snapshots.use([id]))
        #expect(try snapshots.diffID(of: id) == DiffID(.sha256(bytes)))
        #expect(try snapshots.archivedDiffID(of: id) {} == DiffID(.sha256(bytes)))
        #expect(try condition(id, store) == .sound)
        #expect(try names(id, store) == ["layer.tar", "root"], "so far nobody looked")
        try snapshots.measure()
        let packed = try #require(try snapshots.all().first?.disk)
        #expect(
            try store.layer(id) == [
                "d directory", "d/a regular \"one\n\"", "d/b regular = d/a \"one\n\"", "d/l symlink -> a",
            ]
        )
        #expect(try names(id, store) == ["fs"])
        let directory = try snapshots.layerDirectory(id)
        let root = try status(of: directory.raw)
        #expect(root.permissions == 0o751 && root.modified == FileTime(seconds: 1234))
        #expect(try OverlaySnapshotter(store.root, store.database).use([id]))
        #expect(try condition(id, store) == .sound)
        try snapshots.measure()
        #expect(try snapshots.all().first?.disk != packed)
        #expect(try store.leftovers().isEmpty)
    }

    @Test func manyLookAtOnce() async throws {
        let store = try TestStore()
        let id = try publish(try archive(store), store)
        try await withThrowingTaskGroup(of: [String].self) { group in
            for _ in 0..<8 {
                group.addTask {
                    try listTree(OverlaySnapshotter(store.root, store.database).layerDirectory(id))
                }
            }
            for try await lines in group { #expect(lines.count == 4) }
        }
        #expect(try names(id, store) == ["fs"])
        #expect(try store.leftovers().isEmpty)
    }

    /// A process died before, or after, the directory became what counts.
    @Test(arguments: [false, true]) func bothFormsAfterACrash(isCommitted: Bool) throws {
        let store = try TestStore()
        let bytes = try archive(store)
        let id = try publish(bytes, store)
        try store.scratch.shell("cp -a '\(directory(id, store))' saved")
        if isCommitted {
            _ = try store.snapshots.layerDirectory(id)
            try store.scratch.shell("cp -a saved/layer.tar saved/root '\(directory(id, store))'")
        } else {
            try store.scratch.shell("mkdir '\(directory(id, store))/fs'; touch '\(directory(id, store))/fs/half'")
        }
        let next = OverlaySnapshotter(store.root, store.database)
        #expect(try next.use([id]))
        #expect(try condition(id, store) == .sound)
        #expect(try next.archivedDiffID(of: id) {} != DiffID(.sha256([])))
        #expect(try listTree(next.layerDirectory(id)).first == "d directory")
        #expect(try names(id, store) == ["fs"])
        #expect(try condition(id, store) == .sound)
    }

    @Test func whatIsOnDiskStaysThere() throws {
        let store = try TestStore()
        let settled = try publish(try archive(store), store)
        try store.snapshots.settle()
        try store.scratch.shell("rm -r t")
        let fresh = try publish(try archive(store), store)
        _ = try store.snapshots.layerDirectory(settled)
        _ = try store.snapshots.layerDirectory(fresh)
        // As if the machine had been started anew since.
        try store.database.write {
            try $0.execute(
                "UPDATE snapshots SET root = replace(root, ?, 'another-start')",
                [.text(try #require(store.snapshots.machineStart))]
            )
        }
        let next = OverlaySnapshotter(store.root, store.database)
        #expect(try next.use([settled]))
        // Somebody might have reported it as done while it was unpacked.
        #expect(try next.use([fresh]))
    }

    @Test func damageIsFound() throws {
        let store = try TestStore()
        let bytes = try archive(store)
        let path = { directory($0, store).appending("layer.tar") }
        let cut = try publish(bytes, store)
        try store.scratch.shell("truncate -s 1000 '\(path(cut))'")
        #expect(try !OverlaySnapshotter(store.root, store.database).use([cut]))
        #expect(try condition(cut, store) == .altered("its archive was changed"))
        let rotten = try publish(bytes, store)
        let file = try open(path(rotten), .readWrite)
        let before = try status(of: file.raw)
        try writeBytes(file.raw, [UInt8](repeating: 0x41, count: 3))
        try setTimes(of: file.raw, before.modified)
        #expect(try condition(rotten, store) == .altered("its archive was changed after the layer was made"))
        #expect {
            _ = try store.snapshots.layerDirectory(rotten)
        } throws: { error in
            (error as? SnapshotError)?.code == .missing && "\(error)".contains("galley doctor --deep")
        }
        #expect(try names(rotten, store) == ["layer.tar", "root"])
        let gone = try publish(bytes, store)
        try removeFile(path(gone))
        #expect(try !OverlaySnapshotter(store.root, store.database).use([gone]))
        #expect(try condition(gone, store) == .missing)
        let rootless = try publish(bytes, store)
        try removeTree(directory(rootless, store).appending("root"))
        #expect(try condition(rootless, store) == .missing)
        #expect(try store.leftovers().isEmpty)
    }

    @Test("a directory of a process that died takes no archive's place")
    func damageAfterACrash() throws {
        let store = try TestStore()
        let id = try publish(try archive(store), store)
        let place = directory(id, store)
        try store.scratch.shell("mkdir '\(place)/fs'; touch '\(place)/fs/half'; truncate -s 1000 '\(place)/layer.tar'")
        #expect {
            _ = try store.snapshots.layerDirectory(id)
        } throws: { error in
            (error as? SnapshotError)?.code == .missing
        }
        #expect(try names(id, store) == ["fs", "layer.tar", "root"])
        #expect(try !OverlaySnapshotter(store.root, store.database).use([id]))
    }

    @Test("what was read of a layer before it was unpacked does no harm")
    func staleKnowledge() throws {
        let store = try TestStore()
        let id = try publish(try archive(store), store)
        let before = try #require(try store.snapshots.records().first { $0.id == id })
        _ = try store.snapshots.layerDirectory(id)
        #expect(try store.snapshots.examine(before) {} == .sound)
        // Another process settles what it made, with what it knows.
        try store.snapshots.settle()
        #expect(try OverlaySnapshotter(store.root, store.database).use([id]))
        try store.scratch.shell("touch '\(directory(id, store))/fs'")
        #expect(try store.snapshots.examine(before) {} == .altered("its root directory was changed"))
    }

    @Test func onlyTimesChanged() throws {
        let store = try TestStore()
        let id = try publish(try archive(store), store)
        try store.scratch.shell("chown 0 '\(directory(id, store))/layer.tar'")
        #expect(try condition(id, store) == .sound)
    }

    @Test func adoptedWithoutARow() throws {
        let store = try TestStore()
        let bytes = try archive(store)
        let id = try publish(bytes, store)
        try store.snapshots.forget([id])
        #expect(try store.snapshots.unrecorded() == [RawPath("\(id)")])
        let diffID = try store.snapshots.archivedDiffID(of: id) {}
        #expect(diffID == DiffID(.sha256(bytes)))
        try store.snapshots.adopt(id, diffID)
        #expect(try store.snapshots.use([id]))
        #expect(try store.layer(id).count == 4)
    }

    @Test func prunedWhileItIsUnpacked() throws {
        let store = try TestStore()
        let id = try publish(try archive(store), store)
        try store.snapshots.forget([id])
        #expect(throws: SnapshotError.self) { _ = try store.snapshots.layerDirectory(id) }
        #expect(try store.leftovers().isEmpty)
    }
}
