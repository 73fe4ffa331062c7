// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import BuildOps
import DockerfileFrontend
import DockerfileSyntax
import LinuxSystem
import Snapshots
import Solver

/// What every step of a plan came to.
struct SolvedSteps: Sendable {
    /// The steps that make a layer, inputs first.
    let order: [BuildVertex]
    let values: [VertexID: [SnapshotID]]

    /// The layer that the step itself made.
    func layer(_ id: VertexID) -> SnapshotID? { values[id]?.last }

    /// Of each build of the plan.
    func layers(of plan: BuildPlan) -> [[SnapshotID]] {
        plan.builds.map { build in build.result.flatMap { values[$0] } ?? [] }
    }
}

extension Engine {
    /// Does all steps that the plan's results need, and tells what each came to.
    func solveSteps<Index: CacheIndex>(
        _ plan: BuildPlan,
        _ environment: StepEnvironment,
        _ index: Index,
        _ events: StepEvents
    ) async throws -> SolvedSteps where Index.Value == StepValue {
        let results = plan.builds.compactMap(\.result)
        let vertices = plan.graph.reachable(from: results)
        let order = vertices.filter { vertex in
            switch vertex.op {
            case .exec, .file: true
            case .image, .local, .git, .http, .merge: false
            }
        }
        let targets = order.map(\.id) + results.filter { id in !order.contains { $0.id == id } }
        guard !targets.isEmpty else { return SolvedSteps(order: [], values: [:]) }
        let solver = Solver(
            ops: vertices.map { BuildStep($0, environment) },
            index: index,
            events: events.sink,
            now: StepEvents.now
        )
        do {
            var layers: [VertexID: [SnapshotID]] = [:]
            for (id, value) in zip(targets, try await solver.solve(targets)) { layers[id] = try await value.layers() }
            return SolvedSteps(order: order, values: layers)
        } catch let failure as StepFailure {
            let lines = plan.graph[failure.vertex.id]?.metadata.lines
            throw stepFailure(failure, in: plan.dockerfile, lines: lines, root: settings.root.description)
        }
    }
}
