// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import DockerfileSyntax
import Solver

/// What a request comes to: a lowered build for each target and platform, and all their steps as one graph.
struct BuildPlan {
    let dockerfile: Dockerfile
    /// In the order of the request's targets, and of each target of the platforms; at least one.
    let builds: [LoweredBuild]
    let graph: BuildGraph
    /// Each once.
    let warnings: [BuildWarning]

    init(dockerfile: Dockerfile, builds: [LoweredBuild], warnings found: [BuildWarning]) {
        self.dockerfile = dockerfile
        self.builds = builds
        var graph = BuildGraph()
        var warnings = found
        for build in builds {
            graph.formUnion(build.graph)
            for warning in build.warnings where !warnings.contains(warning) { warnings.append(warning) }
        }
        self.graph = graph
        self.warnings = warnings
    }

    /// The steps that nothing of the plan reads: the last of each build, and those whose layers it only puts together.
    var unreadSteps: Set<VertexID> {
        let targets = builds.compactMap(\.result)
        let vertices = graph.reachable(from: targets)
        var read: Set<VertexID> = []
        // Users come before what they use.
        for vertex in vertices.reversed() {
            if case .merge = vertex.op, !read.contains(vertex.id) { continue }
            read.formUnion(vertex.inputs)
        }
        return Set(vertices.map(\.id)).subtracting(read)
    }

    /// Some of the builds.
    func part(_ range: Range<Int>) -> BuildPlan {
        BuildPlan(dockerfile: dockerfile, builds: Array(builds[range]), warnings: [])
    }
}
