// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildDefinition
import Content
import GalleyTesting
import LinuxSystem
import OCI
import Testing

@testable import BuildOps

/// Who gets which directory, and when.
@Suite struct CacheMountTests {
    private let kitchen: TestKitchen
    private let caches: CacheMounts

    init() throws {
        kitchen = try TestKitchen()
        caches = CacheMounts(kitchen.root)
    }

    private func lease(
        _ id: String = "x",
        _ sharing: CacheMount.Sharing = .shared,
        permissions: UInt32 = 0o755,
        in caches: CacheMounts? = nil,
        fill: @escaping @Sendable (RawPath, CancellationFlag) throws -> Bool = { _, _ in false },
        waits: @escaping @Sendable () -> Void = {}
    ) async throws -> CacheMounts.Lease {
        let mount = CacheMount(id: id, sharing: sharing, permissions: permissions)
        return try await (caches ?? self.caches)
            .lease(mount, key: CacheMounts.key(mount, seed: nil), fill: fill, waits: waits)
    }

    @Test func sharedOnesAreOneDirectory() async throws {
        let first = try await lease()
        let second = try await lease()
        #expect(first.directory == second.directory)
        #expect(try await lease("y").directory != first.directory)
        // As in BuildKit: a directory of another mode is another directory.
        #expect(try await lease(permissions: 0o700).directory != first.directory)
    }

    @Test func manyFirstUsersShareOne() async throws {
        let directories = try await withThrowingTaskGroup(of: RawPath.self) { group in
            for _ in 0..<16 { group.addTask { try await lease().directory } }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        #expect(directories.count == 1)
    }

    @Test func privateOnesAreAlone() async throws {
        var first: CacheMounts.Lease? = try await lease("x", .private)
        let place = first?.directory
        let second = try await lease("x", .private)
        #expect(second.directory != place)
        // One that is shared waits for nobody, and takes none that somebody has to himself.
        let shared = try await lease()
        #expect(shared.directory != place && shared.directory != second.directory)
        withExtendedLifetime(first) {}
        first = nil
        #expect(try await lease("x", .private).directory == place)
        withExtendedLifetime((second, shared)) {}
    }

    @Test func lockedOnesWait() async throws {
        let other = CacheMounts(kitchen.root)
        let (told, tell) = AsyncStream<Void>.makeStream()
        var first: CacheMounts.Lease? = try await lease("x", .locked)
        let place = first?.directory
        async let second = lease("x", .locked, in: other, waits: { tell.yield() })
        for await _ in told.prefix(1) {}
        withExtendedLifetime(first) {}
        first = nil
        #expect(try await second.directory == place)
    }

    @Test func waitingEndsWithTheTask() async throws {
        let held = try await lease("x", .locked)
        let (told, tell) = AsyncStream<Void>.makeStream()
        let task = Task { try await lease("x", .locked, waits: { tell.yield() }) }
        for await _ in told.prefix(1) {}
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        withExtendedLifetime(held) {}
    }

    @Test func contentThatWasNotFinishedIsNeverUsed() async throws {
        struct Stopped: Error {}
        await #expect(throws: Stopped.self) {
            try await lease { directory, _ in
                try replaceFile(directory.appending("half"), "x".utf8)
                throw Stopped()
            }
        }
        let made = try await lease { directory, _ in
            try replaceFile(directory.appending("whole"), "x".utf8)
            return true
        }
        let handle = try open(made.directory, [.directory])
        #expect(try readDirectory(handle.raw).map(\.name) == ["whole"])
        // The content is put in once.
        _ = try await lease { _, _ in throw Stopped() }
    }

    @Test func newDirectoriesAreAsAskedFor() async throws {
        let made = try await lease(permissions: 0o2770)
        #expect(try status(at: workingDirectory, made.directory).permissions == 0o2770)
    }

    @Test func pruningLeavesWhatIsUsed() async throws {
        let used = try await lease("used")
        do {
            let free = try await lease("free\nwith odd characters", .private)
            try replaceFile(free.directory.appending("data"), [UInt8](repeating: 1, count: 10_000))
            withExtendedLifetime(free) {}
        }
        let all = try caches.all(MeasuredSizes(kitchen.database))
        #expect(Set(all.map(\.purpose)) == ["used", "free\nwith odd characters"])
        #expect(all.filter(\.isInUse).map(\.purpose) == ["used"])
        let removed = try caches.remove(all.map(\.name))
        #expect(removed.map(\.name) == all.filter { !$0.isInUse }.map(\.name))
        #expect(removed.allSatisfy { $0.size >= 10_000 })
        #expect(try statusIfPresent(at: workingDirectory, used.directory) != nil)
        #expect(try caches.all(MeasuredSizes(kitchen.database)).map(\.purpose) == ["used"])
        withExtendedLifetime(used) {}
        #expect(try await lease("used").directory == used.directory)
    }

    @Test func sizesAreMeasuredAgainAfterEachUse() async throws {
        let sizes = MeasuredSizes(kitchen.database)
        func fill(_ name: String, _ count: Int) async throws {
            let lease = try await lease()
            try replaceFile(lease.directory.appending(RawPath(name)), [UInt8](repeating: 1, count: count))
            withExtendedLifetime(lease) {}
        }
        try await fill("a", 100_000)
        let first = try #require(try caches.all(sizes).first)
        #expect(first.size >= 100_000 && !first.isInUse)
        // Nobody changes one without using it: the second look costs nothing.
        try removeTree(kitchen.root.path.appending(RawPath(first.name)).appending("fs/a"))
        #expect(try caches.all(sizes).first == first)
        try await fill("b", 200_000)
        let second = try #require(try caches.all(sizes).first)
        #expect(second.size >= 200_000 && second.size < 300_000)
        #expect(second.uses > first.uses)
        #expect(try #require(second.used) > #require(first.used))
    }

    /// Two that count at once write one over the other: what is longer must not keep its end.
    @Test func aCountAlwaysTakesTheSameRoom() throws {
        let file = kitchen.scratch.file("count")
        for (before, after) in [("", 1), ("9", 10), ("98", 99), ("99", 100), ("x", 1), ("\(Int.max)", Int.max)] {
            try replaceFile(file, before.utf8)
            let count = UseCount(file)
            try count.increment()
            #expect(try count.value() == after)
            #expect(try readFile(file).count == 20)
        }
    }

    @Test func nothingToPrune() throws { #expect(try caches.all(MeasuredSizes(kitchen.database)).isEmpty) }
}

/// Cache mounts of commands.
@Suite(.enabled(if: ExecKitchen.isPossible)) struct CacheMountRunTests {
    @Test("what a command leaves in a cache the next one finds; images have none of it")
    func kept() async throws {
        let kitchen = try ExecKitchen()
        let (layers, _) = try await kitchen.run("mkdir /c/d; echo kept > /c/d/x", [.cache("/c")])
        #expect(try kitchen.added(layers) == [])
        #expect(try await kitchen.run("cat /other/d/x", [.cache("/other")]).output == "kept\n")
    }

    @Test("two mounts of one cache in a command are one directory, whatever their sharing")
    func twice() async throws {
        let kitchen = try ExecKitchen()
        let mounts: [ExecMount] = [.cache("/a", .locked), .cache("/b", .private), .cache("/c")]
        #expect(try await kitchen.run("echo x > /a/x; cat /b/x /c/x", mounts).output == "x\nx\n")
    }

    @Test("a new cache begins with a copy of what its source holds")
    func seed() async throws {
        let kitchen = try ExecKitchen()
        let stage = try kitchen.kitchen.stage("mkdir -p d/sub; echo one > d/sub/f; chown -R 1000:1000 d; chmod 700 d")
        let mount = ExecMount.cache("/c", seed: .init(input: 1, path: "/d"))
        let script = "cat /c/sub/f; stat -c %u:%a /c /c/sub/f; echo changed > /c/sub/f"
        #expect(try await kitchen.run(script, [mount], inputs: [stage]).output == "one\n1000:700\n1000:644\n")
        #expect(try await kitchen.run("cat /c/sub/f", [mount], inputs: [stage]).output == "changed\n")
        let owned = ExecMount.cache("/c", id: "mine", seed: .init(input: 1, path: "/d"), permissions: 0o750, uid: 7)
        #expect(try await kitchen.run("stat -c %u:%a /c", [owned], inputs: [stage]).output == "7:750\n")
        await #expect(throws: BuildOpsError.self) {
            try await kitchen.run(
                "true",
                [.cache("/c", id: "none", seed: .init(input: 1, path: "/none"))],
                inputs: [stage]
            )
        }
    }

    @Test("a cache never begins with something else than what its source was")
    func changedSeed() async throws {
        let kitchen = try ExecKitchen()
        let path = try kitchen.kitchen.directory("mkdir d; echo 1 > d/f; echo 1 > d/g")
        let context = kitchen.kitchen.value(try kitchen.kitchen.scan(path))
        try kitchen.kitchen.scratch.shell("echo longer > '\(path)/d/g'")
        let mount = ExecMount.cache("/c", seed: .init(input: 1, path: "/d"))
        for _ in 0..<2 {
            let error = await #expect(throws: BuildOpsError.self) {
                try await kitchen.run("true", [mount], inputs: [context])
            }
            #expect(error?.message.hasPrefix("\"d/g\" changed during the build") == true)
        }
        let again = kitchen.kitchen.value(try kitchen.kitchen.scan(path))
        #expect(try await kitchen.run("cat /c/f /c/g", [mount], inputs: [again]).output == "1\nlonger\n")
    }

    @Test("a locked cache is used by one command at a time, and the other's log says that it waits")
    func locked() async throws {
        let kitchen = try ExecKitchen()
        let script = "mkdir /c/lock; until [ -e /c/go ]; do sleep 0.05; done; rmdir /c/lock; echo done"
        let mounts = [ExecMount.cache("/c", .locked)]
        async let one = kitchen.step(script, mounts).run([kitchen.base])
        async let two = kitchen.step(script, mounts).run([kitchen.base])
        // The one goes on when the other has said that it waits.
        try await eventually("one command waits") {
            kitchen.log.contains("waiting for another command that uses the locked cache mount \"test\"\n")
        }
        try await runScript("touch $(echo cache-mounts/*/fs)/go", directory: kitchen.kitchen.root.path)
        _ = try await (one, two)
        #expect(kitchen.log.split(separator: "\n").count { $0 == "done" } == 2)
    }

    @Test("an ordinary user writes to a cache that belongs to him")
    func owner() async throws {
        let kitchen = try ExecKitchen()
        let mount = ExecMount.cache("/c", permissions: 0o700, uid: 1000)
        let (_, output) = try await kitchen.run("echo x > /c/x; stat -c %u /c/x", [mount]) { $0.user = "cook" }
        #expect(output == "1000\n")
    }

    @Test("a cache that is read-only is not written to")
    func readOnly() async throws {
        let kitchen = try ExecKitchen()
        try await kitchen.run("echo x > /c/x", [.cache("/c")])
        var mount = ExecMount.cache("/c")
        mount.readOnly = true
        #expect(
            try await kitchen.run("cat /c/x; touch /c/y 2>/dev/null || echo refused", [mount]).output == "x\nrefused\n"
        )
    }
}
