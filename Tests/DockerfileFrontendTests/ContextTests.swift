// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import OCI
import Solver
import Testing

@Suite struct ContextTests {
    private func request(_ contexts: [String: ContextSource]) -> LoweringRequest {
        testRequest { $0.namedContexts = contexts }
    }

    private static let directory = ContextSource.local(name: "dir", ignorePatterns: ["*.o"])
    private static let repository = GitOp(remote: "https://x.org/r.git", reference: "main", subdirectory: "sub")
    private static let file = HTTPOp(url: "https://x.org/f", fileName: "context")

    private func locals(_ build: LoweredBuild) -> [LocalOp] {
        build.vertices.compactMap { if case .local(let op) = $0.op { op } else { nil } }
    }

    // MARK: - Sources of COPY and mounts

    @Test func aDirectoryIsCopiedFrom() async throws {
        let resolver = FakeResolver()
        let build = try await lowered(
            "FROM scratch\nCOPY --from=files a/b /\nCOPY --from=files:latest c /\nCOPY d /\nRUN --mount=from=files,source=e,target=/e x",
            request(["files": Self.directory]),
            resolver
        )
        #expect(resolver.requests.isEmpty)
        #expect(
            locals(build) == [
                LocalOp(name: "dir", followPaths: ["a/b", "c", "e"], excludePatterns: ["*.o"]),
                LocalOp(name: "context", followPaths: ["d"]),
            ]
        )
        #expect(try build.inputs("COPY --from=files") == ["[context files] load from client"])
        #expect(try build.inputs("RUN --mount").last == "[context files] load from client")
    }

    @Test func itTakesTheStagesPlace() async throws {
        let resolver = FakeResolver()
        let text =
            "FROM golang AS deps\nRUN make\nCOPY --from=nine x y\nFROM scratch\nCOPY --from=deps /out /\nCOPY --from=0 /o2 /"
        let build = try await lowered(text, request(["deps": Self.directory]), resolver)
        #expect(resolver.requests.isEmpty, "a replaced stage is not looked at")
        #expect(locals(build) == [LocalOp(name: "dir", followPaths: ["o2", "out"], excludePatterns: ["*.o"])])
        #expect(
            build.names == [
                "[context deps] load from client", "[stage-1 1/2] COPY --from=deps /out /",
                "[stage-1 2/2] COPY --from=0 /o2 /",
            ]
        )
    }

    @Test func everyKindOfSource() async throws {
        let build = try await lowered(
            """
            FROM scratch
            COPY --from=g a /
            COPY --from=h context /
            COPY --from=t a /
            COPY --from=i a /
            COPY --from=l a /
            COPY --from=n a /
            """,
            request([
                "g": .git(Self.repository), "h": .http(Self.file), "t": .archive(Self.file),
                "i": .image(try Reference("alpine")),
                "l": .layout(path: "/layout", reference: try Reference("debian:bookworm-slim")),
                "n": .image(try Reference("scratch")),
            ])
        )
        #expect(try build.inputs("COPY --from=g").last == "[internal] load git source https://x.org/r.git#main:sub")
        #expect(try build.inputs("COPY --from=h").last == "[context h] https://x.org/f")
        #expect(try build.inputs("COPY --from=t").last == "copy /context /")
        #expect(try build.copies("copy /context").first?.unpacksArchives == true)
        #expect(try build.inputs("COPY --from=i").last == "[context i] alpine")
        #expect(try build.inputs("COPY --from=l").last == "[context l] OCI load from client")
        #expect(try build.inputs("COPY --from=n").last == "[internal] empty file system")
        guard case .image(let op) = try build.vertex("[context l]").op else {
            throw FakeResolver.Unknown(description: "no image")
        }
        #expect(op.layout == "/layout")
        #expect(op.reference.familiar == "debian:bookworm-slim")
    }

    // MARK: - Bases

    @Test(arguments: ["alpine", "docker.io/library/alpine:latest", "ALPINE", "alpine::linux/amd64"])
    func anImageIsReplaced(_ name: String) async throws {
        let resolver = FakeResolver()
        let build = try await lowered(
            "FROM alpine\nRUN x",
            request([name: .image(try Reference("golang:1.21-alpine"))]),
            resolver
        )
        #expect(resolver.requests == ["golang:1.21-alpine linux/amd64"])
        let shown = name.contains("::") ? name : "alpine"
        // FROM counts, but has no number of its own.
        #expect(build.names == ["[context \(shown)] golang:1.21-alpine", "[1/2] RUN x"])
        #expect(build.config.workingDirectory == "/go")
        #expect(build.base?.reference.familiar == "golang:1.21-alpine")
    }

    @Test(arguments: [
        ("alpine:3", "alpine"), ("alpine", "alpine:3"), ("alpine", "other/alpine"), ("alpine", "alpine::linux/arm64"),
        ("scratch", "scratch"),
    ])
    func othersAreNot(_ image: String, _ name: String) async throws {
        let images = [
            "\(image == "alpine" ? "alpine:latest" : image)": standardImages["alpine:latest"] ?? ImageConfig()
        ]
        let build = try await lowered("FROM \(image)\nCOPY x /", request([name: Self.directory]), FakeResolver(images))
        #expect(locals(build).map(\.name) == ["context"])
    }

    @Test func theContextOfThePlatformGoesFirst() async throws {
        let resolver = FakeResolver()
        let build = try await lowered(
            "FROM --platform=linux/arm64 alpine\nRUN x",
            request([
                "alpine": .image(try Reference("nothing")), "alpine::linux/arm64": .image(try Reference("empty")),
            ]),
            resolver
        )
        #expect(resolver.requests == ["empty:latest linux/arm64"])
        #expect(build.names == ["[1/2] RUN x"])
    }

    @Test func anImageTakesTheStagesPlace() async throws {
        var images = standardImages
        images["base:latest"] = image("base") { $0.onBuild = ["RUN trigger"] }
        let text = "FROM alpine AS a\nRUN a\nONBUILD RUN b\nFROM a AS c\nRUN c"
        let contexts = request(["a": .image(try Reference("base"))])
        let build = try await lowered(text, contexts, FakeResolver(images))
        #expect(build.names == ["[context a] base", "[c 1/2] ONBUILD RUN b", "[c 2/2] RUN c"])
        #expect(build.config.onBuild.isEmpty)
        var target = contexts
        target.target = "a"
        let replaced = try await lowered(text, target, FakeResolver(images))
        #expect(replaced.names == ["[context a] base"])
        #expect(replaced.config.cmd == ["/bin/sh"])
        #expect(replaced.base?.config.diffIDs == replaced.config.diffIDs)
    }

    @Test func filesAsBaseAreTheFirstLayer() async throws {
        let build = try await lowered(
            "FROM alpine AS a\nCOPY --from=a2 x /\nFROM a\nRUN c",
            request(["a": Self.directory])
        )
        #expect(
            build.names == [
                "[context a] load from client", "[context a] use as file system", "[stage-1 1/1] RUN c",
            ]
        )
        #expect(locals(build).first?.followPaths == [])
        #expect(build.layerVertices.count == 2)
        #expect(build.ownHistory.count == 2)
        #expect(build.config.env.first?.hasPrefix("PATH=") == true)
        let image = try await lowered("FROM alpine\nRUN c", request(["alpine": .git(Self.repository)]))
        #expect(image.names.last == "[1/2] RUN c")
        #expect(image.config.workingDirectory == "/")
        #expect(image.base == nil)
    }

    @Test func aContextMayBeAStage() async throws {
        let text =
            "FROM alpine AS real\nRUN real\nFROM golang AS fake\nRUN fake\nFROM fake\nCOPY --from=fake a /\nCOPY --from=x b /"
        let build = try await lowered(text, request(["fake": .stage("REAL"), "x": .stage("real")]))
        #expect(try build.inputs("COPY --from=fake").last == "[real 2/2] RUN real")
        #expect(try build.inputs("COPY --from=x").last == "[real 2/2] RUN real")
        #expect(!build.names.contains { $0.contains("fake 2/2") })
        #expect(
            try await diagnostics(text, request(["fake": .stage("rael")]))?.first
                == "5:6: target stage \"rael\" of the build context fake could not be found (did you mean real?)"
        )
        let circle = try await diagnostics("FROM alpine AS a\nRUN x", request(["alpine": .stage("a")]))
        #expect(circle == ["1:6: circular dependency detected on stage: a"])
    }

    // MARK: - The build context

    @Test func mainContexts() async throws {
        let text = "FROM scratch\nCOPY a /"
        let git = try await lowered(text, testRequest { $0.context = .git(Self.repository) })
        #expect(try git.inputs("COPY a") == ["[internal] load git source https://x.org/r.git#main:sub"])
        #expect(git.context == (try git.vertex("git source").id))
        let http = try await lowered(text, testRequest { $0.context = .http(Self.file) })
        #expect(try http.inputs("COPY a") == ["[internal] load remote build context"])
        let archive = try await lowered(text, testRequest { $0.context = .archive(Self.file) })
        #expect(archive.names.prefix(2) == ["[internal] load remote build context", "copy /context /"])
        #expect(archive.context == (try archive.vertex("copy /context").id))
        let kept = try await lowered(
            text,
            testRequest {
                $0.context = .git(Self.repository)
                $0.buildArguments = ["BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1", "SOURCE_DATE_EPOCH": "7"]
            }
        )
        guard case .git(let op) = try kept.vertex("git source").op else {
            throw FakeResolver.Unknown(description: "no git")
        }
        #expect(op.keepsGitDirectory)
        #expect(op.modificationTime == .commit)
        let image = testRequest { $0.context = .image(Reference(domain: "docker.io", path: "library/alpine")) }
        #expect(
            try await diagnostics(text, image)
                == ["1:1: the build context must be a directory, a git repository or a web address"]
        )
    }

    // MARK: - SOURCE_DATE_EPOCH

    @Test(arguments: [
        ("context", "[internal] load git source https://x.org/r.git#main:sub"), ("n", "[context n] https://x.org/f"),
        ("web", "[internal] resolve SOURCE_DATE_EPOCH source stage web"),
        ("GIT", "[internal] resolve SOURCE_DATE_EPOCH source stage git"),
    ])
    func timesComeFromElsewhere(_ value: String, _ step: String) async throws {
        let text = """
            FROM scratch AS web
            ARG V=1
            ADD --checksum=sha256:\(String(repeating: "a", count: 64)) https://x.org/$V.tar /x
            FROM scratch AS git
            ADD https://x.org/r.git#v1 /x
            FROM alpine
            ARG SOURCE_DATE_EPOCH
            RUN x
            """
        let build = try await lowered(
            text,
            testRequest {
                $0.context = .git(Self.repository)
                $0.namedContexts = ["n": .http(Self.file)]
                $0.buildArguments = ["SOURCE_DATE_EPOCH": value]
            }
        )
        #expect(build.epoch == .vertex(try build.vertex(step).id))
        #expect(build.sourceDateEpoch == nil)
        #expect(try build.exec("RUN x").environment == ["PATH=/usr/bin:/bin"])
    }

    @Test func theTimeOfAnArchiveIsThatOfItsFile() async throws {
        let build = try await lowered(
            "ARG SOURCE_DATE_EPOCH=context\nFROM scratch\nCOPY a /",
            testRequest { $0.context = .archive(Self.file) }
        )
        #expect(build.epoch == .vertex(try build.vertex("load remote build context").id))
        #expect(build.context == (try build.vertex("copy /context").id))
        let unused = try await lowered(
            "ARG SOURCE_DATE_EPOCH=context\nFROM scratch",
            testRequest { $0.context = .git(Self.repository) }
        )
        #expect(unused.epoch == .vertex(try unused.vertex("git source").id))
        #expect(unused.context == nil)
        #expect(unused.result == nil)
    }

    @Test func aDirectoryHasNoTime() async throws {
        let build = try await lowered("ARG SOURCE_DATE_EPOCH=context\nFROM alpine\nARG SOURCE_DATE_EPOCH\nRUN x")
        #expect(build.epoch == nil)
        #expect(build.ownHistory == ["~ARG SOURCE_DATE_EPOCH", "RUN |1 SOURCE_DATE_EPOCH= /bin/sh -c x # buildkit"])
        #expect(build.warnings.count == 1)
    }

    @Test func secondsAreWrittenPlainly() async throws {
        let build = try await lowered(
            "FROM alpine\nARG SOURCE_DATE_EPOCH\nRUN x",
            testRequest { $0.buildArguments = ["SOURCE_DATE_EPOCH": "+007"] }
        )
        #expect(build.epoch == .seconds(7))
        #expect(try build.exec("RUN x").environment.last == "SOURCE_DATE_EPOCH=7")
    }
}
