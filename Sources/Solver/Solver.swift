// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Does the steps that targets need: each once, everything that can run at the same time, nothing that was done before.
///
/// A step is asked for in this order, and the first answer ends it:
/// 1. its definition key (no input is looked at, let alone made);
/// 2. the same operation on the identities of its inputs' results;
/// 3. its content key: the operation on what it really reads;
/// 4. execution.
public actor Solver<Op: SolverOp, Index: CacheIndex> where Index.Value == Op.Value {
    /// A step's definition key, and whether it may be looked up: not when the step or one below it must run anew.
    private struct DefinitionKey: Sendable {
        var key: CacheKey
        var isReusable: Bool
    }

    private let ops: [VertexID: Op]
    private let index: Index
    private let events: any SolverEventSink
    private let now: @Sendable () -> EventTime
    private var keys: [VertexID: Task<DefinitionKey, any Error>] = [:]
    private var values: [VertexID: Task<Op.Value, any Error>] = [:]
    private var announced: Set<VertexID> = []

    /// - Parameter ops: every step that the targets need, inputs included.
    public init(
        ops: [Op],
        index: Index,
        events: any SolverEventSink,
        now: @escaping @Sendable () -> EventTime
    ) {
        self.ops = Dictionary(ops.map { ($0.info.id, $0) }, uniquingKeysWith: { first, _ in first })
        self.index = index
        self.events = events
        self.now = now
    }

    /// The targets' results, in their order.
    ///
    /// When a step fails, or the task is cancelled, everything under way is cancelled and waited for before this throws.
    /// - Throws: the first failure, as `StepFailure`; or `CancellationError`.
    public func solve(_ targets: [VertexID]) async throws -> [Op.Value] {
        try await withTaskCancellationHandler {
            do {
                let results = try await results(of: targets)
                try Task.checkCancellation()
                return results
            } catch {
                await stop()
                throw error
            }
        } onCancel: {
            Task { await self.cancelAll() }
        }
    }

    private func cancelAll() {
        for task in keys.values { task.cancel() }
        for task in values.values { task.cancel() }
    }

    private func stop() async {
        cancelAll()
        // A task may start another one before it notices, so the tables are read again until nothing is new.
        var finished: Set<VertexID> = []
        while let next = values.first(where: { !finished.contains($0.key) }) {
            _ = await next.value.result
            finished.insert(next.key)
            cancelAll()
        }
        for task in keys.values { _ = await task.result }
    }

    /// Results of several steps at once; the first failure is thrown without waiting for the rest.
    private func results(of ids: [VertexID]) async throws -> [Op.Value] {
        if ids.count == 1 { return [try await valueTask(ids[0]).value] }
        return try await withThrowingTaskGroup(of: (Int, Op.Value).self) { group in
            for (position, id) in ids.enumerated() {
                let task = valueTask(id)
                group.addTask { (position, try await task.value) }
            }
            var results = [Op.Value?](repeating: nil, count: ids.count)
            for try await (position, value) in group { results[position] = value }
            return results.compactMap { $0 }
        }
    }

    private func op(_ id: VertexID) -> Op {
        guard let op = ops[id] else { preconditionFailure("the graph has no step \(id)") }
        return op
    }

    // MARK: Keys

    private func keyTask(_ id: VertexID) -> Task<DefinitionKey, any Error> {
        if let task = keys[id] { return task }
        let task = Task { try await self.definitionKey(op(id)) }
        keys[id] = task
        return task
    }

    private func definitionKey(_ op: Op) async throws -> DefinitionKey {
        var inputs: [CacheKey] = []
        var isReusable = !op.ignoresCache
        // All tasks are started before the first is waited for.
        for task in op.info.inputs.map(keyTask) {
            let input = try await task.value
            inputs.append(input.key)
            isReusable = isReusable && input.isReusable
        }
        return DefinitionKey(key: try await op.definitionKey(inputs: inputs), isReusable: isReusable)
    }

    // MARK: Values

    private func valueTask(_ id: VertexID) -> Task<Op.Value, any Error> {
        if let task = values[id] { return task }
        let task = Task { try await self.value(op(id)) }
        values[id] = task
        return task
    }

    private func value(_ op: Op) async throws -> Op.Value {
        do {
            if op.isSource { return try await op.execute(inputs: []) }
            let definition = try await keyTask(op.info.id).value
            if definition.isReusable, let hit = try await index.lookup(definition.key) {
                announceCached(op.info.id)
                return hit
            }
            let inputs = try await results(of: op.info.inputs)
            return try await valueFromInputs(op, definition.key, inputs)
        } catch let failure as StepFailure {
            throw failure
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            announceFailure(op, error)
            throw StepFailure(vertex: op.info, cause: error)
        }
    }

    /// A step can fail before it runs, while its key is computed; then nobody has heard of it yet.
    private func announceFailure(_ op: Op, _ error: any Error) {
        guard !op.isSource, !Task.isCancelled, announced.insert(op.info.id).inserted else { return }
        events.send(.started(op.info, at: now()))
        events.send(.completed(op.info.id, .failed(message: "\(error)"), at: now()))
    }

    private func valueFromInputs(_ op: Op, _ definition: CacheKey, _ inputs: [Op.Value]) async throws -> Op.Value {
        let identity = try await op.definitionKey(inputs: inputs.map(\.identity))
        var keys = [definition]
        if identity != definition { keys.append(identity) }
        if !op.ignoresCache, let hit = try await index.lookup(identity) {
            try await index.record(hit, keys: [definition])
            announceCached(op.info.id)
            return hit
        }
        if let content = try await op.contentKey(inputs: inputs) {
            keys.append(content)
            if !op.ignoresCache, let hit = try await index.lookup(content) {
                try await index.record(hit, keys: [definition, identity])
                announceCached(op.info.id)
                return hit
            }
        }
        try await op.prepare(inputs: inputs)
        try Task.checkCancellation()
        let value = try await execute(op, inputs)
        try await index.record(value, keys: keys)
        return value
    }

    private func execute(_ op: Op, _ inputs: [Op.Value]) async throws -> Op.Value {
        announced.insert(op.info.id)
        events.send(.started(op.info, at: now()))
        do {
            let value = try await op.execute(inputs: inputs)
            events.send(.completed(op.info.id, .succeeded, at: now()))
            return value
        } catch {
            let outcome: VertexOutcome =
                Task.isCancelled || error is CancellationError ? .cancelled : .failed(message: "\(error)")
            events.send(.completed(op.info.id, outcome, at: now()))
            throw Task.isCancelled ? CancellationError() : error
        }
    }

    /// Shows a step, and what only it needed, as found: inputs first.
    private func announceCached(_ id: VertexID) {
        var pending: [(VertexID, expanded: Bool)] = [(id, false)]
        while let (next, expanded) = pending.popLast() {
            let op = op(next)
            if op.isSource {
                op.announceUnused()
                continue
            }
            if expanded {
                events.send(.cached(op.info, at: now()))
                continue
            }
            guard announced.insert(next).inserted else { continue }
            pending.append((next, true))
            pending += op.info.inputs.reversed().map { ($0, false) }
        }
    }
}
