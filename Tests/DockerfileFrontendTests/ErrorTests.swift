// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileFrontend
import DockerfileSyntax
import OCI
import Testing

@Suite struct ErrorTests {
    struct Mistake: Sendable, CustomTestStringConvertible {
        var text: String
        var expected: [String]
        var testDescription: String { expected.joined(separator: "; ") }

        init(_ text: String, _ expected: String...) {
            self.text = text
            self.expected = expected
        }
    }

    /// Found without asking for any image.
    static let early: [Mistake] = [
        Mistake(
            "FROM alpine AS a\nCOPY --from=b /x /\nFROM a AS b",
            "2:13: circular dependency detected on stage: a"
        ),
        Mistake("FROM alpine AS a\nCOPY --from=a /x /", "2:13: circular dependency detected on stage: a"),
        Mistake("FROM alpine\nCOPY --from=0 /x /", "2:13: circular dependency detected on stage: stage-0"),
        Mistake(
            "FROM alpine AS x\nCOPY --from=later /x /\nFROM alpine AS later\nRUN x\nFROM x",
            "2:13: cannot copy from stage \"later\", it needs to be defined before current stage \"x\""
        ),
        Mistake(
            "FROM alpine\nCOPY --from=1 /x /\nFROM scratch\nCOPY x /\nFROM alpine\nCOPY --from=0 / /",
            "2:13: cannot copy from stage \"1\", it needs to be defined before current stage \"stage-0\""
        ),
        Mistake("FROM alpine\nCOPY --from=7 /x /", "2:13: invalid stage index 7"),
        Mistake("FROM alpine\nCOPY --from=-1 /x /", "2:13: invalid stage index -1"),
        Mistake(
            "FROM alpine\nARG S=a\nCOPY --from=$S /x /",
            "3:13: variable expansion is not supported for --from, define a new stage with FROM using ARG from global "
                + "scope as a workaround"
        ),
        Mistake(
            "FROM alpine AS builder\nFROM alpine\nCOPY --from=Buidler /x /",
            "3:13: failed to parse stage name \"Buidler\": invalid reference format: \"Buidler\": "
                + "repository name must be lowercase (did you mean builder?)"
        ),
        Mistake("FROM $NOTHING", "1:6: base name ($NOTHING) should not be blank"),
        Mistake("FROM ${A:?given}", "1:6: failed to process \"${A:?given}\": A: given"),
        Mistake(
            "FROM Alpine",
            "1:6: failed to parse stage name \"Alpine\": invalid reference format: \"Alpine\": repository name must be "
                + "lowercase"
        ),
        Mistake("FROM --platform=$X alpine", "1:17: empty platform value from expression $X"),
        Mistake(
            "FROM --platform=a/b/c/d alpine",
            "1:17: failed to parse platform a/b/c/d: \"a/b/c/d\" is not a platform: expected os/arch[/variant], like "
                + "linux/amd64"
        ),
        Mistake("FROM alpine\nRUN --security=insecure x", "2:16: security.insecure is not allowed"),
        Mistake("FROM alpine\nRUN --network=host x", "2:15: network.host is not allowed"),
        Mistake(
            "FROM alpine\nRUN --device=a.com/b=c x",
            "2:5: device feature is only supported in Dockerfile frontend 1.14.0-labs or later"
        ),
        Mistake(
            "FROM alpine\nADD --checksum=sha256:aa https://x/y /",
            "2:26: invalid checksum digest length"
        ),
        Mistake("FROM alpine\nCOPY http://x/y /", "2:6: source can't be a URL for COPY"),
        Mistake("FROM alpine\nCOPY git://x/y /", "2:6: source can't be a git ref for COPY"),
        Mistake(
            "# syntax=example.com/front:1\nFROM alpine",
            "1:10: the frontend image example.com/front:1 is not supported yet"
        ),
        Mistake(
            "ARG X=${Y!z}\nFROM alpine AS b\nRUN --mount=target=/ x\nFROM $Z\nCOPY --from=9 a b\nCOPY --from=b git://x/y b",
            "1:7: failed to process \"${Y!z}\": unsupported modifier (!) in substitution",
            "3:13: invalid mount target \"/\"",
            "4:6: base name ($Z) should not be blank",
            "5:13: invalid stage index 9",
            "6:15: source can't be a git ref for COPY"
        ),
        Mistake(
            "FROM alpine\nCOPY --chmod=888 a b",
            "2:14: invalid chmod parameter: '888'. it should be octal string and between 0 and 07777"
        ),
        Mistake(
            "FROM alpine\nCOPY --chmod=10000 a b",
            "2:14: invalid chmod parameter: '10000'. it should be octal string and between 0 and 07777"
        ),
        Mistake(
            "FROM alpine\nCOPY --chmod=99999999999999999999 a b",
            "2:14: invalid chmod parameter: '99999999999999999999'. it should be octal string and between 0 and 07777"
        ),
        Mistake(
            "FROM alpine\nCOPY --chmod=u+z a b",
            "2:14: invalid chmod parameter: 'u+z'. it should be octal string and between 0 and 07777"
        ),
        Mistake("FROM alpine\nEXPOSE 80/icmp", "2:8: invalid port: \"80/icmp\": invalid proto: icmp"),
        Mistake("FROM alpine\nEXPOSE 65536", "2:8: invalid containerPort: 65536"),
        Mistake("FROM alpine\nEXPOSE 9-8", "2:8: invalid containerPort: 9-8"),
        Mistake("FROM alpine\nEXPOSE 1 x", "2:10: invalid containerPort: x"),
        Mistake("FROM alpine\nEXPOSE /tcp", "2:8: invalid port: \"/tcp\": no port specified"),
        Mistake("FROM alpine\nEXPOSE y:1:2", "2:8: invalid IP address: y"),
        Mistake("FROM alpine\nSTOPSIGNAL SIGNOPE", "2:12: invalid signal: SIGNOPE"),
    ]

    @Test(arguments: early)
    func isReportedBeforeAnyImageIsAskedFor(_ mistake: Mistake) async throws {
        let resolver = FakeResolver()
        #expect(try await diagnostics(mistake.text, testRequest(), resolver) == mistake.expected)
        #expect(resolver.requests.isEmpty)
    }

    /// Found only with the variables of the base known.
    @Test(arguments: [
        Mistake("FROM alpine\nARG U=https://x/y\nCOPY $U /", "3:6: source can't be a URL for COPY"),
        Mistake("FROM alpine\nVOLUME $NONE", "2:8: VOLUME specified can not be an empty string"),
        Mistake("FROM alpine\nUSER ${A:?who}", "2:6: failed to process \"${A:?who}\": A: who"),
        Mistake(
            "FROM alpine\nENV A=1\nENV B=${A:?} C=${D:?unset}",
            "3:16: failed to process \"${D:?unset}\": D: unset"
        ),
        Mistake(
            "FROM alpine\nARG T=/\nRUN --mount=target=$T x\nUSER ${A:?who}\nRUN x",
            "3:13: invalid mount target \"/\"",
            "4:6: failed to process \"${A:?who}\": A: who"
        ),
        Mistake(
            "FROM alpine\nARG S=SIGNOPE P=x M=9\nSTOPSIGNAL $S\nEXPOSE $P\nCOPY --chmod=$M a b",
            "3:12: invalid signal: SIGNOPE",
            "4:8: invalid containerPort: x",
            "5:14: invalid chmod parameter: '9'. it should be octal string and between 0 and 07777"
        ),
    ])
    func isReportedOnceImagesAreKnown(_ mistake: Mistake) async throws {
        #expect(try await diagnostics(mistake.text) == mistake.expected)
    }

    @Test(arguments: [
        ("bilder", "target stage \"bilder\" could not be found (did you mean builder?)"),
        ("stage-2", "target stage \"stage-2\" could not be found (did you mean stage-1?)"),
        ("nothing-like-it", "target stage \"nothing-like-it\" could not be found"),
        ("1", "target stage \"1\" could not be found"),
    ])
    func missingTarget(_ target: String, _ expected: String) async throws {
        let found = try await diagnostics(
            "FROM alpine AS builder\nFROM alpine",
            testRequest { $0.target = target }
        )
        #expect(found == ["2:1: \(expected)"])
    }

    @Test(arguments: [
        ("FROM alpne", "1:6", "alpne: failed to resolve source metadata for docker.io/library/alpne:latest", "alpine"),
        (
            "FROM alpine AS builder\nFROM alpine\nCOPY --from=biulder /x /", "3:13",
            "biulder: failed to resolve source metadata for docker.io/library/biulder:latest", "builder"
        ),
        (
            "FROM alpine AS builder\nFROM bulder:1", "2:6",
            "bulder:1: failed to resolve source metadata for docker.io/library/bulder:1", nil
        ),
    ])
    func missingImage(_ text: String, _ place: String, _ message: String, _ suggestion: String?) async throws {
        let found = try #require(try await diagnostics(text))
        #expect(found.count == 1)
        #expect(found[0].hasPrefix("\(place): \(message): docker.io/library/"))
        #expect(found[0].hasSuffix(suggestion.map { ": not found (did you mean \($0)?)" } ?? ": not found"))
    }

    @Test func aStageOfThatNameFurtherDownIsMentioned() async throws {
        let error = try await #require(throws: ImageResolutionError.self) {
            try await lowered("FROM build AS run\nFROM alpine AS build\nFROM run")
        }
        let diagnostic = try #require(error.diagnostics.diagnostics.first)
        #expect(diagnostic.notes.first?.contains("defined on line 2") == true)
        #expect(error.cause is FakeResolver.Unknown)
        #expect(error.reference.familiar == "build:latest")
    }

    @Test func theCaretIsUnderTheWord() async throws {
        let error = try await #require(throws: DockerfileDiagnostics.self) {
            try await lowered("FROM alpine\nCOPY --chmod=9 a b\n")
        }
        #expect(error.render().contains(">>> COPY --chmod=9 a b\n     |                  ^\n"), "\(error.render())")
    }

    @Test(arguments: [
        "# syntax=docker/dockerfile:1\nFROM scratch", "# syntax=docker.io/docker/dockerfile:1.7-labs\nFROM scratch",
        "# syntax=docker/dockerfile-upstream:master\nFROM scratch", "#syntax=docker/dockerfile\nFROM scratch",
    ])
    func dockersFrontendIsOurs(_ text: String) async throws {
        #expect(try await diagnostics(text) == nil)
    }

    @Test func aFileFullOfMistakesIsRefusedSoon() async throws {
        let text = "FROM alpine\n" + String(repeating: "COPY --chmod=9 a b\n", count: 20_000)
        #expect(try await diagnostics(text)?.count == 100)
    }

    @Test func cancellationIsNotDisguised() async throws {
        struct Waiting: ImageResolver {
            func resolveImage(_ reference: Reference, platform: Platform, layout: String?) async throws -> ResolvedImage
            {
                try await Task.sleep(for: .seconds(1000))
                throw FakeResolver.Unknown(description: "unreachable")
            }
        }
        let task = Task {
            try await lower(Dockerfile(parsing: "FROM alpine"), testRequest(), resolver: Waiting())
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}
