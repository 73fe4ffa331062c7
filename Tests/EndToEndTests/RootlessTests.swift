// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Testing

/// What works as root works as an ordinary user with subordinate ids.
@Suite(.enabled(if: RootlessUser.isPossible, "needs root, useradd, newuidmap and setpriv"))
struct RootlessTests {
    @Test func filesOfOtherUsers() async throws {
        let user = try await RootlessUser()
        try await user.addBase()
        let context = try BuildContext(
            """
            FROM alpine
            RUN mkdir -p /var/lib/pkg && echo new > /var/lib/pkg/new && chown -R 33:44 /var/lib/pkg && \
                cp /bin/busybox /bin/su-like && chown 0:42 /bin/su-like && chmod 6755 /bin/su-like && rm -r /etc/group
            COPY --chown=1000:1001 --chmod=640 f /f
            RUN chown 65534:65534 /var/lib/pkg/new && chmod 1777 /var/lib/pkg
            USER 1000:1001
            RUN cat /f > /tmp/copy && id -u > /tmp/id
            WORKDIR /home/me
            """,
            ["f": "text"]
        )
        try await user.build(context.path, tag: "app")
        let script =
            "stat -c '%n %a %u:%g' /var/lib/pkg /var/lib/pkg/new /bin/su-like /f /tmp/id /tmp/copy; cat /tmp/id"
        let output = try await user.galley("run", "--rm", "-u", "0", "app", "sh", "-c", script).get().output
        #expect(
            output == """
                /var/lib/pkg 1777 33:44
                /var/lib/pkg/new 644 65534:65534
                /bin/su-like 6755 0:42
                /f 640 1000:1001
                /tmp/id 644 1000:1001
                /tmp/copy 644 1000:1001
                1000

                """
        )
        #expect(try await user.galley("run", "--rm", "app", "id", "-u").get().output == "1000\n")
        #expect(try await user.galley("run", "--rm", "app", "pwd").get().output == "/home/me\n")
        #expect(try await user.galley("run", "--rm", "app", "sh", "-c", "exit 7").status == 7)
        let list = try await user.galley("images", "--format", "{{.Repository}}").get().output
        #expect(list == "app\nalpine\n")
        try expectNothingLeft(user.leftovers())
        // The archive has the ids of the image, not those of the host.
        let tar = user.home.appending("app.tar")
        try await user.galley("build", "-o", "type=tar,dest=\(tar)", context.path).get()
        let listing = try await runScript(#"tar --numeric-owner -tvf "$1" bin/su-like f"#, [tar.description])
        let owners = listing.split(separator: "\n").map { $0.split(separator: " ").prefix(2).joined(separator: " ") }
        #expect(owners.sorted() == ["-rw-r----- 1000/1001", "-rwsr-sr-x 0/42"])
        #expect(try status(at: workingDirectory, tar).uid == status(at: workingDirectory, user.home).uid)
    }

    @Test func theSameImageAsRootMakes() async throws {
        let context = try BuildContext(
            "FROM alpine\nCOPY --chown=5:6 . /data/\nADD --chmod=700 f /g\nENV A=b\nWORKDIR /data\n",
            ["f": "1", "d/e": "2"]
        )
        try context.directory.shell(
            "ln -s f link && chmod 600 d/e && chmod 644 d/e && find . -exec touch -hd @1000000000 {} +"
        )
        let user = try await RootlessUser()
        try await user.addBase()
        let id = try await user.build(context.path, tag: "app")
        let store = try await GalleyStore.pinned()
        #expect(try await store.pinnedBuild(context, tag: "app") == id)
    }

    @Test(.enabled(if: RegistryServer.isInstalled))
    func pushPullAndOutputs() async throws {
        let registry = try await RegistryServer()
        let user = try await RootlessUser()
        try await user.addBase()
        let name = "\(registry.host)/app"
        let context = try BuildContext("FROM alpine\nRUN echo 1 > /f && chown 9:9 /f && chmod 4755 /f\nUSER 9\n")
        try await user.build(context.path, tag: name, ["--push", "--load"])
        let uploads = try registry.uploads()
        try await user.galley("push", name).get()
        #expect(try registry.uploads() == uploads)
        // What the user made is right for root too, and the other way round.
        let store = try GalleyStore()
        let facts = ["stat", "-c", "%a %u:%g", "/f"]
        #expect(try await store.run(name, facts) == "4755 9:9\n")
        try await user.galley("rmi", name).get()
        try await user.galley("prune", "-f", "--all").get()
        try await user.galley("pull", name).get()
        #expect(try await user.galley(["run", "--rm", name] + facts).get().output == "4755 9:9\n")
        try await user.galley("save", "-o", "app.tar", name).get()
        try await user.galley("rmi", name).get()
        try await user.galley("load", "-i", "app.tar").get()
        #expect(try await user.galley(["run", "--rm", name] + facts).get().output == "4755 9:9\n")
        try await user.galley("build", "-o", "out", context.path).get()
        #expect(TestInstallation.exists(user.home.appending("out/f").description))
        try expectNothingLeft(user.leftovers())
    }

    @Test(arguments: [SIGKILL, SIGTERM])
    func endedInTheMiddleOfRUN(by signal: CInt) async throws {
        let user = try await RootlessUser()
        try await user.addBase()
        let marker = newMarker()
        let waiting = " && chown -R 7:7 /second && (sleep 600; : \(marker))"
        let context = try BuildContext(KillTests.recipe(then: waiting))
        let program = try user.start(["build", "--progress", "plain", "-t", "app", context.path])
        try await eventually("the RUN step waits") {
            guard program.isRunning else { throw ProgramFailure(description: try program.errorsSoFar()) }
            return try containerProcesses(marker) > 0
        }
        program.send(signal)
        #expect(try await program.finish().status == 128 + signal)
        try await eventually("all processes of the container end") { try containerProcesses(marker) == 0 }
        // A command that mounts runs with the rights to remove files of subordinate users.
        try await user.galley("prune", "-f").get()
        try expectNothingLeft(user.leftovers())
        let good = try BuildContext(KillTests.recipe())
        let id = try await user.build(good.path, tag: "app")
        let store = try await GalleyStore.pinned()
        #expect(try await store.pinnedBuild(good) == id)
    }

    @Test(arguments: ["/etc/subuid", "/etc/subgid", "/usr/bin/newuidmap", "/usr/bin/newgidmap"])
    func whatIsMissingIsNamed(_ path: String) async throws {
        let user = try await RootlessUser()
        let result = try await user.galley(["build", "\(user.bases)/alpine"], hiding: path)
        #expect(result.status == 1)
        let name = path.split(separator: "/").last.map(String.init) ?? path
        #expect(result.errors.contains(name), "\(result)")
        #expect(try result.message().count > 20)
        #expect(result.errors.contains("hint: "), "\(result)")
        // What mounts nothing needs none of it.
        try await user.galley(["images"], hiding: path).get()
        try await user.addBase()
    }
}
