// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import DockerfileSyntax
import OCI
import Testing

@Suite struct StageGraphTests {
    static let twoStages = """
        FROM golang:1.21-alpine AS builder
        WORKDIR /app
        COPY . .
        RUN go build -o myapp main.go

        FROM alpine:latest
        WORKDIR /root/
        COPY --from=builder /app/myapp .
        CMD ["./myapp"]
        """

    @Test func lowersTheExample() async throws {
        let resolver = FakeResolver()
        let build = try await lowered(Self.twoStages, testRequest(), resolver)
        #expect(resolver.requests == ["alpine:latest linux/amd64", "golang:1.21-alpine linux/amd64"])
        #expect(
            build.names == [
                "[builder 1/4] FROM docker.io/library/golang:1.21-alpine",
                "[builder 2/4] WORKDIR /app",
                "[internal] load build context",
                "[builder 3/4] COPY . .",
                "[builder 4/4] RUN go build -o myapp main.go",
                "[stage-1 1/3] FROM docker.io/library/alpine:latest",
                "[stage-1 2/3] WORKDIR /root/",
                "[stage-1 3/3] COPY --from=builder /app/myapp .",
            ]
        )
        #expect(
            build.ownHistory == [
                "WORKDIR /root/", "COPY /app/myapp . # buildkit", "~CMD [\"./myapp\"]",
            ]
        )
        #expect(build.config.history.suffix(3).allSatisfy { $0.comment == "buildkit.dockerfile.v0" })
        #expect(build.config.history.first?.createdBy == "ADD rootfs of alpine")
        #expect(build.config.cmd == ["./myapp"])
        #expect(build.config.workingDirectory == "/root/")
        #expect(build.config.env == ["PATH=/usr/bin:/bin"])
        #expect(build.config.created == nil)
        #expect(build.config.diffIDs == standardImages["alpine:latest"]?.diffIDs)
        #expect(build.base?.config == standardImages["alpine:latest"])
        #expect(build.layerVertices.compactMap { build.graph[$0]?.metadata.name } == Array(build.names.suffix(2)))
        #expect(build.result == build.layerVertices.last)
        #expect(build.stageName == nil)
        #expect(build.context == (try build.vertex("build context").id))
        #expect(try build.vertex("COPY --from").metadata.lines == 8...8)
        #expect(try build.vertex("COPY --from").metadata.stage == "stage-1")
        #expect(try build.vertex("COPY --from").metadata.instruction == "COPY --from=builder /app/myapp .")
        let copy = try #require(build.copies("COPY --from").first)
        #expect(copy == FileCopy(input: 1, source: "/app/myapp", destination: "/root/", destinationIsDirectory: true))
        #expect(
            try build.inputs("COPY --from") == [
                "[stage-1 2/3] WORKDIR /root/", "[builder 4/4] RUN go build -o myapp main.go",
            ]
        )
    }

    @Test func aTargetLeavesTheOthersAlone() async throws {
        let resolver = FakeResolver()
        let build = try await lowered(Self.twoStages, testRequest { $0.target = "BUILDER" }, resolver)
        #expect(resolver.requests == ["golang:1.21-alpine linux/amd64"])
        #expect(build.names.count == 5)
        #expect(build.stageName == "builder")
        #expect(build.config.cmd == ["/bin/sh"])
    }

    struct Reach: Sendable, CustomTestStringConvertible {
        var name: String
        var text: String
        var images: [String]
        var testDescription: String { name }
    }

    @Test(arguments: [
        Reach(
            name: "an unreachable stage has no effect at all",
            text: """
                FROM nowhere/no-such:1 AS broken
                RUN false
                RUN --mount=type=cache,target=/ x
                COPY --chmod=999 a b
                COPY --from=0 a b
                ADD --checksum=no https://example.com/x /x
                FROM alpine
                RUN true
                """,
            images: ["alpine:latest"]
        ),
        Reach(
            name: "by name, index, image and stage",
            text: """
                FROM debian:bookworm-slim AS a
                FROM golang:1.21-alpine
                FROM a AS c
                COPY --from=1 /x /x
                COPY --from=alpine:latest /y /y
                """,
            images: ["alpine:latest", "debian:bookworm-slim", "golang:1.21-alpine"]
        ),
        Reach(
            name: "an image is asked for once",
            text: """
                FROM alpine AS a
                FROM docker.io/library/alpine:latest AS b
                COPY --from=a / /a
                COPY --from=alpine / /b
                """,
            images: ["alpine:latest"]
        ),
        Reach(name: "scratch asks for nothing", text: "FROM scratch\nCOPY a b", images: []),
        Reach(
            name: "the nearest earlier stage of a name is the base",
            text: """
                FROM debian:bookworm-slim AS x
                FROM alpine AS x
                FROM x
                """,
            images: ["alpine:latest"]
        ),
        Reach(
            name: "a stage may carry the name of its image",
            text: "FROM alpine AS alpine",
            images: ["alpine:latest"]
        ),
        Reach(name: "an index is no base", text: "FROM scratch\nFROM alpine:latest", images: ["alpine:latest"]),
    ])
    func resolvesOnlyWhatIsReachable(_ reach: Reach) async throws {
        let resolver = FakeResolver()
        _ = try await lowered(reach.text, testRequest(), resolver)
        #expect(resolver.requests == reach.images.map { "\($0) linux/amd64" })
    }

    @Test func independentStagesDoNotDependOnEachOther() async throws {
        let build = try await lowered(
            """
            FROM alpine AS a
            RUN sleep 2 # a
            FROM alpine AS b
            RUN sleep 2 # b
            FROM scratch
            COPY --from=a /a /
            COPY --from=b /b /
            """
        )
        #expect(try build.inputs("[b 2/2]") == ["[a 1/2] FROM docker.io/library/alpine:latest"])
        #expect(try build.inputs("[a 2/2]") == ["[a 1/2] FROM docker.io/library/alpine:latest"])
        #expect(try build.inputs("[stage-2 1/2]") == ["[a 2/2] RUN sleep 2 # a"])
    }

    @Test func equalStepsOfTwoStagesAreOne() async throws {
        let build = try await lowered(
            """
            FROM alpine AS a
            RUN make
            FROM alpine AS b
            RUN make
            FROM scratch
            COPY --from=a /x /
            COPY --from=b /y /
            """
        )
        #expect(build.names.filter { $0.hasSuffix("RUN make") } == ["[a 2/2] RUN make"])
    }

    @Test func aChildContinuesItsParent() async throws {
        let build = try await lowered(
            """
            FROM alpine AS base
            ENV A=1
            WORKDIR /srv
            USER app:staff
            SHELL ["/bin/ash", "-ec"]
            FROM base
            WORKDIR sub
            RUN whoami
            """
        )
        let run = try build.exec("RUN whoami")
        #expect(run.arguments == ["/bin/ash", "-ec", "whoami"])
        #expect(run.workingDirectory == "/srv/sub")
        #expect(run.user == "app:staff")
        #expect(run.environment == ["PATH=/usr/bin:/bin", "A=1"])
        #expect(build.layerVertices.count == 3)
        #expect(
            try build.file("WORKDIR sub").actions
                == [.makeDirectory(FileMakeDirectory(path: "/srv/sub", owner: FileOwner("app:staff")))]
        )
        #expect(try build.inputs("[stage-1 1/2] WORKDIR sub") == ["[base 2/2] WORKDIR /srv"])
    }

    @Test func scratchStartsWithNothing() async throws {
        let build = try await lowered("FROM scratch\nRUN [\"/x\"]\nCOPY a /a")
        #expect(try build.exec("RUN").emptyRoot)
        #expect(try build.vertex("RUN").inputs.isEmpty)
        #expect(build.config.env == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
        #expect(build.config.workingDirectory == "/")
        let none = try await lowered("FROM scratch\nLABEL a=b")
        #expect(none.result == nil)
        #expect(none.vertices.isEmpty)
        #expect(none.layerVertices.isEmpty)
    }

    @Test func anImageWithoutLayersIsScratchWithAConfig() async throws {
        let build = try await lowered("FROM empty\nCOPY a /")
        #expect(try build.file("COPY a").hasBase == false)
        #expect(try build.copies("COPY a").first?.input == 0)
        #expect(build.names.last == "[1/2] COPY a /")
        #expect(build.base != nil)
        #expect(build.config.cmd == ["/bin/sh"])
    }

    @Test func copyingFromNothingReadsAnEmptyTree() async throws {
        let build = try await lowered(
            "FROM scratch AS none\nFROM alpine\nCOPY --from=none /a /b\nCOPY --from=scratch /c /"
        )
        #expect(try build.inputs("COPY --from=none").last == "[internal] empty file system")
        #expect(try build.inputs("COPY --from=scratch").last == "[internal] empty file system")
        #expect(try build.file("empty file system") == FileOp(actions: [], hasBase: false))
    }

    @Test func platformsOfStages() async throws {
        let resolver = FakeResolver()
        let build = try await lowered(
            """
            FROM --platform=$BUILDPLATFORM golang:1.21-alpine AS builder
            ARG TARGETARCH
            RUN make $TARGETARCH
            FROM alpine
            COPY --from=builder /x /
            """,
            testRequest {
                $0.platform = arm64
                $0.showsPlatform = true
            },
            resolver
        )
        #expect(resolver.requests == ["alpine:latest linux/arm64", "golang:1.21-alpine linux/amd64"])
        #expect(
            build.names.filter { !$0.contains("FROM") } == [
                "[linux/amd64->arm64 builder 2/2] RUN make arm64",
                "[linux/arm64 stage-1 2/2] COPY --from=builder /x /",
            ]
        )
        #expect(build.config.platform == arm64)
        let implicit = try await lowered("FROM alpine", testRequest { $0.buildPlatform = arm64 })
        #expect(implicit.config.platform == amd64, "without --platform the image says what it is")
    }
}
