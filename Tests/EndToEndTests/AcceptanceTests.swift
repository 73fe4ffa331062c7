// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Testing

/// What a user was promised: only needed work is done, at the same time, in bounded memory.
@Suite(.enabled(if: TestInstallation.isComplete))
struct AcceptanceTests {
    private static let shared = SharedStore()

    @Test func anUnreachableStageChangesNothing() async throws {
        let store = try await GalleyStore.pinned()
        let needed = "FROM alpine AS needed\nCOPY f /f\n"
        let plain = try await store.pinnedBuild(BuildContext(needed, ["f": "1"]))
        let unreachable = """
            FROM 127.0.0.1:1/nobody/nothing AS unresolvable
            RUN false
            FROM alpine AS failing
            RUN false
            COPY --from=unresolvable /x /x
            \(needed)
            """
        let record = try await store.record(
            BuildContext(unreachable, ["f": "1"]),
            ["--build-arg", GalleyStore.epoch]
        )
        #expect(record.id == plain)
        #expect(record.progress.executed == [])
        #expect(!record.progress.steps.contains { $0.name.contains("nobody") || $0.name.contains("false") })
    }

    @Test func independentStagesRunAtTheSameTime() async throws {
        let store = try await Self.shared.get()
        let (_, progress) = try await store.record(BuildContext(Meeting.stages()))
        #expect(try Meeting.isHeld(progress))
    }

    @Test func onlyWhatWasTaggedIsListed() async throws {
        let store = try await GalleyStore.pinned()
        let context = try BuildContext(
            "FROM alpine AS builder\nRUN echo 1 > /f\nFROM alpine\nCOPY --from=builder /f /f\nRUN echo 2 > /g\n"
        )
        try await store.build(context)
        try await store.build(context, tag: "app")
        let list = try await store.galley("images", "--format", "{{.Repository}}:{{.Tag}}").get().output
        #expect(list == "app:latest\nalpine:latest\n")
    }

    @Test(arguments: [["-f"], ["-f", "--all"]])
    func afterPruneEverythingWorks(_ options: [String]) async throws {
        let store = try await GalleyStore.pinned()
        let context = try BuildContext(
            "FROM alpine AS builder\nRUN echo 1 > /f\nFROM alpine\nCOPY --from=builder /f /f\nRUN cat /f > /g\n"
        )
        let id = try await store.build(context, tag: "app")
        try await store.build(BuildContext("FROM alpine\nRUN head -c 1000000 /dev/urandom > /waste\n"), tag: "waste")
        try await store.galley("rmi", "waste").get()
        try await store.galley(["prune"] + options).get()
        #expect(try await store.run("app", ["cat", "/g"]) == "1\n")
        let record = try await store.record(context, tag: "app")
        if options == ["-f"] {
            #expect(record.id == id)
            #expect(record.progress.executed == [])
        }
        #expect(try await store.run("app", ["cat", "/g"]) == "1\n")
        try await store.galley(["save", "-o", "/dev/null", "app"]).get()
        try await store.galley("rmi", "app").get()
        try await store.galley("prune", "-f", "--all").get()
        try await store.requireUnharmed()
    }

    @Test func twoProcessesBuildInOneRoot() async throws {
        let store = try await GalleyStore.pinned()
        let shared = "FROM alpine\nRUN sleep 1; mkdir /d; echo x > /d/f; touch -d @1000000000 /d/f /d\n"
        let contexts = try (0..<4).map { number in
            try BuildContext(shared + "RUN mkdir /e; echo \(number / 2) > /e/f; touch -d @1000000000 /e/f /e\n")
        }
        let programs = try contexts.enumerated().map { number, context in
            try store.start([
                "build", "--progress", "plain", "--build-arg", GalleyStore.epoch, "-t", "app\(number)", context.path,
            ])
        }
        for program in programs { try await program.finish().get() }
        for number in 0..<4 {
            #expect(try await store.run("app\(number)", ["cat", "/d/f", "/e/f"]) == "x\n\(number / 2)\n")
        }
        let layers = try await (0..<4).asyncMap { number in
            try await store.inspect("app\(number)")["RootFS"]?["Layers"]
        }
        #expect(layers[0] == layers[1] && layers[2] == layers[3] && layers[0] != layers[2])
        try expectNothingLeft(store.leftovers())
    }

    /// The most memory that a command had, in bytes.
    private static func peak(_ store: GalleyStore, _ arguments: [String]) async throws -> Int {
        let files = try ScratchDirectory()
        let words =
            [
                "-f", "%M", "-o", files.file("peak").description, TestInstallation.binary, "--root",
                store.root.description,
            ]
            + arguments
        try await runProgram("/usr/bin/time", words, environment: store.environment).get()
        let text = String(decoding: try readFile(files.file("peak")), as: UTF8.self)
        return try #require(text.split(separator: "\n").last.flatMap { Int($0) }) * 1024
    }

    @Test(
        .enabled(
            if: TestInstallation.exists("/usr/bin/time") && getenv("GALLEY_TEST_LARGE") != nil,
            "for release builds, with GALLEY_TEST_LARGE set"
        )
    )
    func memoryDoesNotGrowWithFiles() async throws {
        let store = try await GalleyStore.pinned()
        let context = try BuildContext(
            "FROM alpine AS copy\nCOPY . /data/\nFROM alpine\nCOPY --from=copy /data /data\n"
        )
        let size = 4 << 30
        try context.directory.shell("truncate -s \(size) sparse && head -c 300000000 /dev/urandom > random")
        let limit = 200 << 20
        let files = try ScratchDirectory()
        let build = ["build", "--progress", "plain", "-t", "big", context.path]
        #expect(try await Self.peak(store, build) < limit)
        let output = "type=oci,compression-level=1,dest=\(files.file("big.tar"))"
        #expect(try await Self.peak(store, build + ["-o", output]) < limit)
        // Loading the same in another root is bounded too.
        let other = try GalleyStore()
        #expect(try await Self.peak(other, ["load", "-i", files.file("big.tar").description]) < limit)
        let sizes = try await store.shell("big", "stat -c %s /data/sparse /data/random")
        #expect(sizes == "\(size)\n300000000\n")
    }
}

extension Range<Int> {
    fileprivate func asyncMap<T>(_ body: (Int) async throws -> T) async rethrows -> [T] {
        var result: [T] = []
        for element in self { result.append(try await body(element)) }
        return result
    }
}
