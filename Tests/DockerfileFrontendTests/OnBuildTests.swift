// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import DockerfileSyntax
import OCI
import Testing

@Suite struct OnBuildTests {
    private func resolver(_ triggers: String...) -> FakeResolver {
        var images = standardImages
        images["base:latest"] = image("base") { $0.onBuild = triggers }
        return FakeResolver(images)
    }

    @Test func triggersOfAnImageRunFirst() async throws {
        let build = try await lowered(
            "FROM base AS app\nRUN after\nFROM app\nRUN child",
            testRequest(),
            resolver("ARG V=1", "COPY . /src", "RUN make $V")
        )
        #expect(
            build.names == [
                "[app 1/2] FROM docker.io/library/base:latest", "[internal] load build context",
                "[app 2/5] ONBUILD COPY . /src", "[app 3/5] ONBUILD RUN make 1", "[app 4/5] RUN after",
                "[stage-1 1/1] RUN child",
            ]
        )
        #expect(build.config.onBuild.isEmpty)
        #expect(try build.vertex("RUN make").metadata.lines == 1...1)
        #expect(build.ownHistory.first == "~ARG V=1")
    }

    @Test func triggersMayHaveHeredocs() async throws {
        let build = try await lowered("FROM base", testRequest(), resolver("RUN <<EOF\na\nb\nEOF"))
        #expect(try build.exec("ONBUILD RUN").arguments == ["/bin/sh", "-c", "a\nb\n"])
    }

    @Test func triggersMayNameStagesAndImages() async throws {
        let resolver = resolver("COPY --from=assets /a /", "COPY --from=debian:bookworm-slim /d /")
        let build = try await lowered(
            "FROM golang:1.21-alpine AS assets\nRUN assets\nFROM base",
            testRequest(),
            resolver
        )
        #expect(
            resolver.requests.map { $0.split(separator: " ")[0] } == [
                "base:latest", "debian:bookworm-slim", "golang:1.21-alpine",
            ]
        )
        #expect(try build.inputs("ONBUILD COPY --from=assets").last == "[assets 2/2] RUN assets")
        #expect(try build.inputs("ONBUILD COPY --from=debian").last == "FROM docker.io/library/debian:bookworm-slim")
    }

    @Test func triggersOfAStageRunInItsChildrenOnly() async throws {
        let build = try await lowered(
            """
            FROM alpine AS tools
            FROM alpine AS parent
            ONBUILD COPY --from=tools /t /
            ONBUILD ENV A=1
            FROM parent AS child
            RUN child
            FROM child
            RUN grandchild
            """
        )
        #expect(
            build.names.filter { !$0.contains("FROM") } == [
                "[child 1/3] ONBUILD COPY --from=tools /t /", "[child 2/3] RUN child", "[stage-3 1/1] RUN grandchild",
            ]
        )
        #expect(build.config.env.last == "A=1")
        #expect(build.config.onBuild.isEmpty)
        let parent = try await lowered("FROM alpine\nONBUILD RUN x\nONBUILD user y")
        #expect(parent.config.onBuild == ["RUN x", "user y"])
    }

    @Test(arguments: [
        ("NOPE x", "the ONBUILD trigger \"NOPE x\" of base:latest is not valid: "),
        ("RUN a\nRUN b", "onbuild trigger should be a single expression"),
        ("FROM alpine", "onbuild trigger should be a single expression"),
        ("MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger"),
        ("ONBUILD RUN x", "ONBUILD isn't allowed as an ONBUILD trigger"),
        ("", "onbuild trigger should be a single expression"),
        ("RUN --mount=type=ssh,source=a b", "ssh does not support source"),
        ("RUN --mount=from=later,target=/x y", "cannot mount from stage \"later\" to \"/x\""),
        ("COPY --from=later / /", "cannot copy from stage \"later\""),
        ("COPY --from=self / /", "circular dependency detected on stage: self"),
        ("COPY git://a/b c", "source can't be a git ref for COPY"),
        ("USER ${A:?who}", "failed to process \"${A:?who}\": A: who"),
    ])
    func badTriggersAreErrorsAtTheBase(_ trigger: String, _ expected: String) async throws {
        let found = try #require(
            try await diagnostics(
                "FROM alpine\nFROM base AS self\nFROM scratch AS later\nFROM self",
                testRequest(),
                resolver(trigger)
            )
        )
        #expect(found.count == 1)
        #expect(found[0].hasPrefix("2:6: "))
        #expect(found[0].contains(expected), "\(found)")
    }
}
