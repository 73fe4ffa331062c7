// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// What AcceptanceTests and RegistryTests show for root, as an ordinary user with subordinate ids.
@Suite(.enabled(if: RootlessUser.isPossible, "needs root, useradd, newuidmap and setpriv"))
struct RootlessAcceptanceTests {
    @Test func onlyWhatTheTargetNeedsIsDone() async throws {
        let user = try await RootlessUser()
        try await user.addBase()
        let needed = "FROM alpine AS needed\nCOPY f /f\n"
        let plain = try BuildContext(needed, ["f": "1"])
        let unreachable = try BuildContext(
            "FROM 127.0.0.1:1/nobody/nothing AS unresolvable\nRUN false\nFROM alpine AS failing\nRUN false\n\(needed)",
            ["f": "1"]
        )
        for context in [plain, unreachable] {
            try context.directory.shell("chmod 644 f && touch -d @1000000000 f .")
        }
        let id = try await user.build(plain.path, tag: "one")
        #expect(try await user.build(unreachable.path, tag: "two") == id)
        let list = try await user.galley("images", "--format", "{{.Repository}}").get().output
        #expect(Set(list.split(separator: "\n")) == ["one", "two", "alpine"])
    }

    @Test func independentStagesRunAtTheSameTime() async throws {
        let user = try await RootlessUser()
        try await user.addBase()
        let context = try BuildContext(Meeting.stages())
        let result = try await user.galley("build", "--progress", "rawjson", context.path).get()
        let progress = try ProgressRecord(parsing: result.errorBytes)
        #expect(try Meeting.isHeld(progress))
    }

    @Test(.enabled(if: RegistryServer.isInstalled))
    func basesFromARegistryGiveTheSameImage() async throws {
        let registry = try await RegistryServer()
        let user = try await RootlessUser()
        try await user.addBase()
        let base = "\(registry.host)/library/alpine:latest"
        try await user.galley("tag", "alpine", base).get()
        try await user.galley("push", base).get()
        let context = try BuildContext(
            """
            FROM \(base) AS builder
            RUN mkdir /out && echo built > /out/app && chown 7:8 /out/app && touch -d @1000000000 /out/app /out
            FROM \(base)
            COPY --from=builder /out/app /usr/bin/app
            """
        )
        let expected = try await user.build(context.path, tag: "app")
        try await user.galley("rmi", "app", "alpine", base).get()
        try await user.galley("prune", "-f", "--all").get()
        #expect(try await user.build(context.path, tag: "app") == expected)
        #expect(try await user.galley("images", "--format", "{{.Repository}}").get().output == "app\n")
        try expectNothingLeft(user.leftovers())
    }

    @Test(
        .enabled(if: RegistryServer.isInstalled),
        .enabled(if: ["skopeo", "umoci", "buildah"].allSatisfy { TestInstallation.hasProgram($0) })
    )
    func otherProgramsAcceptWhatWasPushed() async throws {
        let registry = try await RegistryServer()
        let user = try await RootlessUser()
        try await user.addBase()
        let name = "\(registry.host)/some/app:v1"
        let context = try BuildContext(
            "FROM alpine\nRUN echo sound > /state && chown 12:34 /state && chmod 4755 /state && rm /etc/passwd\n"
        )
        let id = try await user.build(context.path, tag: name)
        let answer = try await user.galley("push", name).get().output
        let files = try ScratchDirectory()
        let output = try await runScript(
            """
            cd "$2"
            skopeo copy -q --src-tls-verify=false "docker://$1" oci:layout:v1
            umoci unpack --image layout:v1 bundle
            skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$1"
            stat -c '%a %u:%g' bundle/rootfs/state
            test ! -e bundle/rootfs/etc/passwd
            b() { buildah --root "$PWD/root" --runroot "$PWD/run" --storage-driver vfs "$@"; }
            c=$(b from -q --tls-verify=false "docker://$1")
            b run --isolation chroot "$c" cat /state
            b rm "$c" >&2
            """,
            [name, files.path.description]
        )
        let lines = output.split(separator: "\n").map(String.init)
        #expect(lines.suffix(2) == ["4755 12:34", "sound"])
        let digest = try #require(lines.dropLast(2).last)
        #expect(answer.contains(digest), "galley push said \(answer)")
        let reports = try ImageValidator.validate(layout: files.file("layout"))
        #expect(reports.map(\.manifest.config.digest.description) == [id])
        let uploads = try registry.uploads()
        try await user.galley("push", name).get()
        #expect(try registry.uploads() == uploads)
    }
}
