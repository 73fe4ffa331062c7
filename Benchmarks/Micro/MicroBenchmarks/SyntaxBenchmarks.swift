// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import DockerfileSyntax
import OCI
import Solver

/// A chain of stages, as of the workload W10.
private func chain(_ stages: Int) -> String {
    (0..<stages).map { number in
        let before = number > 0 ? "COPY --from=s\(number - 1) /own /before\n" : ""
        return "FROM scratch AS s\(number)\nCOPY f\(number) /own\n" + before
    }.joined()
}

private struct NoImages: ImageResolver {
    struct NoImage: Error {}
    func resolveImage(_ reference: Reference, platform: Platform, layout: String?) async throws -> ResolvedImage {
        throw NoImage()
    }
}

let syntaxBenchmarks = [
    MicroBenchmark("parse", "a Dockerfile of 300 stages") {
        let text = Array(chain(300).utf8)
        return { _ = try Dockerfile(parsing: text) }
    },
    MicroBenchmark("lower", "300 stages to a graph of 600 steps") {
        let dockerfile = try Dockerfile(parsing: chain(300))
        return { _ = try await lower(dockerfile, LoweringRequest(), resolver: NoImages()) }
    },
    MicroBenchmark("keys", "identities of 1,000 steps in a chain") {
        {
            var graph = BuildGraph()
            var last: [VertexID] = []
            for number in 0..<1000 {
                let op = ExecOp(
                    arguments: ["/bin/sh", "-c", "echo \(number) > /f\(number)"],
                    environment: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                    workingDirectory: "/",
                    user: "",
                    emptyRoot: last.isEmpty
                )
                last = [graph.add(.exec(op), inputs: last, metadata: .init(name: "step"))]
            }
        }
    },
]
