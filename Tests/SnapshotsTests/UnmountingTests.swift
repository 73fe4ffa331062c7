// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import GalleyTesting
import Glibc
import LinuxSystem
import Testing

@testable import Snapshots

struct UnmountingTests {
    /// Whether the other end of the pipe is closed everywhere. A process that another test starts has it for a moment.
    private func ends(_ reader: SharedFD, within milliseconds: CInt) -> Bool {
        var wanted = pollfd(fd: reader.raw, events: Int16(POLLIN), revents: 0)
        return poll(&wanted, 1, milliseconds) == 1 && wanted.revents & Int16(POLLHUP) != 0
    }

    /// As a mount, the end of a pipe: the other end tells when it is closed.
    private func mount(_ unmounting: Unmounting) throws -> (reader: SharedFD, tree: SharedFD) {
        let pipe = try makePipe()
        return (pipe.read, unmounting.watch(OwnedFD(owning: fcntl(pipe.write.raw, F_DUPFD_CLOEXEC, 3))))
    }

    private func unused(_ unmounting: Unmounting) throws -> SharedFD { try mount(unmounting).reader }

    @Test func aMountInUseStays() throws {
        let unmounting = Unmounting()
        #expect(!unmounting.isNeeded)
        let (reader, tree) = try mount(unmounting)
        #expect(unmounting.isNeeded)
        unmounting.finish()
        #expect(!ends(reader, within: 0))
        withExtendedLifetime(tree) {}
    }

    @Test func isGoneWhenTheCallReturns() throws {
        // Often, because it is closed here or by the pool's thread, whichever comes first.
        for _ in 0..<200 {
            let unmounting = Unmounting()
            let reader = try unused(unmounting)
            unmounting.finish()
            #expect(ends(reader, within: 60_000))
            #expect(!unmounting.isNeeded)
        }
    }

    @Test func goesWithoutBeingWaitedFor() throws {
        let reader = try unused(Unmounting())
        #expect(ends(reader, within: 60_000))
    }

    @Test func waitsForNoThreadOfThePool() throws {
        let pool = BlockingPool(limit: 1)
        let gate = Monitor(false)
        pool.submit { gate.wait { $0 ? () : nil } }
        defer { gate.withLock { $0 = true } }
        let unmounting = Unmounting(pool: pool)
        let reader = try unused(unmounting)
        unmounting.finish()
        #expect(ends(reader, within: 60_000))
    }

    /// What one mount wrote the next one sees, of the same directory and above it.
    @Test(.enabled(if: isRoot, "overlay mounts need root"))
    func changesAreMountedOneMountAfterTheOther() throws {
        let store = try TestStore()
        let pending = try store.snapshots.begin()
        var base: [SnapshotID] = []
        for round in 0..<20 {
            let tree = try store.snapshots.writableTree([], changes: pending, stubs: nil)
            #expect(try listTree(tree.root).count == round)
            try makeDirectory(at: tree.root.raw, RawPath("d\(round)"))
        }
        base.append(try store.snapshots.publish(pending))
        for round in 0..<20 {
            let next = try store.snapshots.begin()
            do {
                let tree = try store.snapshots.writableTree(base, changes: next, stubs: nil)
                try makeDirectory(at: tree.root.raw, RawPath("e\(round)"))
            }
            base.append(try store.snapshots.publish(next))
        }
        // Each mount waited for those of the layers below it, and nothing is remembered of what is gone.
        #expect(store.snapshots.counted.withLock { $0.unmounting.count } <= 1)
        #expect(try store.merged(base).count == 40)
        #expect(try store.leftovers() == [])
    }
}
