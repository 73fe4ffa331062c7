// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// One name for several platforms: OCI image-spec, image-index.md.
@Suite(.enabled(if: TestInstallation.isComplete))
struct PlatformTests {
    private static let both = ["--platform", "linux/amd64,linux/arm64"]

    private static func base() throws -> BuildContext {
        try BuildContext(
            "FROM scratch\nARG TARGETARCH\nCOPY f-$TARGETARCH /f\nCOPY common /common\n",
            ["f-amd64": "of amd64", "f-arm64": "of arm64", "common": "of both"]
        )
    }

    @Test(.enabled(if: TestInstallation.hasProgram("skopeo") && TestInstallation.hasProgram("umoci")))
    func aLayoutHasAnIndex() async throws {
        let store = try GalleyStore()
        let files = try ScratchDirectory()
        let options = Self.both + ["-t", "base", "-o", "type=oci,dest=\(files.file("base.tar"))"]
        try await store.tryBuild(Self.base(), options).get()
        try files.shell("mkdir layout && tar -xf base.tar -C layout")
        let reports = try ImageValidator.validate(layout: files.file("layout"))
        #expect(reports.count == 2)
        // The file that both have is one blob.
        #expect(try files.shell("ls layout/blobs/sha256 | wc -l") == "8\n")
        for architecture in ["amd64", "arm64"] {
            let output = try await runScript(
                """
                cd "$2"
                skopeo --override-arch "$1" copy -q oci:layout:latest "oci:$1:latest"
                umoci unpack --image "$1:latest" "bundle-$1"
                cat "bundle-$1/rootfs/f" "bundle-$1/rootfs/common"
                skopeo inspect --config "oci:$1:latest" --format '{{.Architecture}}'
                """,
                [architecture, files.path.description]
            )
            #expect(output == "of \(architecture)of both\(architecture)\n")
        }
    }

    @Test(.enabled(if: RegistryServer.isInstalled && TestInstallation.hasProgram("skopeo")))
    func aRegistryHasAnIndex() async throws {
        let registry = try await RegistryServer()
        let store = try GalleyStore()
        let name = "\(registry.host)/base:v1"
        try await store.tryBuild(Self.base(), Self.both + ["-t", name, "--push"]).get()
        let raw = try await runScript(#"skopeo inspect --tls-verify=false --raw "docker://$1""#, [name])
        let index = try Index(parsing: Array(raw.utf8))
        #expect(index.mediaType == .ociIndex)
        #expect(index.manifests.map { $0.platform?.description } == ["linux/amd64", "linux/arm64"])
        // The name in the store stands for both: pushed again, nothing changes.
        let uploads = try registry.uploads()
        try await store.galley("push", name).get()
        #expect(try registry.uploads() == uploads)
        let again = try await runScript(#"skopeo inspect --tls-verify=false --raw "docker://$1""#, [name])
        #expect(again == raw)
        // Another machine builds for both on it, and for one of them alone.
        let other = try GalleyStore()
        let files = try ScratchDirectory()
        let context = try BuildContext("FROM \(name)\nCOPY g /g\n", ["g": "new"])
        try await other.tryBuild(context, Self.both + ["-o", "type=local,dest=\(files.file("out"))"]).get()
        #expect(
            try files.shell("cd out && for f in */f */g; do echo $f $(cat $f); done") == """
                linux_amd64/f of amd64
                linux_arm64/f of arm64
                linux_amd64/g new
                linux_arm64/g new

                """
        )
        try await other.tryBuild(context, ["--platform", "linux/arm64", "-o", "type=tar,dest=\(files.file("t"))"]).get()
        #expect(try files.shell("tar -xOf t f") == "of arm64")
        try await other.tryBuild(context, Self.both + ["-o", "type=tar,dest=\(files.file("t"))"]).get()
        #expect(try files.shell("tar -xOf t linux_arm64/f linux_amd64/f") == "of amd64of arm64")
        // Both base images are here now: nobody is asked.
        let asked = try registry.requests().count
        try await other.tryBuild(context, Self.both).get()
        #expect(try registry.requests().count == asked)
        try expectNothingLeft(other.leftovers())
    }

    @Test func theStoreHoldsBoth() async throws {
        let store = try GalleyStore()
        try await store.tryBuild(Self.base(), Self.both + ["-t", "base"]).get()
        try await store.galley("tag", "base", "other").get()
        try await store.galley("rmi", "base").get()
        try await store.galley("prune", "-f", "--all").get()
        let files = try ScratchDirectory()
        let context = try BuildContext("FROM other\n")
        try await store.tryBuild(context, Self.both + ["-o", "type=local,dest=\(files.file("out"))"]).get()
        #expect(try files.shell("cat out/*/f") == "of amd64of arm64")
        #expect(try await store.galley("images", "--format", "{{.Repository}}").get().output == "other\n")
        #expect(try await store.inspect("other")["Architecture"]?.stringValue == Platform.host.architecture)
        try await store.galley("rmi", "other").get()
        let result = try await store.tryBuild(BuildContext("FROM other\n"), ["--platform", "linux/arm64"])
        #expect(result.status != 0)
    }

    @Test func whatCrossBuildsRunsHere() async throws {
        let store = try await GalleyStore.pinned()
        let context = try BuildContext(
            """
            FROM --platform=$BUILDPLATFORM alpine AS builder
            ARG TARGETARCH
            RUN echo "made on $(uname -m) for $TARGETARCH" > /out
            FROM scratch
            COPY --from=builder /out /out
            """
        )
        let files = try ScratchDirectory()
        let options = Self.both + ["--progress", "rawjson", "-o", "type=local,dest=\(files.file("out"))"]
        let result = try await store.tryBuild(context, options).get()
        let machine = try files.shell("uname -m")
        #expect(
            try files.shell("cat out/linux_amd64/out out/linux_arm64/out")
                == "made on \(machine.dropLast()) for amd64\nmade on \(machine.dropLast()) for arm64\n"
        )
        let progress = try ProgressRecord(parsing: result.errorBytes)
        #expect(progress.steps.contains { $0.name.hasPrefix("[linux/amd64->arm64 builder 2/2] RUN") })
    }

    @Test func dockersArchiveHoldsOneOnly() async throws {
        let store = try GalleyStore()
        let files = try ScratchDirectory()
        let options = Self.both + ["-o", "type=docker,dest=\(files.file("x.tar"))"]
        let result = try await store.tryBuild(Self.base(), options)
        #expect(result.status == 1)
        #expect(try result.message().contains("docker exporter does not currently support exporting manifest lists"))
        #expect(try files.shell("ls") == "")
    }
}
