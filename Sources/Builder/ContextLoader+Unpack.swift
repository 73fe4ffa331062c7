// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import BuildOps
import Solver

extension ContextLoader {
    /// Unpacks an archive from the web, or finds what it was unpacked to: the same step that lowering asks for, which
    /// shows it.
    func unpack(_ file: BuildVertex, _ environment: StepEnvironment) async throws -> StepValue {
        let copy = FileCopy(
            input: 0,
            source: "/context",
            allowsWildcards: false,
            destination: "/",
            unpacksArchives: true,
            destinationIsDirectory: true
        )
        var graph = BuildGraph()
        let source = graph.add(file.op, metadata: file.metadata)
        let unpacked = graph.add(
            .file(FileOp(actions: [.copy(copy)], hasBase: false)),
            inputs: [source],
            metadata: .init(name: "copy /context /")
        )
        let solver = Solver(
            ops: graph.reachable(from: [unpacked]).map { BuildStep($0, environment) },
            index: store.cacheIndex,
            events: QuietStep(vertex: unpacked, sink: events.sink),
            now: StepEvents.now
        )
        do {
            return try await solver.solve([unpacked])[0]
        } catch let failure as StepFailure {
            throw failure.cause
        }
    }
}

/// Passes on what is not about one step.
private struct QuietStep: SolverEventSink {
    let vertex: VertexID
    let sink: any SolverEventSink

    func send(_ event: SolverEvent) {
        let subject: VertexID? =
            switch event {
            case .started(let info, _), .cached(let info, _): info.id
            case .completed(let id, _, _), .log(let id, _, _, _), .transfer(let id, _): id
            case .rebased(let id): id
            case .warning(let id, _): id
            case .reason(let id, _): id
            }
        if subject != vertex { sink.send(event) }
    }
}
