// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Testing

/// Programs killed at moments spread over all of their work, not at one that a test chose.
@Suite(.enabled(if: TestInstallation.isComplete))
struct KillAnywhereTests {
    private static let moments = 24

    /// Kills the program that `start` starts at moments from its first millisecond to the time that it took once.
    private static func killAnywhere(_ start: () throws -> RunningProgram) async throws {
        let clock = ContinuousClock()
        let whole = try await clock.measure { try await start().finish().get() }
        for moment in 0..<moments {
            let program = try start()
            try await Task.sleep(for: whole * moment / moments)
            program.send(SIGKILL)
            _ = try await program.finish()
        }
    }

    /// Two stages with commands, a copy between them, and an archive: every kind of work that a build does.
    private static func recipe(_ marker: String) -> String {
        """
        FROM alpine AS builder
        COPY . /src
        RUN : \(marker); cat /src/a /src/b > /out && touch -d @1000000000 /out
        FROM alpine
        RUN mkdir /data && echo 1 > /data/f && touch -d @1000000000 /data/f /data
        COPY --from=builder /out /data/out
        """
    }

    private static func context(_ marker: String) throws -> BuildContext {
        let context = try BuildContext(recipe(marker), ["a": "1", "b": "2"])
        try context.directory.shell(
            "head -c 3000000 /dev/zero | tr '\\0' x > a && touch -d @1000000000 a b Dockerfile ."
        )
        return context
    }

    @Test func builds() async throws {
        let store = try await GalleyStore.pinned()
        let marker = newMarker()
        let context = try Self.context(marker)
        let archive = context.directory.path.appending("../\(marker).tar")
        defer { try? removeFile(archive) }
        try await Self.killAnywhere {
            try store.start([
                "build", "--no-cache", "--progress", "plain", "-t", "app", "--build-arg", GalleyStore.epoch,
                "-o", "type=image", "-o", "type=oci,dest=\(archive)", context.path,
            ])
        }
        try await eventually("all processes of containers end") { try containerProcesses(marker) == 0 }
        let mounts = try String(decoding: readFile(RawPath("/proc/self/mountinfo"), limit: 1 << 24), as: UTF8.self)
        #expect(!mounts.contains(store.directory.path.description))
        #expect(try await store.galley("images", "-q").succeeded)
        try expectNothingLeft(store.leftovers())
        let id = try await store.pinnedBuild(context, tag: "app")
        #expect(try await GalleyStore.pinned().pinnedBuild(context) == id)
        #expect(try await store.shell("app", "wc -c < /data/out") == "3000001\n")
    }

    @Test(.enabled(if: RegistryServer.isInstalled))
    func pullsAndPushes() async throws {
        let registry = try await RegistryServer()
        let store = try await GalleyStore.pinned()
        let name = "\(registry.host)/app"
        let context = try BuildContext("FROM alpine\nCOPY big /big\nRUN cat /big > /copy; touch -d @1000000000 /copy\n")
        try context.directory.shell("head -c 8000000 /dev/urandom > big && touch -d @1000000000 big Dockerfile .")
        let id = try await store.pinnedBuild(context, tag: name)
        var round = 0
        try await Self.killAnywhere {
            round += 1
            return try store.start([
                "build", "--build-arg", GalleyStore.epoch, "-t", "\(name):\(round)", "--push", context.path,
            ])
        }
        try await store.galley("push", name).get()
        let other = try GalleyStore()
        try await Self.killAnywhere {
            // With a name less, the next pull starts from nothing again.
            if TestInstallation.exists(other.root.description) { try removeTree(other.root) }
            return try other.start(["pull", name])
        }
        try await other.galley("pull", name).get()
        #expect(try await other.inspect(name)["Id"]?.stringValue == id)
        #expect(try await other.shell(name, "cmp /big /copy && echo same") == "same\n")
        for store in [store, other] {
            #expect(try await store.galley("images", "-q").succeeded)
            try expectNothingLeft(store.leftovers())
        }
    }

    @Test(.enabled(if: RootlessUser.isPossible, "needs root, useradd, newuidmap and setpriv"))
    func buildsOfAnOrdinaryUser() async throws {
        let user = try await RootlessUser()
        try await user.addBase()
        let marker = newMarker()
        let context = try Self.context(marker)
        try await Self.killAnywhere {
            try user.start([
                "build", "--no-cache", "--progress", "plain", "-t", "app", "--build-arg", GalleyStore.epoch,
                "-o", "type=image", "-o", "type=oci,dest=\(user.home.appending("app.tar"))", context.path,
            ])
        }
        try await eventually("all processes of containers end") { try containerProcesses(marker) == 0 }
        try await user.galley("prune", "-f").get()
        try expectNothingLeft(user.leftovers())
        let id = try await user.build(context.path, tag: "app")
        #expect(try await GalleyStore.pinned().pinnedBuild(context) == id)
    }
}
