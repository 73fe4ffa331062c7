// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Testing

/// The last COPY of many files stays an archive in the store until somebody looks into it.
@Suite(.endToEnd) struct PackedLayerTests {
    private static let files = """
        mkdir -p tree/sub; for i in $(seq 200); do echo $i > tree/$i; echo s$i > tree/sub/$i; done; ln tree/7 tree/sub/seven
        chmod 4755 tree/9; find . -exec touch -h -d @1000000000 {} +
        """

    private static func context(_ more: String = "") throws -> BuildContext {
        let context = try BuildContext("FROM alpine\nWORKDIR /app\nCOPY --chown=3:4 tree .\n" + more)
        try context.directory.shell(files)
        return context
    }

    private func packed(_ root: RawPath) throws -> Int {
        let directory = try open(root.appending("snapshots"), [.directory])
        return try readDirectory(directory.raw).count { entry in
            try statusIfPresent(at: directory.raw, entry.name.appending("layer.tar")) != nil
        }
    }

    private static let look = "find /app | wc -l; cat /app/sub/seven; stat -c '%a %u:%g %h %Y' /app/7 /app/9 /app"
    private static let seen = "403\n7\n644 3:4 2 1000000000\n4755 3:4 1 1000000000\n"

    @Test func theImageIsTheSame() async throws {
        let store = try await GalleyStore.pinned()
        let context = try Self.context()
        let id = try await store.pinnedBuild(context, tag: "app")
        #expect(try packed(store.root) == 1)
        // Where the files are wanted they are made, and give the same image.
        let other = try await GalleyStore.pinned()
        let tar = context.directory.path.appending("../\(newMarker()).tar")
        defer { try? removeFile(tar) }
        try await other.galley("build", "-o", "type=tar,dest=\(tar)", context.path).get()
        #expect(try packed(other.root) == 0)
        #expect(try await other.pinnedBuild(context) == id)
        // Pushed, saved and examined without being unpacked.
        try await store.galley("save", "-o", tar.description, "app").get()
        try await store.galley("doctor", "--deep", "--check").get()
        #expect(try packed(store.root) == 1)
        let third = try await GalleyStore.pinned()
        try await third.galley("load", "-i", tar.description).get()
        #expect(try await third.shell("app", Self.look).hasPrefix(Self.seen))
        #expect(try await store.shell("app", Self.look).hasPrefix(Self.seen))
        #expect(try packed(store.root) == 0)
        try await store.galley("doctor", "--deep", "--check").get()
        #expect(try await store.pinnedBuild(context) == id)
        try expectNothingLeft(store.leftovers())
    }

    @Test("steps that are added later find the files")
    func laterSteps() async throws {
        let store = try await GalleyStore.pinned()
        try await store.pinnedBuild(Self.context(), tag: "app")
        let record = try await store.record(Self.context("RUN \(Self.look)\nCOPY tree/1 /app/sub/\n"))
        #expect(record.progress.log.hasPrefix(Self.seen))
        #expect(try record.progress.step("COPY --chown=3:4 tree .").isCached)
        #expect(try packed(store.root) == 0)
    }

    @Test("--link, several targets, and COPY --from")
    func otherShapes() async throws {
        let store = try await GalleyStore.pinned()
        let context = try BuildContext(
            """
            FROM alpine AS one
            COPY tree /tree
            FROM alpine AS two
            RUN mkdir /old
            COPY --link tree /tree
            FROM alpine AS three
            COPY --from=one /tree /new
            """
        )
        try context.directory.shell(Self.files)
        for target in ["three", "two", "one"] {
            try await store.galley("build", "--target", target, "-t", target, context.path).get()
        }
        // That of `one` was read by `three` before.
        #expect(try packed(store.root) == 2)
        for (target, path) in [("one", "/tree"), ("two", "/tree"), ("three", "/new")] {
            let output = try await store.shell(
                target,
                "find \(path) | wc -l; cat \(path)/sub/seven; stat -c %h \(path)/7"
            )
            #expect(output == "403\n7\n2\n")
        }
        try await store.galley("doctor", "--deep", "--check").get()
    }

    @Test(.enabled(if: RootlessUser.isPossible, "needs root, useradd, newuidmap and setpriv"))
    func asAnOrdinaryUser() async throws {
        let user = try await RootlessUser()
        try await user.addBase()
        let context = try Self.context()
        let id = try await user.build(context.path, tag: "app")
        #expect(try await GalleyStore.pinned().pinnedBuild(context) == id)
        #expect(try await user.galley("run", "--rm", "app", "sh", "-c", Self.look).get().output.hasPrefix(Self.seen))
        try await user.galley("doctor", "--deep", "--check").get()
        #expect(try await user.build(context.path, tag: "app") == id)
    }

    @Test("killed at any moment while it is unpacked")
    func kills() async throws {
        let store = try await GalleyStore.pinned()
        let context = try Self.context()
        try await store.pinnedBuild(context, tag: "app")
        let copy = store.directory.file("copy")
        try store.directory.shell("cp -a '\(store.root)' '\(copy)'")
        let clock = ContinuousClock()
        let whole = try await clock.measure { _ = try await store.shell("app", "true") }
        for moment in 0..<16 {
            try store.directory.shell("rm -rf '\(store.root)'; cp -a '\(copy)' '\(store.root)'")
            let program = try store.start(["run", "--rm", "app", "true"])
            try await Task.sleep(for: whole * moment / 16)
            program.send(SIGKILL)
            _ = try await program.finish()
            #expect(try await store.shell("app", Self.look).hasPrefix(Self.seen))
            try await store.galley("doctor", "--deep", "--check").get()
        }
        try expectNothingLeft(store.leftovers())
    }
}
