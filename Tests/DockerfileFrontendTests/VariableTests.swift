// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import DockerfileSyntax
import OCI
import Solver
import Testing

@Suite struct VariableTests {
    struct Scope: Sendable, CustomTestStringConvertible {
        var name: String
        var text: String
        var arguments: [String: String] = [:]
        /// Of the last RUN, without PATH.
        var environment: [String]
        /// `created_by` of the last RUN.
        var history: String
        var testDescription: String { name }
    }

    @Test(arguments: [
        Scope(
            name: "default",
            text: "FROM scratch\nARG V=1\nRUN x",
            environment: ["V=1"],
            history: "RUN |1 V=1 /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "a build argument beats the default",
            text: "FROM scratch\nARG V=1\nRUN x",
            arguments: ["V": "2"],
            environment: ["V=2"],
            history: "RUN |1 V=2 /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "no value at all",
            text: "FROM scratch\nARG V\nRUN x",
            environment: [],
            history: "RUN |1 V= /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "an undeclared build argument is not seen",
            text: "FROM scratch\nRUN x",
            arguments: ["V": "2"],
            environment: [],
            history: "RUN /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "not before its line",
            text: "FROM scratch\nRUN x\nARG V=1",
            environment: [],
            history: "RUN /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "ENV beats ARG",
            text: "FROM scratch\nARG V=1\nENV V=env\nRUN x",
            arguments: ["V": "2"],
            environment: ["V=env"],
            history: "RUN |1 V=env /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "an ARG further down hides ENV",
            text: "FROM scratch\nENV V=env\nARG V=1\nRUN x",
            environment: ["V=1"],
            history: "RUN |1 V=1 /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "until the next stage",
            text: "FROM scratch AS a\nENV V=env\nARG V=1\nFROM a\nRUN x",
            environment: ["V=env"],
            history: "RUN |1 V=env /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "a child stage inherits",
            text: "FROM scratch AS a\nARG V=1\nFROM a\nRUN x",
            environment: ["V=1"],
            history: "RUN |1 V=1 /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "another stage does not",
            text: "FROM scratch AS a\nARG V=1\nFROM scratch\nRUN x",
            environment: [],
            history: "RUN /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "a global one is not in the stage",
            text: "ARG V=1\nFROM scratch\nRUN x",
            environment: [],
            history: "RUN /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "a bare ARG brings it in",
            text: "ARG V=1\nFROM scratch\nARG V\nRUN x",
            environment: ["V=1"],
            history: "RUN |1 V=1 /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "its default in the stage wins over the global one",
            text: "ARG V=1\nFROM scratch\nARG V=2\nRUN x",
            environment: ["V=2"],
            history: "RUN |1 V=2 /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "build arguments reach global ones",
            text: "ARG V=1\nFROM scratch\nARG V\nRUN x",
            arguments: ["V": "9"],
            environment: ["V=9"],
            history: "RUN |1 V=9 /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "defaults see what came before",
            text: "FROM scratch\nARG A=1 B=${A}2\nARG C=$B-$UNSET\nRUN x",
            environment: ["A=1", "B=12", "C=12-"],
            history: "RUN |3 A=1 B=12 C=12- /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "global defaults see each other and the platform",
            text: "ARG A=$TARGETARCH\nARG B=${A}-x\nFROM scratch\nARG B\nRUN x",
            environment: ["B=amd64-x"],
            history: "RUN |1 B=amd64-x /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "automatic arguments must be declared",
            text: "FROM scratch\nARG TARGETPLATFORM TARGETSTAGE\nRUN x",
            environment: ["TARGETPLATFORM=linux/amd64", "TARGETSTAGE=default"],
            history: "RUN |2 TARGETPLATFORM=linux/amd64 TARGETSTAGE=default /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "and can be overridden",
            text: "FROM scratch\nARG TARGETARCH\nRUN x",
            arguments: ["TARGETARCH": "mips"],
            environment: ["TARGETARCH=mips"],
            history: "RUN |1 TARGETARCH=mips /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "an instruction sees the variables as they were",
            text: "FROM scratch\nENV a=1\nENV a=2 b=$a\nRUN x",
            environment: ["a=2", "b=1"],
            history: "RUN /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "quotes and modifiers",
            text: "FROM scratch\nENV a='$x' b=\"${c:-d e}\" f=${a:+g}\nRUN x",
            environment: ["a=$x", "b=d e", "f="],
            history: "RUN /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "legacy form",
            text: "FROM scratch\nENV a b  c\nRUN x",
            environment: ["a=b  c"],
            history: "RUN /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "a value may begin with a combining mark",
            text: "FROM scratch\nENV a=\u{301}x\nENV a=2\nRUN x",
            environment: ["a=2"],
            history: "RUN /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "a declared proxy is an ordinary argument",
            text: "FROM scratch\nARG http_proxy\nRUN x",
            arguments: ["http_proxy": "p"],
            environment: ["http_proxy=p"],
            history: "RUN |1 http_proxy=p /bin/sh -c x # buildkit"
        ),
        Scope(
            name: "an ARG said twice is listed once",
            text: "FROM scratch\nARG V=1\nARG V=2\nRUN x",
            environment: ["V=2"],
            history: "RUN |1 V=2 /bin/sh -c x # buildkit"
        ),
    ])
    func scopes(_ scope: Scope) async throws {
        let build = try await lowered(scope.text, testRequest { $0.buildArguments = scope.arguments })
        let run = try #require(build.vertices.last)
        guard case .exec(let op) = run.op else { throw FakeResolver.Unknown(description: "the last step is no RUN") }
        #expect(op.environment.filter { !$0.hasPrefix("PATH=") } == scope.environment)
        #expect(build.ownHistory.last { $0.hasPrefix("RUN") } == scope.history)
    }

    @Test func argumentsDoNotReachTheImage() async throws {
        let build = try await lowered("FROM scratch\nARG V=1\nENV W=$V")
        #expect(build.config.env.last == "W=1")
        #expect(build.config.env.count == 2)
        #expect(build.ownHistory == ["~ARG V=1", "~ENV W=1"])
    }

    @Test func environmentKeepsThePlaceInTheImage() async throws {
        let build = try await lowered("FROM golang:1.21-alpine\nENV X=1\nENV PATH=/p:$PATH\nRUN x")
        #expect(build.config.env == ["PATH=/p:/usr/local/go/bin:/usr/bin:/bin", "GOPATH=/go", "X=1"])
        #expect(try build.exec("RUN").environment == ["GOPATH=/go", "X=1", "PATH=/p:/usr/local/go/bin:/usr/bin:/bin"])
    }

    @Test func proxiesStayOutOfTheKey() async throws {
        let text = "FROM alpine\nRUN x"
        let plain = try await lowered(text)
        let proxied = try await lowered(
            text,
            testRequest { $0.buildArguments = ["http_proxy": "http://p:1", "NO_PROXY": "localhost"] }
        )
        let op = try proxied.exec("RUN")
        #expect(
            op.proxyEnvironment == [
                "HTTP_PROXY=http://p:1", "http_proxy=http://p:1", "NO_PROXY=localhost", "no_proxy=localhost",
            ]
        )
        #expect(op.environment == (try plain.exec("RUN").environment))
        #expect(try proxied.vertex("RUN").op.cacheBytes == plain.vertex("RUN").op.cacheBytes)
        #expect(proxied.ownHistory == plain.ownHistory)
        #expect(proxied.unusedBuildArguments.isEmpty)
    }

    @Test func unusedBuildArguments() async throws {
        let build = try await lowered(
            """
            ARG GLOBAL
            FROM alpine AS other
            ARG ELSEWHERE
            FROM alpine
            ARG HERE
            ONBUILD ARG LATER
            """,
            testRequest {
                $0.buildArguments = [
                    "GLOBAL": "1", "ELSEWHERE": "1", "HERE": "1", "LATER": "1", "TYPO": "1", "OTHER": "1",
                    "BUILDKIT_INLINE_CACHE": "1", "TARGETARCH": "amd64", "Http_Proxy": "x",
                ]
            }
        )
        #expect(build.usedBuildArguments == ["GLOBAL", "HERE"])
        #expect(build.unusedBuildArguments == ["OTHER", "TYPO"])
        #expect(build.warnings.map(\.message) == ["One or more build-args [OTHER TYPO] were not consumed"])
        #expect(try await lowered("FROM alpine").warnings.isEmpty)
    }

    @Test func fromLinesSeeGlobalArguments() async throws {
        let resolver = FakeResolver()
        _ = try await lowered(
            "ARG BASE=golang TAG\nFROM ${BASE}:${TAG:-latest}",
            testRequest { $0.buildArguments = ["TAG": "1.21-alpine"] },
            resolver
        )
        #expect(resolver.requests == ["golang:1.21-alpine linux/amd64"])
    }

    @Test func sourceDateEpoch() async throws {
        #expect(try await lowered("FROM scratch").sourceDateEpoch == nil)
        #expect(try await lowered("ARG SOURCE_DATE_EPOCH=17\nFROM scratch").sourceDateEpoch == 17)
        let request = testRequest { $0.buildArguments = ["SOURCE_DATE_EPOCH": "42"] }
        #expect(try await lowered("FROM scratch", request).sourceDateEpoch == 42)
        let reset = testRequest { $0.buildArguments = ["SOURCE_DATE_EPOCH": ""] }
        #expect(try await lowered("ARG SOURCE_DATE_EPOCH=17\nFROM scratch", reset).sourceDateEpoch == nil)
        #expect(
            try await diagnostics("ARG SOURCE_DATE_EPOCH=soon\nFROM scratch")
                == ["1:1: invalid SOURCE_DATE_EPOCH: soon"]
        )
    }
}
