// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Testing

/// Builds into a directory and tells what is in it.
struct DirectoryBuild {
    let result: ProgramResult
    /// Text of the regular files by path; of symlinks `-> target`.
    let files: [String: String]

    /// - Parameter words: options and context.
    init(
        _ store: GalleyStore,
        _ words: [String],
        environment: [String: String] = [:],
        input: [UInt8] = [],
        directory: RawPath? = nil
    ) async throws {
        let output = try ScratchDirectory()
        result = try await runProgram(
            TestInstallation.binary,
            ["--root", store.root.description, "build", "--progress", "plain", "-o", "type=local,dest=\(output.path)"]
                + words,
            environment: store.environment.merging(environment) { $1 },
            directory: directory,
            input: input
        )
        var files: [String: String] = [:]
        let root = try open(output.path, [.directory])
        try Self.read(root.raw, "", &files)
        self.files = files
    }

    /// - Parameter context: goes behind the options.
    init(
        _ store: GalleyStore,
        _ context: BuildContext,
        _ options: [String] = [],
        environment: [String: String] = [:]
    ) async throws {
        try await self.init(store, options + [context.path], environment: environment)
        withExtendedLifetime(context) {}
    }

    private static func read(_ directory: CInt, _ prefix: String, _ files: inout [String: String]) throws {
        for entry in try readDirectory(directory) {
            let path = prefix + entry.name.description
            switch try status(at: directory, entry.name).kind {
            case .directory:
                let child = try open(at: directory, entry.name, [.directory])
                try read(child.raw, path + "/", &files)
            case .symlink: files[path] = "-> \(try readLink(at: directory, entry.name))"
            default: files[path] = String(decoding: try readFile(at: directory, entry.name), as: UTF8.self)
            }
        }
    }

    static func files(
        _ store: GalleyStore,
        _ context: BuildContext,
        environment: [String: String] = [:]
    ) async throws -> [String: String] {
        defer { withExtendedLifetime(context) {} }
        return try await files(store, [context.path], environment: environment)
    }

    /// The files of a build that succeeded.
    static func files(
        _ store: GalleyStore,
        _ words: [String],
        environment: [String: String] = [:],
        input: [UInt8] = [],
        directory: RawPath? = nil
    ) async throws -> [String: String] {
        let build = try await DirectoryBuild(
            store,
            words,
            environment: environment,
            input: input,
            directory: directory
        )
        try build.result.get()
        return build.files
    }
}

/// Build contexts that are not just a directory, and those of `--build-context`.
@Suite(.endToEnd)
struct ContextTests {
    private static func tar(_ dockerfile: String? = "FROM scratch\nCOPY . /\n") throws -> [UInt8] {
        try TarBuilder {
            if let dockerfile { try $0.file("Dockerfile", dockerfile) }
            try $0.file("a", "A", uid: 1234)
            try $0.directory("d")
            try $0.file("d/Other", "FROM scratch\nCOPY d/b /\n")
            try $0.file("d/b", "B")
            try $0.file(".dockerignore", "a\n")
        }.bytes()
    }

    // MARK: Standard input

    @Test(
        "an archive on standard input is the context, however it is compressed",
        arguments: [
            "cat", "gzip -c", "bzip2 -c", "xz -c", "zstd -qc",
        ]
    )
    func archives(_ program: String) async throws {
        guard TestInstallation.hasProgram(String(program.prefix { $0 != " " })) else { return }
        let store = try GalleyStore()
        let plain = store.directory.file("context.tar")
        try replaceFile(plain, try Self.tar())
        try await runScript("\(program) < \"$1\" > \"$1.out\"", [plain.description])
        let bytes = try readFile(store.directory.file("context.tar.out"))
        // As with BuildKit, an archive's ignore file is nothing but a file.
        let files = try await DirectoryBuild.files(store, ["-"], input: bytes)
        #expect(files.keys.sorted() == [".dockerignore", "Dockerfile", "a", "d/Other", "d/b"])
        #expect(files["a"] == "A")
        try expectNothingLeft(store.leftovers())
    }

    @Test("-f names a file inside an archive, or one of this machine by an absolute path")
    func fileInsideArchive() async throws {
        let store = try GalleyStore()
        let inside = try await DirectoryBuild.files(store, ["-f", "d/Other", "-"], input: try Self.tar(nil))
        #expect(inside == ["b": "B"])
        let context = try BuildContext(nil, ["mine": "FROM scratch\nCOPY a /mine\n"])
        let outside = try await DirectoryBuild.files(
            store,
            ["-f", "\(context.path)/mine", "-"],
            input: try Self.tar(nil)
        )
        #expect(outside == ["mine": "A"])
    }

    @Test("a Dockerfile on standard input has an empty context; with -f - it goes with a directory")
    func dockerfileOnStandardInput() async throws {
        let store = try GalleyStore()
        let empty = try await DirectoryBuild(store, ["-"], input: Array("FROM scratch\nCOPY . /\nCOPY x /".utf8))
        #expect(empty.result.status == 1)
        #expect(empty.result.errors.contains("\"/x\": not found"))
        let context = try BuildContext("FROM scratch\nCOPY wrong /", ["x": "X", ".dockerignore": "Dockerfile"])
        let files = try await DirectoryBuild.files(
            store,
            ["-f", "-", context.path],
            input: Array("FROM scratch\nCOPY . /".utf8)
        )
        #expect(files == [".dockerignore": "Dockerfile", "x": "X"])
    }

    @Test(
        "standard input that cannot be a context says why and leaves nothing behind",
        arguments: [
            ("cut", [], "cannot unpack the build context"),
            ("empty", [], "Dockerfile cannot be empty"),
            ("text", ["-f", "x"], "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles"),
            ("without", [], "failed to read dockerfile: open Dockerfile: no such file or directory"),
            ("escaping", [], "cannot unpack the build context"),
            ("linked", [], "failed to read dockerfile: open Dockerfile"),
        ] as [(String, [String], String)]
    )
    func badInput(_ kind: String, _ options: [String], _ message: String) async throws {
        let store = try GalleyStore()
        let bytes: [UInt8] =
            switch kind {
            case "cut": Array(try Self.tar().prefix(1500))
            case "text": Array("FROM scratch".utf8)
            case "without": try Self.tar(nil)
            case "escaping": try TarBuilder { try $0.file("../../escaped", "x") }.bytes()
            case "linked": try TarBuilder { try $0.symlink("Dockerfile", to: "/etc/passwd-that-is-not-here") }.bytes()
            default: []
            }
        let build = try await DirectoryBuild(store, options + ["-"], input: bytes)
        #expect(build.result.status == 1)
        #expect(build.result.errors.contains(message), "\(build.result)")
        try expectNothingLeft(store.leftovers())
    }

    @Test("no symlink of an archive leads to a Dockerfile or files outside it")
    func archiveWithLinks() async throws {
        let store = try GalleyStore()
        let secret = store.directory.file("secret")
        try replaceFile(secret, Array("FROM scratch\nLABEL stolen=1\n".utf8))
        let dockerfile = try TarBuilder { try $0.symlink("Dockerfile", to: secret) }.bytes()
        #expect(try await DirectoryBuild(store, ["-"], input: dockerfile).result.status == 1)
        let copied = try TarBuilder {
            try $0.file("Dockerfile", "FROM scratch\nCOPY link /file\n")
            try $0.symlink("link", to: secret)
        }.bytes()
        let build = try await DirectoryBuild(store, ["-"], input: copied)
        #expect(build.result.status == 1)
        #expect(!build.files.values.contains { $0.contains("stolen") })
    }

    @Test("a build that waits for its standard input can be ended; the next command clears up after a killed one")
    func endedWhileReading() async throws {
        let store = try GalleyStore()
        let fifo = store.directory.file("fifo")
        try await runScript(#"mkfifo "$1""#, [fifo.description])
        for signal in [SIGINT, SIGKILL] {
            let program = try RunningProgram(
                "/bin/sh",
                [
                    "-c", "exec \"$0\" --root \"$1\" build --progress plain - < \"$2\"", TestInstallation.binary,
                    store.root.description, fifo.description,
                ],
                environment: store.environment
            )
            // Open as long as the build runs: it has the start of an archive and waits for more.
            let writer = try open(fifo, [.writeOnly]).shared()
            try writeBytes(writer.raw, try Self.tar().prefix(1024))
            try await eventually("the archive is being unpacked") {
                try runningContexts(store).contains { $0.contains("context-") }
            }
            program.send(signal)
            let result = try await program.finish()
            #expect(result.status == 128 + signal)
            withExtendedLifetime(writer) {}
            _ = try await store.galley("images").get()
            try expectNothingLeft(store.leftovers())
        }
    }

    /// Names in the directories of running processes below `tmp`.
    private func runningContexts(_ store: GalleyStore) throws -> [String] {
        guard let tmp = try? open(store.root.appending("tmp"), [.directory]) else { return [] }
        return try readDirectory(tmp.raw).flatMap { entry -> [String] in
            guard let owner = try? open(at: tmp.raw, entry.name, [.directory]) else { return [] }
            return try readDirectory(owner.raw).map(\.name.description)
        }
    }

    // MARK: Directories

    @Test(
        "other names of the Dockerfile and the ignore file",
        arguments: [
            (["Dockerfile": "D", "dockerfile": "d", "Containerfile": "C"], "D"),
            (["dockerfile": "d", "Containerfile": "C"], "d"),
            (["Containerfile": "C"], "C"),
        ] as [([String: String], String)]
    )
    func dockerfileNames(_ names: [String: String], _ expected: String) async throws {
        let store = try GalleyStore()
        let context = try BuildContext(nil, ["D": "", "d": "", "C": "", ".containerignore": "none"])
        for (name, letter) in names { try context.write(name, "FROM scratch\nCOPY \(letter) /") }
        #expect(try await DirectoryBuild.files(store, [context.path]) == [expected: ""])
    }

    @Test func ignoreFiles() async throws {
        let store = try GalleyStore()
        let context = try BuildContext(
            "FROM scratch\nCOPY . /",
            ["a": "", "b": "", "c": "", ".containerignore": "a\n.*\nDockerfile"]
        )
        #expect(try await DirectoryBuild.files(store, [context.path]).keys.sorted() == ["b", "c"])
        try context.write(".dockerignore", "b\n.*\nDockerfile*")
        #expect(try await DirectoryBuild.files(store, [context.path]).keys.sorted() == ["a", "c"])
        try context.write("Dockerfile.dockerignore", "c\n.*\nDockerfile*")
        #expect(try await DirectoryBuild.files(store, [context.path]).keys.sorted() == ["a", "b"])
    }

    @Test(
        "what is no context says what one is",
        arguments: [
            (["/nonexistent"], "unable to prepare context: path \"/nonexistent\" not found"),
            (["/dev/null"], "\"/dev/null\" is not a directory"),
            (["foo://host/x"], "is no address of a build context"),
            (["https://127.0.0.1:1/x.git?nonsense=1"], "unexpected query \"nonsense\""),
            (["-f", "-", "-"], "can't use stdin for both build context and dockerfile"),
            (["--build-context", "x", "."], "invalid context value: x, expected key=value"),
            (
                ["--build-context", "x=/nonexistent", "."],
                "failed to get build context x: path \"/nonexistent\" not found"
            ),
            (["--build-context", "A B=.", "."], "invalid context name A B"),
            (["--build-context", "x=oci-layout:///dev", "."], "/dev is no OCI image layout"),
            (["--build-context", "x=docker-image://UPPER", "."], "failed to get build context x"),
            (["--build-context", "x=target:", "."], "target: names no stage"),
        ] as [([String], String)]
    )
    func refused(_ words: [String], _ message: String) async throws {
        let store = try GalleyStore()
        let result = try await store.galley(["build", "--progress", "plain"] + words)
        #expect(result.status == 1)
        #expect(result.errors.contains(message), "\(result)")
        #expect(result.errors.contains("hint: "), "\(result)")
    }

    // MARK: Web

    @Test("a web address is an archive to unpack, or a Dockerfile")
    func webContexts() async throws {
        let archive = try compressed(try Self.tar(), .gzip)
        let server = try WebServer([
            "/context.tar.gz": .init(headers: ["ETag: \"1\""], body: archive),
            "/recipe": .text("FROM scratch\nCOPY . /all/\n"),
        ])
        let store = try GalleyStore()
        for _ in 0..<2 {
            let files = try await DirectoryBuild.files(store, ["\(server.url)/context.tar.gz"])
            #expect(files.keys.sorted() == [".dockerignore", "Dockerfile", "a", "d/Other", "d/b"])
        }
        #expect(server.requests.map { $0.headers["if-none-match"] } == [nil, "\"1\""])
        let other = try await DirectoryBuild.files(store, ["-f", "d/Other", "\(server.url)/context.tar.gz"])
        #expect(other == ["b": "B"])
        let alone = try await DirectoryBuild.files(store, ["\(server.url)/recipe"])
        #expect(alone == ["all/context": "FROM scratch\nCOPY . /all/\n"])
        let context = try BuildContext(nil, ["x": "X"])
        #expect(try await DirectoryBuild.files(store, ["-f", "\(server.url)/recipe", context.path]) == ["all/x": "X"])
        let missing = try await DirectoryBuild(store, ["\(server.url)/nothing"])
        #expect(missing.result.errors.contains("invalid response status 404"))
    }

    // MARK: Named contexts

    @Test("a named directory has its own ignore file and takes the place of a stage or an image")
    func namedDirectories() async throws {
        let store = try GalleyStore()
        let context = try BuildContext(
            """
            FROM docker.io/library/nothing:1 AS base
            FROM scratch AS stage
            COPY own /wrong
            FROM scratch
            COPY --from=base / /base/
            COPY --from=stage / /stage/
            COPY --from=lib / /lib/
            COPY own /
            """,
            [
                "own": "own", ".dockerignore": "", "l/x": "lx", "l/ignored": "", "l/.dockerignore": "ignored\n.*",
                "b/x": "bx", "s/x": "sx",
            ]
        )
        let files = try await DirectoryBuild.files(
            store,
            [
                "--build-context", "lib=l", "--build-context", "nothing:1=\(context.path)/b", "--build-context",
                "stage=./s", ".",
            ],
            directory: context.directory.path
        )
        #expect(files == ["base/x": "bx", "stage/x": "sx", "lib/x": "lx", "own": "own"])
    }

    @Test("named contexts from the web, from images and from stages")
    func namedSources() async throws {
        let server = try WebServer(["/f": .text("web")])
        let store = try GalleyStore()
        try await store.build(try BuildContext("FROM scratch\nCOPY x /x", ["x": "from-image"]), tag: "donor:v1")
        let context = try BuildContext(
            """
            FROM scratch AS one
            COPY one /
            FROM scratch
            COPY --from=web / /web/
            COPY --from=image / /image/
            COPY --from=two / /two/
            """,
            ["one": "1"]
        )
        let files = try await DirectoryBuild.files(
            store,
            [
                "--build-context", "web=\(server.url)/f", "--build-context", "image=docker-image://donor:v1",
                "--build-context", "two=target:one", context.path,
            ]
        )
        #expect(files == ["web/context": "web", "image/x": "from-image", "two/one": "1"])
    }

    @Test("an image of an OCI layout is found by tag or digest, and every byte of it is verified")
    func layouts() async throws {
        let store = try GalleyStore()
        let layout = store.directory.file("layout").description
        let image = try BuildContext("FROM scratch\nCOPY x /x\nENV A=layout", ["x": "from-layout"])
        try await store.galley(
            "build",
            "-t",
            "app:v7",
            "-o",
            "type=oci,tar=false,dest=\(layout)",
            image.path
        ).get()
        let index = try JSONValue(parsing: readFile(RawPath(layout).appending("index.json")))
        let digest = try #require(index["manifests"]?.arrayValue?.first?["digest"]?.stringValue)
        let context = try BuildContext("FROM base\nCOPY --from=base /x /copied\n")
        for suffix in [":v7", "@\(digest)", ""] {
            // Of another store, that never saw the image.
            let other = try GalleyStore()
            let files = try await DirectoryBuild.files(
                other,
                ["--build-context", "base=oci-layout://\(layout)\(suffix)", context.path]
            )
            #expect(files == ["x": "from-layout", "copied": "from-layout"])
        }
        let wrong = try await DirectoryBuild(
            store,
            ["--build-context", "base=oci-layout://\(layout):v8", context.path]
        )
        #expect(wrong.result.errors.contains("could not be resolved"))
        #expect(wrong.result.errors.contains("v7"))
        // A layer with other bytes of the same length.
        try await runScript(
            #"f=$(ls -S "$1"/blobs/sha256/* | head -1); for f in "$1"/blobs/sha256/*; do tr 'a-y' 'b-z' < "$f" > "$1/n"; mv "$1/n" "$f"; done"#,
            [layout]
        )
        let damaged = try await DirectoryBuild(
            try GalleyStore(),
            ["--build-context", "base=oci-layout://\(layout):v7", context.path]
        )
        #expect(damaged.result.status == 1)
        #expect(damaged.result.errors.contains("is damaged"), "\(damaged.result)")
    }

    // MARK: git

    @Test("a git repository is a context, in both forms of its address", .needs(program: "git"))
    func gitContexts() async throws {
        let server = try await GitServer()
        try await server.make(
            "app.git",
            """
            mkdir -p sub/deeper
            printf 'FROM scratch\\nCOPY . /\\n' | tee Dockerfile > sub/Dockerfile
            printf 'FROM scratch\\nCOPY one /\\n' > Other
            echo 1 > one; echo sub > sub/x; echo one > .dockerignore; ln -s one link
            git add -A; git commit -qm one; git tag v1
            """
        )
        let store = try GalleyStore()
        let url = server.url("app.git")
        let all = [".dockerignore", "Dockerfile", "Other", "link", "one", "sub/Dockerfile", "sub/x"]
        for address in [url, url + "#main", url + "?branch=main", url + "#refs/tags/v1"] {
            #expect(try await DirectoryBuild.files(store, [address]).keys.sorted() == all)
        }
        for address in [url + "#:sub", url + "?ref=main&subdir=sub"] {
            #expect(try await DirectoryBuild.files(store, [address]).keys.sorted() == ["Dockerfile", "x"])
        }
        #expect(try await DirectoryBuild.files(store, ["-f", "Other", url]) == ["one": "1\n"])
        let kept = try await DirectoryBuild.files(
            store,
            ["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", url]
        )
        #expect(kept[".git/config"]?.contains("url = \(url)") == true)
        let named = try BuildContext("FROM scratch\nCOPY --from=repo /sub/x /")
        #expect(
            try await DirectoryBuild.files(store, ["--build-context", "repo=\(url)#v1", named.path]) == ["x": "sub\n"]
        )
        let absent = try await DirectoryBuild(store, ["-f", "Absent", url])
        #expect(absent.result.errors.contains("failed to read dockerfile: open Absent"))
        try expectNothingLeft(store.leftovers())
    }
}
