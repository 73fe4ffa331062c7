// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import OCI
import Testing

@Suite struct BuildGraphTests {
    private func local(_ name: String) -> BuildOp { .local(LocalOp(name: name)) }
    private func run(_ text: String) -> BuildOp {
        .exec(ExecOp(arguments: [text], environment: [], workingDirectory: "/", user: ""))
    }

    @Test func equalStepsAreOne() {
        var graph = BuildGraph()
        let first = graph.add(local("a"), metadata: .init(name: "first", lines: 1...1))
        let second = graph.add(local("a"), metadata: .init(name: "second", lines: 2...2))
        #expect(first == second)
        #expect(graph.order == [first])
        #expect(graph[first]?.metadata.name == "first")
    }

    @Test func ignoringTheCacheIsContagious() {
        var graph = BuildGraph()
        let id = graph.add(local("a"), metadata: .init(name: "a"))
        _ = graph.add(local("a"), metadata: .init(name: "a", ignoresCache: true))
        #expect(graph[id]?.metadata.ignoresCache == true)
        _ = graph.add(local("a"), metadata: .init(name: "a"))
        #expect(graph[id]?.metadata.ignoresCache == true)
    }

    @Test func reachableStepsComeInputsFirst() {
        var graph = BuildGraph()
        let a = graph.add(local("a"), metadata: .init(name: "a"))
        let unused = graph.add(local("unused"), metadata: .init(name: "unused"))
        let b = graph.add(run("b"), inputs: [a], metadata: .init(name: "b"))
        let c = graph.add(run("c"), inputs: [b, a, a], metadata: .init(name: "c"))
        #expect(graph.reachable(from: [c]).map(\.id) == [a, b, c])
        #expect(graph.reachable(from: [b, unused]).map(\.id) == [a, unused, b])
        #expect(graph.reachable(from: []).isEmpty)
        #expect(graph[c]?.inputs == [b, a, a])
    }

    @Test func aDeepGraphIsNoProblem() {
        var graph = BuildGraph()
        var tip = graph.add(local("root"), metadata: .init(name: "root"))
        for step in 0..<20_000 { tip = graph.add(run("\(step)"), inputs: [tip], metadata: .init(name: "\(step)")) }
        #expect(graph.reachable(from: [tip]).count == 20_001)
    }
}
