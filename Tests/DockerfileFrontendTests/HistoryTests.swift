// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileFrontend
import OCI
import Testing

@Suite struct HistoryTests {
    /// The entries that instructions leave on `FROM scratch`, `~` in front of those without a layer.
    @Test(arguments: [
        ("RUN go build", ["RUN /bin/sh -c go build # buildkit"]),
        ("RUN [\"go\", \"a b\"]", ["RUN go a b # buildkit"]),
        ("RUN a &&   \\\n  b", ["RUN /bin/sh -c a &&     b # buildkit"]),
        ("RUN <<EOF\na\nb\nEOF", ["RUN /bin/sh -c a\nb\n # buildkit"]),
        ("RUN <<-EOF\n\ta\n\tEOF", ["RUN /bin/sh -c a\n # buildkit"]),
        ("RUN cat <<A <<B\na\nA\nb\nB", ["RUN /bin/sh -c cat <<A <<B\na\nA\nb\nB # buildkit"]),
        ("SHELL [\"/bin/bash\", \"-c\"]\nRUN x", ["~SHELL [/bin/bash -c]", "RUN /bin/bash -c x # buildkit"]),
        ("COPY /app/myapp .", ["COPY /app/myapp . # buildkit"]),
        ("COPY [\"a b\", \"c\", \"/d/\"]", ["COPY a b c /d/ # buildkit"]),
        ("ENV D=/d\nCOPY $D/a ${D}/", ["~ENV D=/d", "COPY /d/a /d/ # buildkit"]),
        ("COPY --chown=1:2 --chmod=755 a b", ["COPY --chown=1:2 --chmod=755 a b # buildkit"]),
        ("COPY <<A b /x/\ntext\nA", ["COPY b <<A /x/ # buildkit"]),
        ("ADD a.tar /", ["ADD a.tar / # buildkit"]),
        ("WORKDIR /app", ["WORKDIR /app"]),
        ("WORKDIR app//x/../y", ["WORKDIR /app/y"]),
        ("WORKDIR /", ["~WORKDIR /"]),
        ("WORKDIR /a\nWORKDIR ../..", ["WORKDIR /a", "~WORKDIR /"]),
        ("WORKDIR /a\nWORKDIR \"\"", ["WORKDIR /a", "WORKDIR /a"]),
        ("ENV a=b c=\"d e\"", ["~ENV a=b c=d e"]),
        ("ARG a=1 b", ["~ARG a=1 b"]),
        ("LABEL a=b \"c d\"='e'", ["~LABEL a=b c d=e"]),
        ("CMD [\"./myapp\"]", ["~CMD [\"./myapp\"]"]),
        ("CMD [\"a\", \"b \\\"c\\\"\"]", ["~CMD [\"a\" \"b \\\"c\\\"\"]"]),
        ("CMD [\"\\t\\u0001\\u00e9\\u2028\\\\ \\u007f\"]", ["~CMD [\"\\t\\x01\u{e9}\\u2028\\\\ \\x7f\"]"]),
        ("CMD echo $HOME", ["~CMD [\"/bin/sh\" \"-c\" \"echo $HOME\"]"]),
        ("CMD []", ["~CMD []"]),
        ("ENTRYPOINT [\"a\"]", ["~ENTRYPOINT [\"a\"]"]),
        ("USER a:b", ["~USER a:b"]),
        ("EXPOSE 80 81/UDP", ["~EXPOSE [80/tcp 81/udp]"]),
        ("VOLUME /a /b", ["~VOLUME [/a /b]"]),
        ("VOLUME [\"/a b\"]", ["~VOLUME [/a b]"]),
        ("STOPSIGNAL SIGTERM", ["~STOPSIGNAL SIGTERM"]),
        ("MAINTAINER Some One <a@b>", ["~MAINTAINER Some One <a@b>"]),
        ("ONBUILD RUN x", []),
        (
            "HEALTHCHECK --interval=90s --timeout=1500ms --start-period=1h --retries=3 CMD curl x",
            [
                "~HEALTHCHECK {Test:[CMD-SHELL curl x] Interval:1m30s Timeout:1.5s StartPeriod:1h0m0s "
                    + "StartInterval:0s Retries:3}"
            ]
        ),
        (
            "HEALTHCHECK NONE",
            ["~HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}"]
        ),
    ])
    func entries(_ text: String, _ expected: [String]) async throws {
        let build = try await lowered("FROM scratch\n\(text)\n")
        #expect(build.ownHistory == expected)
        #expect(build.layerVertices.count == expected.filter { !$0.hasPrefix("~") }.count)
    }

    @Test func parentsComeFirst() async throws {
        let build = try await lowered(
            """
            FROM alpine AS a
            ENV A=1
            RUN a
            FROM alpine AS b
            RUN b
            FROM a
            COPY --from=b /x /
            """
        )
        #expect(
            build.ownHistory == ["~ENV A=1", "RUN /bin/sh -c a # buildkit", "COPY /x / # buildkit"]
        )
        #expect(build.layerVertices.count == 2)
    }

    /// Entries and layers of a base that do not match would give this build's entries to the wrong layers.
    @Test func historyOfTheBaseIsMadeToFit() async throws {
        let resolver = FakeResolver([
            "none:latest": image("x") { $0.history = [] },
            "more:latest": image("x") { $0.history += $0.history },
        ])
        for name in ["none", "more"] {
            let build = try await lowered("FROM \(name)\nRUN x", testRequest(), resolver)
            #expect(build.config.history.filter { !$0.emptyLayer }.count == 2, "\(name)")
            #expect(build.config.history.last?.createdBy == "RUN /bin/sh -c x # buildkit")
        }
    }

    @Test func historyHasALimit() async throws {
        let text = String(repeating: "a", count: 60_000)
        let file = "FROM scratch\nARG A=\(text)\n" + String(repeating: "LABEL a=$A$A$A$A$A$A$A$A\n", count: 100)
        let found = try #require(try await diagnostics(file))
        #expect(found.count == 1)
        #expect(found[0].contains("the history of this stage is larger than 16777216 bytes"))
    }
}
