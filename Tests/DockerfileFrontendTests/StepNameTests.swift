// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import DockerfileSyntax
import OCI
import Testing

@Suite struct StepNameTests {
    @Test(arguments: [
        ("FROM alpine\nRUN x", ["[1/2] FROM docker.io/library/alpine:latest", "[2/2] RUN x"]),
        ("FROM scratch\nRUN x", ["[1/1] RUN x"]),
        ("FROM alpine AS only\nrun x", ["[1/2] FROM docker.io/library/alpine:latest", "[2/2] RUN x"]),
        // BuildKit knows a second stage as soon as an image is copied from.
        (
            "FROM scratch\nCOPY --from=alpine /a /",
            ["FROM docker.io/library/alpine:latest", "[stage-0 1/1] COPY --from=alpine /a /"]
        ),
        (
            "FROM scratch AS a\nARG V=1\nENV X=/x Q=\"a b\"\nRUN echo $V \"$X\" ${UNSET} '$V'\nWORKDIR $X/y",
            ["[1/2] RUN echo 1 \"/x\" ${UNSET} '$V'", "[2/2] WORKDIR /x/y"]
        ),
        ("FROM scratch\nENV D=/d\nRUN a \\\n  b\nCOPY [\"a b\", \"$D/\"]\n", nil),
        ("FROM scratch\nRUN <<EOF\n\n  first\nsecond\nEOF\n", ["[1/1] RUN <<EOF (first...)"]),
        ("FROM scratch\nRUN <<EOF\nonly\nEOF\n", ["[1/1] RUN <<EOF (only)"]),
        ("FROM scratch\nRUN cat <<EOF > /x\nonly\nEOF\n", ["[1/1] RUN cat <<EOF > /x"]),
        ("FROM scratch\nWORKDIR /\nRUN x", ["[1/2] RUN x"]),
    ])
    func names(_ text: String, _ expected: [String]?) async throws {
        let build = try await lowered(text)
        guard let expected else { return }
        #expect(build.names.filter { !$0.hasPrefix("[internal]") } == expected)
    }

    /// What can be told of an instruction whose text says the same but means something else.
    @Test func variablesInTheText() async throws {
        let build = try await lowered(
            """
            ARG TAG=latest
            FROM alpine:$TAG
            ARG NAME=n UNUSED=u
            ENV DIR=/d OTHER=o
            WORKDIR ${DIR}
            COPY $NAME '$OTHER' $UNSET$DIR/
            RUN echo $NAME
            """
        )
        let metadata = build.graph.order.compactMap { build.graph[$0]?.metadata }.filter { $0.stage != nil }
        #expect(
            metadata.map(\.replacedVariables) == [["TAG=latest"], ["DIR=/d"], ["DIR=/d", "NAME=n"], []]
        )
        #expect(metadata.map(\.arguments) == [["TAG"], ["NAME", "UNUSED"], ["NAME", "UNUSED"], ["NAME", "UNUSED"]])
    }

    @Test func numbersAreAligned() async throws {
        let steps = (1...12).map { "RUN step \($0)" }.joined(separator: "\n")
        let build = try await lowered("FROM alpine AS many\n\(steps)\nFROM many\nRUN last")
        #expect(build.names.first == "[many  1/13] FROM docker.io/library/alpine:latest")
        #expect(build.names[8] == "[many  9/13] RUN step 8")
        #expect(build.names[9] == "[many 10/13] RUN step 9")
    }

    @Test func digestsAreShown() async throws {
        let digest = Digest.sha256("manifest")
        struct Resolver: ImageResolver {
            let digest: Digest
            func resolveImage(_ reference: Reference, platform: Platform, layout: String?) async throws -> ResolvedImage
            {
                let config = image("x")
                let manifest = Descriptor(mediaType: .ociManifest, digest: digest, size: 7)
                return ResolvedImage(
                    reference: reference,
                    manifest: manifest,
                    configDigest: .sha256(config.encoded()),
                    config: config
                )
            }
        }
        let build = try await lower(
            Dockerfile(parsing: "FROM alpine\nCOPY --from=localhost:5000/a/b:1 /x /"),
            testRequest(),
            resolver: Resolver(digest: digest)
        )
        #expect(build.names[0] == "[stage-0 1/2] FROM docker.io/library/alpine:latest@\(digest)")
        #expect(build.names[1] == "FROM localhost:5000/a/b:1@\(digest)")
        guard case .image(let op) = build.vertices[0].op else { throw FakeResolver.Unknown(description: "no image") }
        #expect(op.reference == (try Reference("alpine:latest")))
        #expect(op.manifest?.digest == digest)
    }
}
