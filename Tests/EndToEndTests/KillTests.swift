// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Testing

/// Builds that end in the middle leave no process, no mount and no lock, and the next build makes the same image.
@Suite(.enabled(if: TestInstallation.isComplete))
struct KillTests {
    /// - Parameter then: what the last step does after it has written files.
    static func recipe(then: String = "") -> String {
        """
        FROM alpine
        RUN mkdir /first && echo 1 > /first/f && touch -d @1000000000 /first/f /first
        RUN mkdir /second && echo 2 > /second/f && touch -d @1000000000 /second/f /second\(then)
        """
    }

    /// Starts a build whose RUN step waits, and returns once it does.
    static func startWaiting(_ store: GalleyStore, _ marker: String) async throws -> RunningProgram {
        let context = try BuildContext(recipe(then: " && (sleep 600; : \(marker))"))
        let program = try store.start(["build", "--progress", "plain", "-t", "app", context.path])
        try await eventually("the RUN step waits") {
            guard program.isRunning else { throw ProgramFailure(description: try program.errorsSoFar()) }
            return try containerProcesses(marker) > 0
        }
        return program
    }

    /// Nothing of the build is alive or mounted; the next command clears the store, and the next build is as any other.
    static func requireCleanEnd(_ store: GalleyStore, _ marker: String) async throws {
        try await eventually("all processes of the container end") { try containerProcesses(marker) == 0 }
        let mounts = try String(decoding: readFile(RawPath("/proc/self/mountinfo"), limit: 1 << 24), as: UTF8.self)
        #expect(!mounts.contains(store.directory.path.description))
        #expect(try await store.galley("images", "-q").succeeded)
        try expectNothingLeft(store.leftovers())
        let context = try BuildContext(recipe())
        let id = try await store.pinnedBuild(context, tag: "app")
        #expect(try await store.shell("app", "cat /first/f /second/f") == "1\n2\n")
        let fresh = try await GalleyStore.pinned()
        #expect(try await fresh.pinnedBuild(context, tag: "app") == id)
    }

    @Test(arguments: [SIGKILL, SIGTERM, SIGINT])
    func endedInTheMiddleOfRUN(by signal: CInt) async throws {
        let store = try await GalleyStore.pinned()
        let marker = newMarker()
        let program = try await Self.startWaiting(store, marker)
        program.send(signal)
        let result = try await program.finish()
        #expect(result.status == 128 + signal)
        if signal != SIGKILL {
            #expect(try containerProcesses(marker) == 0)
            try expectNothingLeft(store.leftovers())
        }
        #expect(try await store.galley("images", "--format", "{{.Repository}}").get().output == "alpine\n")
        try await Self.requireCleanEnd(store, marker)
    }

    @Test(arguments: [SIGKILL, SIGTERM])
    func endedInTheMiddleOfAPull(by signal: CInt) async throws {
        let store = try await GalleyStore.pinned()
        let registry = try FakeRegistry()
        let tar = try TarBuilder {
            // Does not compress, so that half of the blob holds whole files.
            for number in 0..<40 { try $0.file(RawPath("data/\(number)"), randomText(20_000)) }
        }.bytes()
        let layer = try registry.addImage("app", tar)
        let blob = try compressed(tar, .gzip)
        let path = "app/blobs/\(layer)"
        registry.reply(to: path, .init(body: Array(blob[..<(blob.count / 2)]), promised: blob.count, ending: .stalled))
        let program = try store.start(["pull", "\(registry.host)/app"])
        try await eventually("the layer comes no further") { registry.stalled > 0 }
        program.send(signal)
        #expect(try await program.finish().status == 128 + signal)
        registry.reply(to: path, .init(body: blob))
        let listed = try await store.galley("images", "--format", "{{.Repository}}").get().output
        #expect(listed == "alpine\n")
        try expectNothingLeft(store.leftovers())
        let context = try BuildContext("FROM \(registry.host)/app\nCOPY Dockerfile /d\n")
        let id = try await store.pinnedBuild(context)
        let files = try ScratchDirectory()
        try await store.tryBuild(context, ["-o", "type=local,dest=\(files.file("out"))"]).get()
        let copied = try readFile(files.file("out/data/39"))
        #expect(copied.count == 20_000)
        #expect(try await GalleyStore().pinnedBuild(context) == id)
    }

    @Test(arguments: [SIGKILL, SIGTERM])
    func endedInTheMiddleOfAnExport(by signal: CInt) async throws {
        let store = try await GalleyStore.pinned()
        let context = try BuildContext("FROM alpine\nCOPY big /big\n")
        let files = try ScratchDirectory()
        try context.directory.shell("head -c 4000000 /dev/urandom > big && touch -d @1000000000 big Dockerfile")
        // A pipe that nobody empties stops the export in its middle.
        try files.shell("mkfifo pipe && touch old.tar && echo old > old.tar")
        let reader = Glibc.open(files.file("pipe").description, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        defer { close(reader) }
        let stuck = try store.start(["build", "-o", "type=oci,dest=\(files.file("pipe"))", context.path])
        try await eventually("the export fills the pipe") {
            guard stuck.isRunning else { throw ProgramFailure(description: try stuck.errorsSoFar()) }
            var waiting: CInt = 0
            _ = ioctl(reader, UInt(FIONREAD), &waiting)
            return waiting >= 4096
        }
        stuck.send(signal)
        #expect(try await stuck.finish().status == 128 + signal)
        #expect(try await store.galley("images", "-q").succeeded)
        try expectNothingLeft(store.leftovers())
        #expect(try files.shell("cat old.tar; ls") == "old\nold.tar\npipe\n")
        let id = try await store.pinnedBuild(context)
        let fresh = try await GalleyStore.pinned()
        #expect(try await fresh.pinnedBuild(context) == id)
        // The whole archive is what another root makes too.
        for (store, name) in [(store, "a.tar"), (fresh, "b.tar")] {
            let options = ["--build-arg", GalleyStore.epoch, "-o", "type=oci,dest=\(files.file(name))"]
            try await store.tryBuild(context, options).get()
        }
        try files.shell("cmp a.tar b.tar")
    }

    @Test(arguments: [SIGKILL, SIGTERM])
    func endedRun(by signal: CInt) async throws {
        let store = try await GalleyStore.pinned()
        let marker = newMarker()
        let program = try store.start(["run", "--rm", "alpine", "sh", "-c", "sleep 600; : \(marker)"])
        try await eventually("the container runs") { try containerProcesses(marker) > 0 }
        program.send(signal)
        #expect(try await program.finish().status == 128 + signal)
        try await eventually("the container ends") { try containerProcesses(marker) == 0 }
        #expect(try await store.galley("images", "-q").succeeded)
        try expectNothingLeft(store.leftovers())
    }
}

/// A word that no other process has in its command line.
func newMarker() -> String { "galley-marker-" + String(UInt64.random(in: 0 ... .max), radix: 36) }

/// Text that does not compress well.
private func randomText(_ count: Int) -> String {
    var generator = SystemRandomNumberGenerator()
    var text = ""
    while text.utf8.count < count { text += String(generator.next(), radix: 36) }
    return String(text.prefix(count))
}

/// How many processes in containers have the marker as part of their command line.
func containerProcesses(_ marker: String) throws -> Int {
    let own = try namespace("self")
    var count = 0
    let proc = try open(RawPath("/proc"), [.directory])
    for entry in try readDirectory(proc.raw) where entry.name.description.allSatisfy(\.isNumber) {
        // Processes come and go while this looks.
        let line = try? readFile(RawPath("/proc/\(entry.name)/cmdline"), limit: 1 << 20)
        guard let line, String(decoding: line, as: UTF8.self).contains(marker) else { continue }
        guard let other = try? namespace(entry.name.description), other != own else { continue }
        count += 1
    }
    return count
}

private func namespace(_ process: String) throws -> RawPath { try readLink(RawPath("/proc/\(process)/ns/pid")) }
