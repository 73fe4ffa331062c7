// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Testing

/// With the times pinned, the same inputs give the same image wherever, whenever and by whomever they are built.
@Suite(.endToEnd)
struct ReproducibleTests {
    private static let epoch = "1600000000"

    /// Most of what a layer can hold, made by commands, by copies, by archives and by the Dockerfile itself.
    private static let recipe = """
        FROM alpine AS made
        RUN mkdir -p /made/sub && cd /made && for i in 1 2 3 4 5; do echo $i > f$i; done && ln f1 hard && ln -s f2 soft
        FROM alpine AS other
        RUN mkdir -p /other && echo other > /other/f && chown 7:8 /other/f && chmod 4711 /other/f
        FROM alpine
        RUN echo bob:x:1000:1000::/home/bob:/bin/sh >> /etc/passwd; rm -r /etc/group; mkdir -p /opt/x && \
            truncate -s 1M /opt/sparse && echo end >> /opt/sparse && mkfifo /opt/fifo
        WORKDIR /srv/app/deep
        COPY --chown=bob src ./
        COPY --from=made /made /opt/x/
        COPY --from=other /other /other
        ADD pack.tar /unpacked/here/
        COPY <<TEXT /etc/conf.d/text
        of the Dockerfile
        TEXT
        RUN --mount=type=cache,target=/deep/cache --mount=type=tmpfs,target=/deep/tmp --network=none \
            mv /opt/x/f3 /moved && rm -r /opt/x && mkdir /opt/x && echo 1 > /deep/cache/f && chmod 1777 /opt/x
        RUN umask > /umask; pwd > /pwd; hostname > /hostname; ls -a / > /tmp/names; env | sort > /env; id > /id
        USER bob
        RUN echo mine > /tmp/mine
        """

    private func context() throws -> BuildContext {
        let context = try BuildContext(
            Self.recipe,
            ["src/a": "a", "src/dir/b": "b", "src/dir/deep/c": "c"]
        )
        try context.directory.shell(
            "ln -s dir/b src/link; chmod 750 src/dir; chmod +x src/a; tar -cf pack.tar --owner=3 --group=4 --mtime=@5 src"
        )
        return context
    }

    private func digest(of archive: RawPath) async throws -> String {
        // What another program says of it.
        try await runScript("skopeo inspect --format '{{.Digest}}' \"oci-archive:$1\"", [archive.description])
    }

    private static func options(_ file: RawPath) -> [String] {
        [
            "build", "-q", "--build-arg", "SOURCE_DATE_EPOCH=\(epoch)", "-o",
            "type=oci,dest=\(file),rewrite-timestamp=true",
        ]
    }

    @Test(.needs(program: "skopeo"))
    func anotherRootPathDayAndParallelism() async throws {
        let context = try context()
        let one = try await GalleyStore.pinned()
        let first = context.directory.path.appending("../\(context.directory.path.lastComponent ?? "").tar")
        defer { try? removeFile(first) }
        try await one.galley(Self.options(first) + ["--parallel", "1", context.path]).get()
        let expected = try await digest(of: first)

        let two = try await GalleyStore.pinned()
        let files = try ScratchDirectory()
        try files.shell(
            """
            mkdir -p another/path; cp -r '\(context.path)' another/path/ctx; cd another/path/ctx; rm src/link
            ln -s dir/b src/link; find . -exec touch -h -d '+3 days' {} +; chmod 750 src/dir
            """
        )
        // Of its own accord; the variable of the environment; another umask, zone and language.
        try await runScript(
            #"umask 077; TZ=Asia/Tokyo LC_ALL=C.UTF-8 SOURCE_DATE_EPOCH="$1" "${@:2}""#,
            [
                Self.epoch, TestInstallation.binary, "--root", two.root.description, "build", "-q", "--parallel", "8",
                "-o", "type=oci,dest=\(files.file("image.tar")),rewrite-timestamp=true",
                files.file("another/path/ctx").description,
            ]
        )
        #expect(try await digest(of: files.file("image.tar")) == expected)
        try expectNothingLeft(two.leftovers())

        // Nothing in the image's own layers is newer; the base's files have their times.
        let times = try await runScript(
            """
            cd "$1" && mkdir layout && tar -xf image.tar -C layout && cd layout
            manifest=$(skopeo inspect --raw oci:.) && echo "$manifest" | tr ',' '\\n' | grep -o 'sha256:[0-9a-f]*' |
            tail -n +3 | cut -d: -f2 | while read layer; do tar --full-time -tvf "blobs/sha256/$layer"; done |
            awk '$4 > "2020-09-13" { late++ } $4 == "2020-09-13" { now++ } END { print (now > 20), late + 0 }'
            """,
            [files.path.description]
        )
        #expect(times == "1 0\n")
    }

    @Test(.needs(program: "skopeo"), .enabled(if: RootlessUser.isPossible))
    func asAnOrdinaryUser() async throws {
        let context = try context()
        let store = try await GalleyStore.pinned()
        let files = try ScratchDirectory()
        try await store.galley(Self.options(files.file("image.tar")) + [context.path]).get()
        let user = try await RootlessUser()
        try await user.addBase()
        let copy = user.home.appending("ctx")
        try files.shell("cp -a '\(context.path)' '\(copy)'; chown -hR \(RootlessUser.name): '\(copy)'")
        let image = user.home.appending("image.tar")
        try await user.galley(Self.options(image) + [copy.description]).get()
        #expect(try await digest(of: image) == digest(of: files.file("image.tar")))
    }

    /// The image of the store is the one that everybody else gets: with `run`, `save`, `push` and what is built on it.
    @Test(.enabled(if: RegistryServer.isInstalled), .needs(program: "skopeo"))
    func theStoreHasTheSameImageAsTheRegistry() async throws {
        let registry = try await RegistryServer()
        let store = try await GalleyStore.pinned()
        let name = "\(registry.host)/app"
        let context = try BuildContext("FROM alpine\nRUN mkdir /data && echo 1 > /data/f\n")
        let output = ["-o", "type=image,rewrite-timestamp=true"]
        let id = try await store.pinnedBuild(context, tag: name, output)
        let plain = try await store.pinnedBuild(context)
        #expect(plain != id, "without rewrite-timestamp, files keep their times")
        #expect(try await store.pinnedBuild(context, tag: name, output) == id)
        #expect(try await store.shell(name, "stat -c %Y /data /data/f") == "1000000000\n1000000000\n")
        try await store.galley("push", name).get()

        let files = try ScratchDirectory()
        let saved = try await runScript(
            """
            "$1" --root "$2" save "$3" > "$4/saved.tar"
            skopeo inspect --config --raw "docker-archive:$4/saved.tar" | sha256sum | cut -c1-64
            skopeo inspect --config --raw --tls-verify=false "docker://$3" | sha256sum | cut -c1-64
            """,
            [TestInstallation.binary, store.root.description, name, files.path.description]
        )
        let hex = id.split(separator: ":").last ?? ""
        #expect(saved == "\(hex)\n\(hex)\n")

        let other = try await GalleyStore.pinned()
        try await other.galley("pull", name).get()
        #expect(try await other.inspect(name)["Id"]?.stringValue == id)
        // Built on it without any pinning of files: their times are those of the base, here and there.
        let child = try BuildContext("FROM \(name) AS base\nFROM alpine\nCOPY --from=base /data /data\n")
        let there = try await other.pinnedBuild(child)
        #expect(try await store.pinnedBuild(child) == there)
    }

    @Test func theEpochOfAnOutputComesBeforeTheBuilds() async throws {
        let store = try await GalleyStore.pinned()
        let context = try BuildContext("FROM alpine\nRUN mkdir -p /data && echo 1 > /data/f && ln -s f /data/l\n")
        let files = try ScratchDirectory()
        let outputs = [
            "type=local,dest=\(files.file("build"))",
            "type=local,dest=\(files.file("own")),source-date-epoch=1234567890",
            "type=tar,dest=\(files.file("own.tar")),source-date-epoch=1234567890",
            "type=local,dest=\(files.file("none")),source-date-epoch=",
            "type=oci,dest=\(files.file("one.tar")),rewrite-timestamp=true,source-date-epoch=1234567890",
            "type=oci,dest=\(files.file("two.tar")),rewrite-timestamp=true,source-date-epoch=1234567890",
            "type=oci,dest=\(files.file("three.tar")),rewrite-timestamp=true",
        ]
        try await store.tryBuild(context, ["--build-arg", GalleyStore.epoch] + outputs.flatMap { ["-o", $0] }).get()
        try files.shell("mkdir tar; tar -xf own.tar -C tar")
        let times = "stat -c %Y data data/f data/l bin/busybox"
        #expect(try files.shell("cd build; \(times)") == String(repeating: "1000000000\n", count: 4))
        #expect(try files.shell("cd own; \(times)") == String(repeating: "1234567890\n", count: 4))
        #expect(try files.shell("cd tar; \(times)") == String(repeating: "1234567890\n", count: 4))
        #expect(try files.shell("find none/data -newermt @1700000000 | wc -l") == "3\n")
        #expect(try files.shell("cmp one.tar two.tar && ! cmp -s one.tar three.tar && echo same") == "same\n")
    }

    @Test func rewritingWithoutAnEpochIsSaid() async throws {
        let store = try GalleyStore()
        let context = try BuildContext("FROM scratch\nCOPY f /\n", ["f": "1"])
        let files = try ScratchDirectory()
        let result = try await store.tryBuild(
            context,
            ["-o", "type=oci,dest=\(files.file("x.tar")),rewrite-timestamp=true"]
        ).get()
        #expect(result.errors.contains("rewrite-timestamp is specified, but no source-date-epoch was found"))
    }

    /// Without an epoch only what commands and the clock wrote differs: layers of COPY, ADD and WORKDIR do not, also where
    /// they put something into directories that a command made or changed.
    @Test func copiesAreTheSameWithoutAnEpoch() async throws {
        let context = try BuildContext(
            """
            FROM alpine
            RUN mkdir -p /data/old && echo 1 > /data/f && echo x > /usr/bin/tool && echo y > /etc/y
            COPY src/a /data/
            COPY src/sub /data/new/deep/
            COPY src /usr/bin/
            WORKDIR /w/x
            COPY <<TEXT /etc/text
            1
            TEXT
            COPY --from=alpine /etc /data/etc
            COPY --parents src/sub/b /data/parents/
            ADD whole.tar /
            ADD implied.tar /
            ADD implied.tar /sub/
            """,
            ["src/a": "a", "src/sub/b": "b", "t/usr/bin/n": "1", "t/data/inner/n": "2", "t/new/x/y": "3"]
        )
        try context.directory.shell(
            """
            tar -C t -cf whole.tar . && tar -C t -cf implied.tar usr/bin/n data/inner/n new/x/y && rm -r t
            """
        )
        var layers: [[String]] = []
        for _ in 0..<2 {
            let store = try await GalleyStore.pinned()
            // Archives have times in seconds.
            let second = time(nil)
            if !layers.isEmpty { try await eventually("another second than the first's") { time(nil) > second } }
            try await store.build(context, tag: "app")
            layers.append(try #require(try await store.inspect("app")["RootFS"]?["Layers"]).strings)
        }
        #expect(layers[0].count == 12)
        let different = layers[0].indices.filter { layers[0][$0] != layers[1][$0] }
        #expect(different == [1], "but for that of RUN, all layers are the same")
    }

    // MARK: --verify-reproducible

    private static let verified = ["--verify-reproducible", "--build-arg", GalleyStore.epoch]

    @Test func aReproducibleBuildIsVerifiedAndExported() async throws {
        let store = try await GalleyStore.pinned()
        let context = try context()
        let files = try ScratchDirectory()
        let before = try await store.size()
        let result = try await store.tryBuild(
            context,
            Self.verified + [
                "-t", "app", "-o", "type=image,rewrite-timestamp=true", "--iidfile", "\(files.file("id"))",
            ]
        ).get()
        let id = try files.shell("cat id")
        #expect(result.output == "reproducible: both builds gave the image \(id)\n")
        #expect(result.errors.contains("[again] "))
        #expect(try await store.run("app", ["cat", "/tmp/mine"]) == "mine\n")
        // The second build left no layer, no mount's directory, no record: only what any build leaves is there.
        let other = try await GalleyStore.pinned()
        let start = try await other.size()
        try await other.build(
            context,
            tag: "app",
            ["--no-cache", "--build-arg", GalleyStore.epoch, "-o", "type=image,rewrite-timestamp=true"]
        )
        #expect(try await store.size() - before == other.size() - start)
        try expectNothingLeft(store.leftovers())
    }

    /// What differs, the options, and what is said of it.
    private static let differences: [(String, [String], [String])] = [
        (
            "RUN mkdir /d && echo same > /d/a && od -An -tx8 -N8 /dev/urandom > /d/random",
            ["-o", "type=image,rewrite-timestamp=true"],
            ["[2/2] RUN mkdir", "/d/random: content from byte ", "Dockerfile:2"]
        ),
        (
            "RUN echo x > /f && touch -d @$(od -An -tu2 -N2 /dev/urandom | tr -d ' ') /f",
            ["-o", "type=image,rewrite-timestamp=true"],
            ["/f: time "]
        ),
        (
            "RUN mkdir /dir && touch /dir/$(od -An -tx8 -N8 /dev/urandom | tr -d ' ')",
            ["-o", "type=image,rewrite-timestamp=true"],
            ["/dir/", "there only in the ", "and 1 more file"]
        ),
        (
            "RUN echo x > /f",
            ["-o", "type=image"],
            ["/f: time 1", "set SOURCE_DATE_EPOCH, and add rewrite-timestamp=true"]
        ),
        // Both builds take less than a second.
        (
            "RUN date +%s > /stamp",
            ["-o", "type=image,rewrite-timestamp=true"],
            ["/stamp: content from byte "]
        ),
        // A cache mount is empty for the second build.
        (
            "RUN --mount=type=cache,target=/c echo x >> /c/log; cp /c/log /log",
            ["-o", "type=image,rewrite-timestamp=true"],
            ["/log: content from byte 2 (4 and 2 bytes)"]
        ),
    ]

    @Test(arguments: differences)
    func whatDiffersIsNamed(_ step: String, _ options: [String], _ expected: [String]) async throws {
        let store = try await GalleyStore.pinned()
        let context = try BuildContext("FROM alpine\n\(step)\n")
        if step.contains("type=cache") { try await store.build(context) }
        let result = try await store.tryBuild(context, Self.verified + ["-t", "app"] + options)
        #expect(result.status == 1)
        let message = try result.message()
        #expect(message.contains("not reproducible: two builds without cache differ, first in the step"), "\(message)")
        for text in expected { #expect(result.errors.contains(text), "\(result.errors)") }
        // Nothing was exported.
        #expect(try await store.galley("images", "-q", "app").get().output == "")
        try expectNothingLeft(store.leftovers())
    }

    /// What a stage does that does not reach the image does not count; what does is followed to where it began.
    @Test func stagesThatDifferCountWhenTheyReachTheImage() async throws {
        let store = try await GalleyStore.pinned()
        let recipe = """
            FROM alpine AS made
            RUN mkdir /out /log && od -An -tx8 -N8 /dev/urandom > /log/noise && echo good > /out/good
            FROM alpine
            COPY --from=made /out/good /
            """
        let good = try BuildContext(recipe)
        let output = Self.verified + ["-o", "type=oci,dest=\(good.path)/x.tar,rewrite-timestamp=true"]
        try await store.tryBuild(good, output).get()
        let bad = try BuildContext("\(recipe)\nCOPY --from=made /log /log\n")
        let result = try await store.tryBuild(bad, output)
        #expect(result.status == 1)
        let lines = result.errors.split(separator: "\n")
        let made = try #require(lines.firstIndex { $0.contains("[made 2/2] RUN") && $0.hasPrefix("  [") })
        let copied = try #require(lines.firstIndex { $0.contains("COPY --from=made /log") && $0.hasPrefix("  [") })
        #expect(made < copied)
        #expect(lines[made + 1].contains("/log/noise: content") && lines[copied + 1].contains("/log/noise: content"))
    }
}

extension GalleyStore {
    /// Numbers of layers, records and directories of cache mounts, added up with weights.
    fileprivate func size() async throws -> Int {
        let text = try await runScript(
            """
            cd "$1"; ls snapshots | wc -l; (ls cache-mounts 2>/dev/null || true) | wc -l
            """,
            [root.description]
        )
        let numbers = text.split(separator: "\n").compactMap { Int($0) }
        return numbers[0] * 1000 + numbers[1]
    }
}
