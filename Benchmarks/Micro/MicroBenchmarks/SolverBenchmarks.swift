// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
import Solver
import Synchronization

private struct Number: SolverValue { var value: Int }

/// A step that does nothing, whose key is its own and its inputs'.
private struct EmptyOp: SolverOp {
    let info: VertexInfo
    let isSource: Bool
    let operation: CacheKey
    var ignoresCache: Bool { false }

    func definitionKey(inputs: [CacheKey]) async throws -> CacheKey {
        var hasher = Digest.Hasher()
        hasher.update(operation.digest.bytes)
        for input in inputs { hasher.update(input.digest.bytes) }
        return CacheKey(hasher.finalize())
    }

    func reuse(of former: [Number], for inputs: [Number]) async throws -> Reuse { .none }
    func rebase(_ value: Number, onto inputs: [Number]) async throws -> Number { value }
    func execute(inputs: [Number]) async throws -> Number { Number(value: inputs.count) }
    func announceUnused() {}
}

private final class Memory: CacheIndex {
    private let records = Mutex([CacheKey: Number]())

    func lookup(_ key: CacheKey) async throws -> Number? { records.withLock { $0[key] } }
    func record(_ value: Number, of step: RecordedStep, inputs: [Number], key: CacheKey) async throws {
        records.withLock { $0[key] = value }
    }
    func formerResults(of operation: CacheKey) async throws -> [FormerResult<Number>] { [] }
    func result(_ former: FormerResult<Number>) async throws -> Number? { nil }
    func withClaim<R: Sendable>(
        _ key: CacheKey,
        waiting: @Sendable () async -> Void,
        _ body: @Sendable () async throws -> R
    ) async throws -> R {
        try await body()
    }
}

private struct Silence: SolverEventSink { func send(_ event: SolverEvent) {} }

/// 1,000 steps: ten chains of a source and 98 steps each, and ten that bring them together.
private func ops() -> ([EmptyOp], target: VertexID) {
    var ops: [EmptyOp] = []
    func add(_ name: String, _ inputs: [VertexID]) -> VertexID {
        let digest = Digest.sha256(name)
        let info = VertexInfo(id: VertexID(digest), name: name, inputs: inputs)
        ops.append(EmptyOp(info: info, isSource: inputs.isEmpty, operation: CacheKey(digest)))
        return info.id
    }
    let ends = (0..<10).map { chain in
        (0..<98).reduce(add("source \(chain)", [])) { below, step in add("\(chain).\(step)", [below]) }
    }
    let target = (0..<10).reduce(ends[0]) { below, step in add("join \(step)", [below] + ends) }
    return (ops, target)
}

private func solver(_ memory: Memory) -> (Solver<EmptyOp, Memory>, VertexID) {
    let (ops, target) = ops()
    return (Solver(ops: ops, index: memory, events: Silence(), now: { EventTime(nanoseconds: 0) }), target)
}

let solverBenchmarks = [
    MicroBenchmark("schedule", "1,000 steps, none known") {
        let (solver, target) = solver(Memory())
        return { _ = try await solver.solve([target]) }
    },
    MicroBenchmark("schedule-known", "1,000 steps, all known") {
        let memory = Memory()
        let (first, target) = solver(memory)
        _ = try await first.solve([target])
        let (second, _) = solver(memory)
        return { _ = try await second.solve([target]) }
    },
]
