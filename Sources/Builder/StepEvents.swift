// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import OCI
import Solver

/// Steps of a build that are no vertices of its graph: reading the Dockerfile, resolving names, exporting.
struct StepEvents: Sendable {
    let sink: any SolverEventSink

    static let now: @Sendable () -> EventTime = {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return EventTime(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    /// Shows `body` as a step called `name`.
    func step<R>(_ name: String, _ body: (VertexID) async throws -> R) async throws -> R {
        let info = VertexInfo(id: VertexID(Digest.sha256("step \(name)")), name: name)
        return try await step(info, body)
    }

    func step<R>(_ info: VertexInfo, _ body: (VertexID) async throws -> R) async throws -> R {
        sink.send(.started(info, at: Self.now()))
        do {
            let result = try await body(info.id)
            sink.send(.completed(info.id, .succeeded, at: Self.now()))
            return result
        } catch {
            let outcome: VertexOutcome =
                error is CancellationError || Task.isCancelled ? .cancelled : .failed(message: "\(error)")
            sink.send(.completed(info.id, outcome, at: Self.now()))
            throw error
        }
    }

    /// A counter shown below a step.
    func transfer(_ vertex: VertexID, _ name: String, total: Int64?) -> TransferProgress {
        let progress = TransferProgress(name: name, total: total, started: Self.now())
        sink.send(.transfer(vertex, progress))
        return progress
    }
}
