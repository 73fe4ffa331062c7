// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileLint
import DockerfileSyntax
import OCI
import Testing

@Suite struct OutlineTests {
    private static let file = """
        # syntax=docker/dockerfile:1
        # GO_VERSION is the version of the compiler
        ARG GO_VERSION=1.23
        # SUFFIX of the tag
        ARG SUFFIX=-alpine
        ARG TAG=${GO_VERSION}${SUFFIX}
        ARG UNUSED=1

        # tools fetches what is needed
        FROM alpine AS tools
        ARG TOOLS="a b"
        RUN --mount=type=secret,id=npm,required --mount=type=ssh true
        RUN --mount=type=secret,target=/run/netrc --mount=type=ssh,id=deploy,required=true true

        # build compiles
        FROM --platform=$BUILDPLATFORM golang:${TAG} AS Build
        # TARGETARCH is not shown
        ARG TARGETARCH
        ARG GO_VERSION
        # FLAGS for the compiler
        ARG FLAGS
        COPY --from=tools /t /t

        FROM scratch
        COPY --from=build /app /app
        ARG FLAGS=-v
        """

    private func outline(_ target: String?, _ arguments: [String: String] = [:]) throws -> Outline {
        var request = LintRequest.forTests
        request.target = target
        request.buildArguments = arguments
        request.config = { _, _ in nil }
        return Outline(try Dockerfile(parsing: Self.file), request)
    }

    @Test func showsWhatTheTargetTakes() throws {
        #expect(
            try outline(nil).text == """
                BUILD ARG    VALUE         DESCRIPTION
                GO_VERSION   1.23          is the version of the compiler
                SUFFIX       -alpine       of the tag
                TAG          1.23-alpine\("   ")
                TOOLS        a b\("           ")
                FLAGS        -v\("            ")

                SECRET   REQUIRED
                npm      true
                netrc\("    ")

                SSH       REQUIRED
                default\("   ")
                deploy    true


                """
        )
    }

    @Test func showsOneStage() throws {
        #expect(
            try outline("TOOLS", ["TOOLS": "x", "UNKNOWN": "y"]).text == """
                TARGET:      tools
                DESCRIPTION: fetches what is needed

                BUILD ARG   VALUE   DESCRIPTION
                TOOLS       x\("       ")

                SECRET   REQUIRED
                npm      true
                netrc\("    ")

                SSH       REQUIRED
                default\("   ")
                deploy    true


                """
        )
    }

    @Test func usesGivenArguments() throws {
        let values = try outline("build", ["SUFFIX": "", "FLAGS": "-x"]).arguments.map { "\($0.name)=\($0.value)" }
        #expect(values == ["GO_VERSION=1.23", "SUFFIX=", "TAG=1.23", "TOOLS=a b", "FLAGS=-x"])
    }

    @Test func writesJSON() throws {
        let json = try outline("tools").json
        #expect(json["name"] == "tools")
        #expect(json["description"] == "fetches what is needed")
        let line: JSONValue = ["line": 11]
        #expect(
            json["args"] == [
                ["name": "TOOLS", "value": "a b", "location": ["ranges": [["start": line, "end": line]]]]
            ]
        )
        #expect(json["secrets"]?.arrayValue?.map { $0["required"] } == [true, nil])
        #expect(json["ssh"]?.arrayValue?.map { $0["name"] } == ["default", "deploy"])
        #expect(json["sources"]?.arrayValue?.count == 1)
        #expect(json["cache"] == nil)
    }

    @Test func namesAnEmptyOutline() throws {
        let outline = Outline(try Dockerfile(parsing: "FROM scratch\n"), .forTests)
        #expect(outline.text == "")
        #expect(outline.json.objectValue?.keys.sorted() == ["sources"])
    }

    // MARK: - Targets

    @Test func listsTargets() throws {
        let list = TargetList(try Dockerfile(parsing: Self.file))
        #expect(
            list.text == """
                TARGET    DESCRIPTION
                tools     fetches what is needed
                build     compiles
                (default)\(" ")

                """
        )
        let targets = try #require(list.json["targets"]?.arrayValue)
        #expect(targets.map { $0["base"] } == ["alpine", "golang:${TAG}", "scratch"])
        #expect(targets.map { $0["platform"] } == [nil, "$BUILDPLATFORM", nil])
        #expect(targets.map { $0["default"] } == [nil, nil, true])
    }

    @Test func marksANamedDefault() throws {
        let list = TargetList(try Dockerfile(parsing: "FROM a\n# last is last\nFROM b AS last\n"))
        #expect(list.text == "TARGET         DESCRIPTION\n               \nlast (default) is last\n")
    }
}
