// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// Files that a build writes, as other programs read them.
@Suite(.enabled(if: TestInstallation.isComplete))
struct RegistryOutputTests {
    private static func context() throws -> BuildContext {
        try BuildContext(
            """
            FROM alpine
            RUN mkdir /d && echo 1 > /d/f && ln /d/f /d/hard && ln -s f /d/soft && chown 3:4 /d/f && chmod 2750 /d/f
            RUN rm -r /etc/group && mkdir "/d/$(printf '%0120d' 1)" && echo 2 > "/d/$(printf '%0120d' 1)/$(printf '%0120d' 2)"
            ENV A=b
            CMD ["cat", "/d/f"]
            """
        )
    }

    /// Values of `--output` without the destination, and what skopeo calls the form.
    static let archives = [
        ("type=oci", "oci-archive"), ("type=oci,tar=false", "oci"), ("type=oci,compression=zstd", "oci-archive"),
        ("type=oci,compression=uncompressed", "oci-archive"), ("type=docker", "docker-archive"),
        ("type=docker,compression=uncompressed", "docker-archive"), ("type=oci,oci-mediatypes=false", "oci-archive"),
    ]

    @Test(
        .enabled(if: TestInstallation.hasProgram("skopeo") && TestInstallation.hasProgram("umoci")),
        arguments: archives
    )
    func skopeoAndUmociReadArchives(_ output: String, _ transport: String) async throws {
        let store = try await GalleyStore.pinned()
        let files = try ScratchDirectory()
        let options = ["-t", "app:v1", "-o", "\(output),dest=\(files.file("result"))"]
        try await store.tryBuild(try Self.context(), options).get()
        let isDirectory = transport == "oci"
        let layout = isDirectory ? files.file("result") : files.file("layout")
        if !isDirectory { try files.shell("mkdir layout && tar -xf result -C layout") }
        #expect(try ImageValidator.validate(layout: layout).count == 1)
        let found = try files.shell(
            """
            skopeo inspect --config \(transport):result | grep -o '"A=b"'
            skopeo copy -q --dest-compress-format gzip --dest-decompress=false \(transport):result oci:copy:v1
            umoci unpack --image copy:v1 bundle > log 2>&1 || { cat log; exit 1; }
            cd bundle/rootfs
            stat -c '%a %u:%g %h' d/f
            readlink d/soft
            test ! -e etc/group
            cat d/*1/*2
            """
        )
        #expect(found == "\"A=b\"\n2750 3:4 2\nf\n2\n")
    }

    @Test func tarAndDirectory() async throws {
        let store = try await GalleyStore.pinned()
        let files = try ScratchDirectory()
        let context = try Self.context()
        try await store.tryBuild(context, ["-o", "type=tar,dest=\(files.file("tree.tar"))"]).get()
        try await store.tryBuild(context, ["-o", files.file("tree").description]).get()
        let streamed = try await store.galley(["build", "-o", "-", context.path]).get()
        try replaceFile(files.file("streamed.tar"), streamed.outputBytes)
        let found = try files.shell(
            """
            cmp tree.tar streamed.tar
            mkdir unpacked && tar --numeric-owner -xpf tree.tar -C unpacked
            facts() { cd $1; find . -mindepth 1 ! -path ./dev/console -printf '%P %y %m %s %l %T@\\n' | grep -v ' d ' | sort; }
            diff <(facts tree) <(facts unpacked)
            diff -r --no-dereference tree unpacked
            stat -c '%a %u:%g %h' unpacked/d/f tree/d/f
            ls unpacked/etc | grep -c group || true
            """
        )
        // As with buildx, files in a directory belong to who asked for them.
        #expect(found == "2750 3:4 2\n2750 0:0 2\n0\n")
    }

    @Test func archivesGoToStandardOutput() async throws {
        let store = try await GalleyStore.pinned()
        let files = try ScratchDirectory()
        let context = try Self.context()
        let streamed = try await store.galley(["build", "-t", "app", "-o", "type=oci,dest=-", context.path]).get()
        try await store.tryBuild(context, ["-t", "app", "-o", "type=oci,dest=\(files.file("a.tar"))"]).get()
        #expect(try readFile(files.file("a.tar"), limit: 1 << 30) == streamed.outputBytes)
    }

    @Test(.enabled(if: TestInstallation.hasProgram("skopeo")))
    func saveAndLoad() async throws {
        let store = try await GalleyStore.pinned()
        let files = try ScratchDirectory()
        let id = try await store.build(Self.context(), tag: "app:v1")
        try await store.galley("tag", "app:v1", "127.0.0.1:1/other:v2").get()
        let archive = files.file("images.tar").description
        try await store.galley("save", "-o", archive, "app:v1", "127.0.0.1:1/other:v2", "alpine").get()
        #expect(
            try files.shell("skopeo inspect --config docker-archive:images.tar:app:v1 | grep -c '\"A=b\"'") == "1\n"
        )
        let other = try GalleyStore()
        let said = try await other.galley("load", "-i", archive).get().output.split(separator: "\n").sorted()
        #expect(
            said == ["Loaded image: 127.0.0.1:1/other:v2", "Loaded image: alpine:latest", "Loaded image: app:v1"]
        )
        #expect(try await other.inspect("app:v1")["Id"]?.stringValue == id)
        #expect(try await other.run("app:v1", []) == "1\n")
        // A saved archive that is loaded and saved again is the same.
        try await other.galley("save", "-o", files.file("again.tar").description, "app:v1").get()
        try await store.galley("save", "-o", files.file("first.tar").description, "app:v1").get()
        try files.shell("cmp first.tar again.tar")
    }

    @Test(.enabled(if: TestInstallation.hasProgram("skopeo")), arguments: ["docker-archive", "oci-archive"])
    func archivesOfSkopeoAreLoaded(_ transport: String) async throws {
        let store = try await GalleyStore.pinned()
        let files = try ScratchDirectory()
        let options = ["-o", "type=oci,dest=\(files.file("app.tar"))"]
        try await store.tryBuild(try Self.context(), options).get()
        try files.shell("skopeo copy -q oci-archive:app.tar \(transport):foreign.tar:docker.io/library/foreign:v1")
        let other = try GalleyStore()
        let said = try await other.galley("load", "-i", files.file("foreign.tar").description).get().output
        let name = try #require(said.split(whereSeparator: \.isWhitespace).last.map(String.init))
        #expect(try await other.run(name, []) == "1\n")
    }

    @Test(arguments: ["", "not an archive", String(repeating: "\0", count: 10_240)])
    func loadingRubbish(_ text: String) async throws {
        let store = try await GalleyStore.pinned()
        let result = try await store.galley(["load"], input: text)
        #expect(result.status == 1)
        #expect(try !result.message().isEmpty)
        try await store.requireUnharmed()
    }
}
