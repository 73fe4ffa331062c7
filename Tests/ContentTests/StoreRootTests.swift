// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import Testing

@testable import Content

struct StoreRootTests {
    private let scratch: ScratchDirectory

    init() throws { scratch = try ScratchDirectory() }

    private func names(_ path: String) throws -> Set<String> {
        let directory = try open(scratch.file(path), [.directory])
        return Set(try readDirectory(directory.raw).map(\.name.description))
    }

    @Test func makesItsDirectoriesAndLeavesNothingInTmp() throws {
        var root: StoreRoot? = try StoreRoot(scratch.file("deep/store"))
        #expect(try names("deep/store") == ["blobs", "snapshots", "tmp", "use.lock"])
        #expect(try names("deep/store/tmp").count == 2)
        _ = try root?.makeTemporaryDirectory("x")
        root = nil
        #expect(try names("deep/store/tmp") == [])
    }

    @Test func removesWhatADeadOwnerLeftAndKeepsTheLivingsWork() throws {
        let alive = try StoreRoot(scratch.file("store"))
        let work = try alive.makeTemporaryDirectory("work")
        try scratch.shell("mkdir -p store/tmp/owner-dead/layer-1/fs; touch store/tmp/owner-dead.lock")
        let other = try StoreRoot(scratch.file("store"))
        #expect(try !names("store/tmp").contains { $0.hasPrefix("owner-dead") })
        #expect(try statusIfPresent(at: workingDirectory, work) != nil)
        withExtendedLifetime((alive, other)) {}
    }

    /// A program that a killed process had started makes directories again until it dies itself.
    @Test func aTreeWithoutItsLockIsADeadOnes() throws {
        let alive = try StoreRoot(scratch.file("store"))
        try scratch.shell("mkdir -p store/tmp/owner-dead/container-1/state store/tmp/other")
        let other = try StoreRoot(scratch.file("store"))
        let owners = [alive, other].compactMap { $0.temporary.lastComponent?.description }
        #expect(try names("store/tmp") == Set(owners + owners.map { $0 + ".lock" } + ["other"]))
        withExtendedLifetime((alive, other)) {}
    }

    @Test(.enabled(if: geteuid() == 0)) func whatCannotBeRemovedKeepsItsLock() throws {
        let root = try StoreRoot(scratch.file("store"))
        let name = try #require(root.temporary.lastComponent?.description)
        try scratch.shell("mkdir store/tmp/\(name)/busy; mount -t tmpfs none store/tmp/\(name)/busy")
        root.close()
        let left = try names("store/tmp")
        try scratch.shell("umount store/tmp/\(name)/busy")
        #expect(left == [name, "\(name).lock"])
    }

    @Test func theHorizonLiesBeforeAllThatLives() throws {
        let root = try StoreRoot(scratch.file("store"))
        #expect(try root.oldestLiveOwner() == nil)
        let before = root.useStamp
        #expect(try root.pruneHorizon() >= before)
        let other = try StoreRoot(scratch.file("store"))
        let horizon = try root.pruneHorizon()
        #expect(horizon < other.useStamp && horizon < root.useStamp)
        #expect(try root.pruneHorizon() == horizon)
        // The clock is set back while it runs: what it uses is still later than its own beginning.
        try scratch.shell("touch -d '2 hours' store/tmp/*.lock")
        let late = try StoreRoot(scratch.file("store"))
        #expect(try late.pruneHorizon() < late.useStamp)
        other.close()
        root.close()
        #expect(try late.oldestLiveOwner() == nil)
        #expect(try names("store/tmp").count == 2)
        withExtendedLifetime((root, other, late)) {}
    }

    @Test func leftoversAreOfTheDeadOnly() throws {
        let alive = try StoreRoot(scratch.file("store"))
        _ = try alive.makeTemporaryDirectory("work")
        try scratch.shell("cd store/tmp; mkdir owner-dead owner-unlocked; touch owner-dead.lock owner-gone.lock")
        let found = try StoreRoot.leftovers(in: alive.path).map(\.description)
        // Whose work has no lock may be alive when somebody is.
        #expect(found.sorted() == ["owner-dead", "owner-dead.lock", "owner-gone.lock"])
        #expect(try StoreRoot.exclusively(alive.path) == nil)
        alive.close()
        let looking = try StoreRoot(scratch.file("store"), clearsLeftovers: false)
        let all = try StoreRoot.leftovers(in: looking.path)
        #expect(all.count == 3)
        try StoreRoot.removeLeftovers(all, in: looking.path)
        #expect(try names("store/tmp").count == 3)
        withExtendedLifetime(looking) {}
    }

    /// Whoever comes or goes has a lock file without its lock for a moment.
    @Test func whoComesOrGoesIsNotDead() throws {
        let path = scratch.file("store")
        try scratch.shell(
            "mkdir -p store/tmp/owner-dead; cd store/tmp; touch owner-dead.lock owner-new.lock claim-a.lock claim-b.lock"
        )
        var new: FileLock?
        let found = try StoreRoot.leftovers(in: path) {
            new = try FileLock(trying: scratch.file("store/tmp/owner-new.lock"))
            try scratch.shell("cd store/tmp; mkdir owner-new; rm claim-a.lock claim-b.lock; touch claim-b.lock")
        }
        #expect(found == ["owner-dead", "owner-dead.lock"])
        #expect(
            try names("store/tmp") == ["owner-dead", "owner-dead.lock", "owner-new", "owner-new.lock", "claim-b.lock"]
        )
        withExtendedLifetime(new) {}
    }

    @Test func lookingMakesNoLockAgain() throws {
        let root = try StoreRoot(scratch.file("store"))
        // What opening finds is gone, as when its owner ends after the directory was read.
        try scratch.shell("cd store/tmp; ln -s gone owner-x.lock")
        #expect(try StoreRoot.leftovers(in: root.path) == [])
        #expect(try root.oldestLiveOwner() == nil)
        let other = try StoreRoot(root.path)
        #expect(try !names("store/tmp").contains("gone"))
        withExtendedLifetime((root, other)) {}
    }

    @Test func aLockThatIsTakenAgainIsNotRemoved() throws {
        try scratch.shell("mkdir -p store/tmp; touch store/tmp/claim-a.lock store/tmp/claim-b.lock")
        let found = try StoreRoot.leftovers(in: scratch.file("store"))
        #expect(found == ["claim-a.lock", "claim-b.lock"])
        let lock = try FileLock(trying: scratch.file("store/tmp/claim-a.lock"))
        try StoreRoot.removeLeftovers(found, in: scratch.file("store"))
        #expect(try names("store/tmp") == ["claim-a.lock"])
        withExtendedLifetime(lock) {}
    }

    @Test func nobodyComesWhileOneIsAlone() async throws {
        let path = scratch.file("store")
        _ = try StoreRoot(path)
        var alone = try StoreRoot.exclusively(path)
        #expect(alone != nil)
        let isOpen = Monitor(false)
        let opening = Task {
            try await blocking {
                let root = try StoreRoot(path)
                isOpen.withLock { $0 = true }
                root.close()
            }
        }
        #expect(try StoreRoot.exclusively(path) == nil)
        #expect(!isOpen.withLock { $0 })
        alone = nil
        try await opening.value
    }

    @Test func temporaryPathsAreNeverTheSame() throws {
        let root = try StoreRoot(scratch.file("store"))
        #expect(Set((0..<100).map { _ in root.temporaryPath("x") }).count == 100)
    }

    @Test func anUnusableRootNamesItselfAndAWayOut() throws {
        try scratch.shell("touch file")
        #expect {
            _ = try StoreRoot(scratch.file("file/store"))
        } throws: { error in
            guard let error = error as? ContentError else { return false }
            return error.code == .unusableRoot && error.message.contains("file/store")
                && error.nextStep?.contains("--root") == true
        }
    }
}
