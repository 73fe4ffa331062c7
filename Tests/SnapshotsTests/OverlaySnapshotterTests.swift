// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots
import Testing

@Suite(.enabled(if: isRoot, "overlay mounts need root"))
struct OverlaySnapshotterTests {
    private func layer(_ store: TestStore, _ name: String, _ content: String) throws -> SnapshotID {
        let pending = try store.snapshots.begin()
        try replaceFile(at: pending.directory.raw, RawPath(name), Array(content.utf8))
        return try store.snapshots.publish(pending)
    }

    @Test func sizesAreMeasuredOnceAndCountLinksOnce() throws {
        let store = try TestStore()
        let pending = try store.snapshots.begin()
        try replaceFile(at: pending.directory.raw, "f", [UInt8](repeating: 1, count: 100_000))
        try makeHardLink(from: pending.directory.raw, "f", to: pending.directory.raw, "g")
        let id = try store.snapshots.publish(pending)
        #expect(try store.snapshots.all().map(\.disk) == [nil])
        try store.snapshots.measure()
        let size = try #require(try store.snapshots.all().first?.disk)
        #expect(size >= 100_000 && size < 150_000)
        #expect(try store.snapshots.measuredTotal() == size)
        #expect(store.snapshots.madeCount == 1)
        try removeTree(store.root.path.appending("snapshots/\(id)/fs/f"))
        try store.snapshots.measure()
        #expect(try store.snapshots.all().map(\.disk) == [size])
    }

    @Test func measuringWithoutTimeComesToAnEnd() throws {
        let store = try TestStore()
        for name in ["a", "b", "c"] { _ = try layer(store, name, name) }
        for count in 1...3 {
            try store.snapshots.measure(until: FileTime(seconds: 0))
            #expect(try store.snapshots.all().count { $0.disk != nil } == count)
        }
    }

    @Test func aPruneLeavesWhatOthersUse() throws {
        let store = try TestStore()
        let other = try TestStore(in: store.scratch)
        let old = try layer(store, "a", "1")
        let found = try layer(store, "b", "2")
        let horizon = try store.root.pruneHorizon()
        // The other one began before: all that was made since may be its own.
        #expect(try store.snapshots.removeUnused([old, found], before: .max) == [])
        other.root.close()
        #expect(try store.snapshots.use([found]))
        let now = try store.root.pruneHorizon()
        #expect(try store.snapshots.removeUnused([old, found], before: horizon) == [])
        #expect(try store.snapshots.removeUnused([old, found], before: now) == [old, found])
        #expect(try !store.snapshots.use([found]))
        #expect(try store.leftovers() == [])
        withExtendedLifetime(other) {}
    }

    @Test func usesAreCountedOnceAProcess() throws {
        let store = try TestStore()
        let id = try layer(store, "a", "1")
        for _ in 0..<5 { #expect(try store.snapshots.use([id])) }
        #expect(try store.snapshots.all().map(\.uses) == [1])
        let other = try TestStore(in: store.scratch)
        for _ in 0..<5 { #expect(try other.snapshots.use([id])) }
        #expect(try store.snapshots.all().map(\.uses) == [2])
    }

    @Test func aUseThatFailsIsNotCountedAndTheNextOneIs() throws {
        let store = try TestStore()
        let id = try layer(store, "a", "1")
        let other = try TestStore(in: store.scratch)
        let before = try store.snapshots.all()
        #expect(try !other.snapshots.use([id, SnapshotID(99)]))
        #expect(try store.snapshots.all() == before)
        #expect(try other.snapshots.use([id, id]))
        #expect(try store.snapshots.all().map(\.uses) == [2])
        #expect(try other.snapshots.use([id]))
        #expect(try store.snapshots.all().map(\.uses) == [2])
    }

    /// Every statement that is prepared is kept for as long as the process runs.
    @Test func anotherListOfLayersIsNoOtherStatement() throws {
        let store = try TestStore()
        let ids = try (0..<8).map { try layer(store, "f\($0)", "1") }
        func statements() throws -> Int64? {
            try store.database.read { try $0.query("SELECT count(*) FROM sqlite_stmt").first?.integer(0) }
        }
        #expect(try store.snapshots.use([ids[0]]))
        try store.snapshots.forget([ids[7]])
        let before = try statements()
        #expect(try store.snapshots.use(Array(ids[..<6])))
        for id in ids[1..<6] { #expect(try store.snapshots.use([ids[0], id])) }
        try store.snapshots.forget([ids[5]])
        try store.snapshots.forget([ids[4], ids[6]])
        #expect(try statements() == before)
        #expect(try store.snapshots.all().map(\.id) == Array(ids[..<4]))
        #expect(try !store.snapshots.use([ids[4]]))
    }

    @Test func stampsOfTheFutureArePutRight() throws {
        let store = try TestStore()
        let id = try layer(store, "a", "1")
        try store.database.write { try $0.execute("UPDATE snapshots SET used = used + 3600000000000", []) }
        #expect(try store.snapshots.removeUnused([id], before: store.root.pruneHorizon()) == [])
        try store.snapshots.clampStamps(to: store.root.pruneHorizon())
        #expect(try store.snapshots.removeUnused([id], before: store.root.pruneHorizon()) == [id])
    }

    @Test(arguments: [true, false])
    func mergesAnyNumberOfLayers(_ detached: Bool) throws {
        let store = try TestStore(usesDetachedMounts: detached)
        let empty = try store.merged([])
        #expect(empty == [])
        let a = try layer(store, "a", "1")
        let b = try layer(store, "b", "2")
        let c = try layer(store, "a", "3")
        #expect(try store.merged([a]) == ["a regular \"1\""])
        #expect(try store.merged([a, b, c]) == ["a regular \"3\"", "b regular \"2\""])
        #expect(try store.merged([c, b, a]) == ["a regular \"1\"", "b regular \"2\""])
    }

    @Test(arguments: [true, false])
    func changesGoIntoTheNewLayer(_ detached: Bool) throws {
        let store = try TestStore(usesDetachedMounts: detached)
        let base = try layer(store, "a", "1")
        let more = try layer(store, "b", "2")
        for layers in [[], [base], [base, more]] {
            let pending = try store.snapshots.begin()
            let stubs = store.scratch.file("stubs")
            try makeDirectories(stubs.appending("dev"))
            do {
                let tree = try store.snapshots.writableTree(layers, changes: pending, stubs: stubs)
                try makeDirectory(at: tree.root.raw, "new")
                if !layers.isEmpty { try removeFile(at: tree.root.raw, "a") }
                #expect(try listTree(tree.root).contains("dev directory"))
            }
            let id = try store.snapshots.publish(pending)
            #expect(try store.layer(id) == (layers.isEmpty ? [] : ["a whiteout"]) + ["new directory"])
            #expect(try !store.merged(layers + [id]).contains { $0.hasPrefix("a ") })
        }
    }

    @Test func theRootLooksLikeTheLayerBelow() throws {
        let store = try TestStore()
        let first = try store.snapshots.begin()
        try setPermissions(of: first.directory.raw, 0o1700)
        try setOwner(of: first.directory.raw, uid: 5, gid: 6)
        try setTimes(of: first.directory.raw, FileTime(seconds: 77, nanoseconds: 3))
        let base = try store.snapshots.publish(first)
        let second = try store.snapshots.begin()
        let tree = try store.snapshots.writableTree([base], changes: second, stubs: nil)
        let root = try status(of: tree.root.raw)
        #expect(root.permissions == 0o1700)
        #expect(root.uid == 5)
        #expect(root.gid == 6)
        #expect(root.modified == FileTime(seconds: 77, nanoseconds: 3))
    }

    @Test func manyLayersMerge() throws {
        let store = try TestStore()
        let ids = try (0..<120).map { try layer(store, "f\($0)", "x") }
        #expect(try store.merged(ids).count == 120)
    }

    @Test func unpublishedLayersVanish() throws {
        let store = try TestStore()
        do { _ = try store.snapshots.begin() }
        #expect(try store.leftovers() == [])
    }

    @Test func recordsAndRemoval() throws {
        let store = try TestStore()
        let id = try layer(store, "a", "1")
        #expect(try store.snapshots.diffID(of: id) == nil)
        #expect(try store.snapshots.size(of: id) == nil)
        let diffID = DiffID(.sha256("tar"))
        try store.snapshots.setArchive(id, diffID: diffID, size: 9)
        #expect(try store.snapshots.diffID(of: id) == diffID)
        #expect(try store.snapshots.size(of: id) == 9)
        let chain = ChainID(diffID, on: nil)
        #expect(try store.snapshots.snapshots(for: [diffID]) == [nil])
        try store.snapshots.setChain(chain, diffID, id)
        let other = try layer(store, "b", "1")
        try store.snapshots.setArchive(other, diffID: diffID, size: 9)
        try store.snapshots.setChain(chain, diffID, other)
        #expect(try store.snapshots.snapshots(for: [diffID]) == [id])
        #expect(try store.snapshots.use([id, other]))
        #expect(try !store.snapshots.use([id, SnapshotID(99)]))
        #expect(try store.snapshots.remove([id], unusedSince: 5) == [])
        #expect(try store.snapshots.remove([id], unusedSince: .max) == [id])
        #expect(try store.snapshots.snapshot(for: chain, diffID) == nil)
        #expect(try store.snapshots.all().map(\.id) == [other])
        #expect(throws: SnapshotError.self) { try store.snapshots.layerDirectory(id) }
        // A chain whose layer is gone is free for another.
        try store.snapshots.setChain(chain, diffID, other)
        #expect(try store.snapshots.snapshot(for: chain, diffID) == other)
        #expect(try store.leftovers() == [])
    }

    @Test(arguments: [
        "rm -r $layer", "rm $layer/a", "touch $layer/b", "chmod 700 $layer", "rm -r $layer; mkdir $layer",
        "rm -r $layer; touch $layer",
    ])
    func aLayerThatWasChangedIsNotUsed(_ damage: String) throws {
        let store = try TestStore()
        let pending = try store.snapshots.begin()
        try replaceFile(pending.directoryPath.appending("a"), [1])
        let id = try store.snapshots.publish(pending)
        let diffID = DiffID(.sha256("tar"))
        try store.snapshots.setArchive(id, diffID: diffID, size: 9)
        try store.snapshots.setChain(ChainID(diffID, on: nil), diffID, id)
        // A copy of the store is as good as the original.
        try store.scratch.shell(
            "cp -a store/snapshots/\(id) x; rm -r store/snapshots/\(id); mv x store/snapshots/\(id)"
        )
        #expect(try store.snapshots.use([id]))
        #expect(try store.snapshots.snapshots(for: [diffID]) == [id])
        try store.scratch.shell("layer=store/snapshots/\(id)/fs; \(damage)")
        #expect(try !store.snapshots.use([id]))
        #expect(try store.snapshots.snapshots(for: [diffID]) == [nil])
    }

    /// A damaged row must not make an image of another layer.
    @Test func aChainThatLeadsElsewhereIsNoAnswer() throws {
        let store = try TestStore()
        let (id, other) = (try layer(store, "a", "1"), try layer(store, "b", "1"))
        let diffID = DiffID(.sha256("tar"))
        try store.snapshots.setArchive(id, diffID: diffID, size: 9)
        try store.snapshots.setArchive(other, diffID: DiffID(.sha256("other")), size: 9)
        try store.snapshots.setChain(ChainID(diffID, on: nil), diffID, id)
        #expect(try store.snapshots.snapshots(for: [diffID]) == [id])
        try store.database.write { try $0.execute("UPDATE chains SET snapshot = ?", [.integer(other.rawValue)]) }
        #expect(try store.snapshots.snapshots(for: [diffID]) == [nil])
        // Whoever has the layer names it anew.
        try store.snapshots.setChain(ChainID(diffID, on: nil), diffID, id)
        #expect(try store.snapshots.snapshots(for: [diffID]) == [id])
    }

    @Test func aDamagedRewrittenLayerIsFoundOutAgain() throws {
        let store = try TestStore()
        let id = try layer(store, "a", "1")
        let known = RewrittenLayer(diffID: DiffID(.sha256("tar")), tree: id)
        try store.snapshots.setRewritten(id, epoch: 5, known)
        #expect(try store.snapshots.rewritten(id, epoch: 5) == known)
        try store.database.write { try $0.execute("UPDATE rewritten_layers SET diff_id = 'sha256:no'") }
        #expect(try store.snapshots.rewritten(id, epoch: 5) == nil)
        try store.snapshots.setRewritten(id, epoch: 5, known)
        #expect(try store.snapshots.rewritten(id, epoch: 5) == known)
    }

    @Test func layersSurviveTheProcess() throws {
        let scratch = try ScratchDirectory()
        let id: SnapshotID
        do {
            let store = try TestStore(in: scratch)
            id = try layer(store, "a", "1")
        }
        #expect(try TestStore(in: scratch).merged([id]) == ["a regular \"1\""])
    }
}
