// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import DockerfileSyntax
import OCI
import Solver
import Testing

@Suite struct IdentityTests {
    /// Which steps get another identity when a line changes.
    @Test(arguments: [
        ("CMD [\"./myapp\"]", "CMD [\"./other\"]", []),
        ("CMD [\"./myapp\"]", "LABEL a=b\nEXPOSE 80\nENTRYPOINT x\nHEALTHCHECK NONE\n# comment", []),
        ("AS builder\n", "AS builder\n# a comment\n\n", []),
        ("RUN go build -o myapp main.go", "RUN go build -o myapp x.go", ["RUN", "COPY --from"]),
        ("RUN go", "ENV A=1\nRUN go", ["RUN", "COPY --from"]),
        ("RUN go", "USER 7\nRUN go", ["RUN", "COPY --from"]),
        ("WORKDIR /root/", "WORKDIR /srv", ["WORKDIR", "COPY --from"]),
        ("FROM alpine:latest", "FROM debian:bookworm-slim", ["FROM", "WORKDIR", "COPY --from"]),
        ("/app/myapp .", "/app/myapp ./", []),
        ("/app/myapp .", "/app/myapp x", ["COPY --from"]),
        ("COPY --from", "COPY --chmod=700 --from", ["COPY --chmod"]),
        ("builder", "kitchen", []),
    ])
    func aChangeReachesOnlyWhatDependsOnIt(_ old: String, _ new: String, _ changed: [String]) async throws {
        let before = try await lowered(StageGraphTests.twoStages)
        let text = StageGraphTests.twoStages.split(separator: old, omittingEmptySubsequences: false)
        let after = try await lowered(text.joined(separator: new))
        let known = Set(before.graph.order)
        let names = after.vertices.filter { !known.contains($0.id) }.map(\.metadata.name)
        #expect(names.count == changed.count, "\(names)")
        for (name, expected) in zip(names, changed) { #expect(name.contains("] " + expected)) }
    }

    @Test func loweringTwiceGivesTheSame() async throws {
        let (a, b) = (try await lowered(StageGraphTests.twoStages), try await lowered(StageGraphTests.twoStages))
        #expect(a.graph.order == b.graph.order)
        #expect(a.config.encoded() == b.config.encoded())
    }

    @Test(arguments: [
        testRequest { $0.extraHosts = [.init(name: "h", address: "5.6.7.8")] },
        testRequest {
            $0.extraHosts = [.init(name: "h", address: "1.2.3.4")]
            $0.ulimits = [.init(name: "nofile", soft: 1, hard: 1)]
        },
        testRequest {
            $0.extraHosts = [.init(name: "h", address: "1.2.3.4")]
            $0.sharedMemorySize = 7
        },
        testRequest {
            $0.extraHosts = [.init(name: "h", address: "1.2.3.4")]
            $0.buildArguments = ["https_proxy": "p"]
        },
        testRequest {
            $0.extraHosts = [.init(name: "h", address: "1.2.3.4")]
            $0.labels = [.init(key: "a", value: "b")]
            $0.noCache = .all
        },
    ])
    func settingsThatChangeNoResultKeepTheCache(_ request: LoweringRequest) async throws {
        let plain = testRequest { $0.extraHosts = [.init(name: "h", address: "1.2.3.4")] }
        let text = "FROM alpine\nRUN x"
        #expect(
            try await lowered(text, request).vertices.map(\.op.cacheBytes)
                == lowered(text, plain).vertices.map(\.op.cacheBytes)
        )
    }

    @Test func longFilesAreLoweredQuickly() async throws {
        var lines = ["FROM alpine AS s0"]
        for index in 1...500 {
            lines += ["FROM s\(index - 1) AS s\(index)", "ENV E\(index)=\(index)", "RUN x\(index)"]
        }
        let build = try await lowered(lines.joined(separator: "\n"))
        #expect(build.layerVertices.count == 500)
        #expect(build.config.env.count == 501)
        let labels = (1...5000).map { "LABEL l\($0)=1\nENV e\($0)=1\n" }.joined()
        let wide = try await lowered("FROM scratch\n\(labels)")
        #expect(wide.config.labels.count == 5000)
        #expect(wide.config.history.count == 10_000)
    }
}
