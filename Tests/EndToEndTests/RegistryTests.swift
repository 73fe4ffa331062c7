// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// Images go to a real registry and come back, and other programs accept them.
@Suite(.enabled(if: TestInstallation.isComplete && RegistryServer.isInstalled))
struct RegistryTests {
    private static let recipe = """
        FROM alpine AS builder
        RUN mkdir /out && echo built > /out/app && chown 12:34 /out/app && chmod 4755 /out/app
        FROM alpine
        COPY --from=builder /out/app /usr/bin/app
        RUN rm /etc/passwd; mkdir /var/data && ln -s app /usr/bin/link && ln /usr/bin/app /usr/bin/hard
        ENV NAME=value
        CMD ["/bin/sh", "-c", "cat /usr/bin/app; echo $NAME"]
        """

    @Test func basesFromARegistryGiveTheSameImage() async throws {
        let registry = try await RegistryServer()
        let context = try BuildContext(
            """
            FROM alpine AS builder
            RUN mkdir /out && echo built > /out/app && touch -d @1000000000 /out/app /out
            FROM alpine
            COPY --from=builder /out/app /usr/bin/app
            RUN mkdir /data && cp /usr/bin/app /data/ && touch -d @1000000000 /data/app /data
            ENV NAME=value
            CMD ["/bin/sh", "-c", "cat /data/app; echo $NAME"]
            """
        )
        let first = try await GalleyStore.pinned()
        let expected = try await first.pinnedBuild(context, tag: "app")
        let name = "\(registry.host)/library/alpine:latest"
        try await first.galley("tag", "alpine", name).get()
        try await first.galley("push", name).get()

        let second = try GalleyStore()
        try second.configure("[registry.\"docker.io\"]\nmirrors = [\"\(registry.host)\"]\n")
        #expect(try await second.pinnedBuild(context, tag: "app") == expected)
        let images = try await second.galley("images", "--format", "{{.Repository}}").get().output
        #expect(images == "app\n")
        #expect(try await second.run("app", []) == "built\nvalue\n")
        // What is there is used without asking anyone.
        let asked = try registry.requests().count
        try await second.pinnedBuild(context, tag: "app")
        #expect(try registry.requests().count == asked)
        try expectNothingLeft(second.leftovers())
    }

    @Test(.enabled(if: TestInstallation.hasProgram("skopeo") && TestInstallation.hasProgram("umoci")))
    func otherProgramsAcceptWhatWasPushed() async throws {
        let registry = try await RegistryServer()
        let store = try await GalleyStore.pinned()
        let name = "\(registry.host)/some/app:v1"
        let id = try await store.pinnedBuild(BuildContext(Self.recipe), tag: name)
        let answer = try await store.galley("push", name).get().output
        let files = try ScratchDirectory()
        let output = try await runScript(
            """
            cd "$2"
            skopeo copy -q --src-tls-verify=false "docker://$1" oci:layout:v1
            umoci unpack --image layout:v1 bundle
            skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$1"
            stat -c '%a %u:%g %h' bundle/rootfs/usr/bin/app
            readlink bundle/rootfs/usr/bin/link
            test ! -e bundle/rootfs/etc/passwd
            cat bundle/rootfs/usr/bin/hard
            """,
            [name, files.path.description]
        )
        let lines = output.split(separator: "\n").map(String.init)
        #expect(lines.suffix(3) == ["4755 12:34 2", "app", "built"])
        let digest = try #require(lines.dropLast(3).last)
        #expect(answer.contains(digest), "galley push said \(answer)")
        let reports = try ImageValidator.validate(layout: files.file("layout"))
        #expect(reports.map(\.manifestDigest.description) == [digest])
        #expect(reports.map(\.manifest.config.digest.description) == [id])
    }

    @Test(.enabled(if: TestInstallation.hasProgram("buildah")))
    func buildahRunsWhatWasPushed() async throws {
        let registry = try await RegistryServer()
        let store = try await GalleyStore.pinned()
        let name = "\(registry.host)/app"
        try await store.pinnedBuild(BuildContext("FROM alpine\nRUN echo sound > /state\n"), tag: name)
        try await store.galley("push", name).get()
        let files = try ScratchDirectory()
        let output = try await runScript(
            """
            b() { buildah --root "$2/root" --runroot "$2/run" --storage-driver vfs "${@:3}"; }
            c=$(b "$1" "$2" from -q --tls-verify=false "docker://$1")
            b "$1" "$2" run --isolation chroot "$c" cat /state
            b "$1" "$2" rm "$c" >&2
            """,
            [name, files.path.description]
        )
        #expect(output == "sound\n")
    }

    @Test func aSecondPushUploadsNothing() async throws {
        let registry = try await RegistryServer()
        let store = try await GalleyStore.pinned()
        let name = "\(registry.host)/app:one"
        let context = try BuildContext("FROM alpine\nCOPY f /f\n", ["f": "1"])
        try await store.build(context, tag: name)
        try await store.galley("push", name).get()
        let uploads = try registry.uploads()
        #expect(uploads == 3)
        try await store.galley("push", name).get()
        #expect(try registry.uploads() == uploads)
        // Only the new layer and the new config follow a change.
        try context.write("f", "2")
        try await store.build(context, tag: name, ["--push"])
        #expect(try registry.uploads() == uploads + 2)
        // What one repository has is mounted into another, not sent again.
        try await store.galley("tag", name, "\(registry.host)/other").get()
        try await store.galley("push", "\(registry.host)/other").get()
        let sent = try registry.requests().count { $0.hasPrefix("PATCH ") }
        #expect(sent == uploads + 2)
        try expectNothingLeft(store.leftovers())
    }

    @Test func aPulledImageIsPushedUnchanged() async throws {
        let registry = try await RegistryServer()
        let store = try await GalleyStore.pinned()
        let name = "\(registry.host)/app"
        try await store.galley("tag", "alpine", name).get()
        let pushed = try await store.galley("push", name).get().output
        let other = try GalleyStore()
        let pulled = try await other.galley("pull", name).get().output
        let digest = try #require(pulled.split(whereSeparator: \.isWhitespace).first { $0.hasPrefix("sha256:") })
        #expect(pushed.contains(digest))
        try await other.galley("pull", "\(name)@\(digest)").get()
        try await other.galley("tag", name, "\(registry.host)/again").get()
        #expect(try await other.galley("push", "\(registry.host)/again").get().output.contains(digest))
    }

    /// How other programs store images: format and compression of skopeo.
    static let foreign = [
        ("v2s2", "gzip"), ("oci", "gzip"), ("oci", "zstd"),
    ]

    @Test(.enabled(if: TestInstallation.hasProgram("skopeo")), arguments: foreign)
    func imagesOfOtherProgramsArePulled(_ format: String, _ compression: String) async throws {
        let registry = try await RegistryServer()
        let store = try await GalleyStore.pinned()
        let files = try ScratchDirectory()
        try await store.tryBuild(
            BuildContext("FROM alpine\nRUN echo foreign > /state\n"),
            ["-o", "type=oci,dest=\(files.file("app.tar"))"]
        ).get()
        let name = "\(registry.host)/app"
        try await runScript(
            """
            skopeo copy -q --dest-tls-verify=false --format "$3" --dest-compress-format "$4" --dest-compress \
                --dest-force-compress-format "oci-archive:$1" "docker://$2" ||
            skopeo copy -q --dest-tls-verify=false --format "$3" --dest-compress-format "$4" --dest-compress \
                "oci-archive:$1" "docker://$2"
            """,
            [files.file("app.tar").description, name, format, compression]
        )
        let fresh = try GalleyStore()
        try await fresh.galley("pull", name).get()
        #expect(try await fresh.run(name, ["cat", "/state"]) == "foreign\n")
        let context = try BuildContext("FROM \(name)\nRUN echo more >> /state\n")
        try await fresh.build(context, tag: "more")
        #expect(try await fresh.run("more", ["cat", "/state"]) == "foreign\nmore\n")
    }

    @Test(.enabled(if: TestInstallation.hasProgram("buildah")), arguments: ["docker", "oci"])
    func imagesOfBuildahArePulled(_ format: String) async throws {
        let registry = try await RegistryServer()
        let files = try ScratchDirectory()
        let name = "\(registry.host)/made-by-buildah"
        try await runScript(
            """
            b() { buildah --root "$work/root" --runroot "$work/run" --storage-driver vfs "$@"; }
            c=$(b from scratch)
            b add "$c" "$bases/alpine/rootfs.tar" / >&2
            echo made-by-buildah > "$work/state"
            b copy "$c" "$work/state" /state >&2
            b config --cmd '["/bin/cat", "/state"]' "$c"
            b commit -q --format "$format" "$c" "$name" >&2
            b push -q --tls-verify=false --format "${format/docker/v2s2}" "$name" "docker://$name" >&2
            """,
            environment: plainEnvironment.merging(
                ["name": name, "work": files.path.description, "format": format, "bases": TestInstallation.bases]
            ) { $1 }
        )
        let store = try GalleyStore()
        try await store.galley("pull", name).get()
        #expect(try await store.run(name, []) == "made-by-buildah\n")
    }

    @Test func theRightPlatformOfAnIndexIsChosen() async throws {
        let registry = try FakeRegistry()
        let wanted = try TarBuilder { try $0.file("wanted", "1") }.bytes()
        let other = try TarBuilder { try $0.file("other", "1") }.bytes()
        try registry.addImage("app", tag: "other", other)
        try registry.addImage("app", tag: "wanted", wanted)
        let store = try GalleyStore()
        func entry(_ tag: String, _ platform: String) async throws -> String {
            let pulled = try await store.galley("pull", "\(registry.host)/app:\(tag)").get().output
            let digest = try #require(pulled.split(whereSeparator: \.isWhitespace).first { $0.hasPrefix("sha256:") })
            let size = registry.size(ofManifest: String(digest), in: "app")
            return """
                {"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"\(digest)","size":\(size),\
                "platform":{\(platform)}}
                """
        }
        let amd64 = try await entry("wanted", #""os":"linux","architecture":"amd64""#)
        let arm64 = try await entry("other", #""os":"linux","architecture":"arm64","variant":"v8""#)
        let s390x = try await entry("other", #""os":"linux","architecture":"s390x""#)
        let index = "application/vnd.oci.image.index.v1+json"
        func list(_ entries: String...) -> String {
            #"{"schemaVersion":2,"mediaType":"\#(index)","manifests":[\#(entries.joined(separator: ","))]}"#
        }
        registry.add(manifest: list(arm64, amd64, s390x), type: index, to: "app", tag: "many")
        registry.add(manifest: list(arm64, s390x), type: index, to: "app", tag: "foreign")

        let files = try ScratchDirectory()
        let good = try BuildContext("FROM \(registry.host)/app:many\n")
        try await store.tryBuild(good, ["-o", "type=local,dest=\(files.file("out"))"]).get()
        #expect(TestInstallation.exists(files.file("out/wanted").description))
        let bad = try BuildContext("FROM \(registry.host)/app:foreign\n")
        let result = try await store.tryBuild(bad)
        #expect(result.status == 1)
        let message = try result.message()
        for part in ["linux/amd64", "linux/arm64", "linux/s390x"] {
            #expect(result.errors.contains(part), "\(message)")
        }
    }
}
