// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Does the steps that targets need: each once, everything that can run at the same time, nothing that was done before.
///
/// A step is asked for in this order, and the first answer ends it:
/// 1. its definition key (no input is looked at, let alone made);
/// 2. what the same operation made of inputs that it cannot tell from these: content is compared, and only now;
/// 3. what another process makes of the same definition at this moment;
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
    /// Announced while another process does them.
    private var waiting: Set<VertexID> = []
    /// How many steps may still ask for a step's result.
    private var openUsers: [VertexID: Int] = [:]
    /// Steps whose results do not belong to their keys, nor do those of what is above them.
    private var strays: Set<VertexID> = []
    /// Why nothing new is started any more.
    private var stopReason: (any Error)?

    /// - Parameter ops: the steps that the targets need, inputs included, and no others.
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
        for op in self.ops.values {
            for input in Set(op.info.inputs) { openUsers[input, default: 0] += 1 }
        }
    }

    /// The targets' results, in their order. Once a call threw, all others do.
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
                let reason = stop(error)
                for task in values.values { _ = await task.result }
                for task in keys.values { _ = await task.result }
                throw Task.isCancelled ? CancellationError() : reason
            }
        } onCancel: {
            Task { await self.stop(CancellationError()) }
        }
    }

    /// Cancels all that is under way; from now on no task is added. Returns the reason of the first call.
    @discardableResult
    private func stop(_ reason: any Error) -> any Error {
        if let stopReason { return stopReason }
        stopReason = reason
        for task in keys.values { task.cancel() }
        for task in values.values { task.cancel() }
        return reason
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
        if stopReason != nil { return Task { throw CancellationError() } }
        let task = Task { try await self.definitionKey(op(id)) }
        keys[id] = task
        return task
    }

    private func definitionKey(_ op: Op) async throws -> DefinitionKey {
        do {
            return try await definitionKeyFromInputs(op)
        } catch {
            throw failure(of: op, error)
        }
    }

    private func definitionKeyFromInputs(_ op: Op) async throws -> DefinitionKey {
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
        if stopReason != nil { return Task { throw CancellationError() } }
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
            if op.info.inputs.contains(where: strays.contains) { return try await strayValue(op, inputs) }
            if !op.ignoresCache, let hit = try await formerValue(op, definition.key, inputs) { return hit }
            return try await newValue(op, definition, inputs)
        } catch {
            throw failure(of: op, error)
        }
    }

    /// What a step throws to those that wait for it. The first failure stops everything else at once: who waits for
    /// several steps would notice it only when the last of them ends.
    private func failure(of op: Op, _ error: any Error) -> any Error {
        if error is StepFailure || error is CancellationError { return error }
        if Task.isCancelled { return CancellationError() }
        announceFailure(op, error)
        let failure = StepFailure(vertex: op.info, cause: error)
        stop(failure)
        return failure
    }

    /// A step can fail before it runs, while its key is computed; then nobody has heard of it yet.
    private func announceFailure(_ op: Op, _ error: any Error) {
        guard !op.isSource, announced.insert(op.info.id).inserted else { return }
        events.send(.started(op.info, at: now()))
        events.send(.completed(op.info.id, .failed(message: "\(error)"), at: now()))
    }

    /// What the operation made before, of inputs that it cannot tell from these; else what it made of others and would
    /// put on top of these just so.
    private func formerValue(_ op: Op, _ definition: CacheKey, _ inputs: [Op.Value]) async throws -> Op.Value? {
        var movable: Op.Value?
        for former in try await index.formerResults(of: op.operation) {
            let reuse = try await op.reuse(of: former.inputs, for: inputs)
            guard reuse == .unchanged || reuse == .rebased && movable == nil else { continue }
            guard let value = try await index.result(former) else { continue }
            if reuse == .unchanged {
                try await record(value, op, inputs, definition)
                announceCached(op.info.id)
                return value
            }
            movable = value
        }
        guard let movable else { return nil }
        let value = try await op.rebase(movable, onto: inputs)
        try await record(value, op, inputs, definition)
        events.send(.rebased(op.info.id))
        announceCached(op.info.id)
        return value
    }

    /// What is made of something else than the keys say: for this build only.
    private func strayValue(_ op: Op, _ inputs: [Op.Value]) async throws -> Op.Value {
        try await op.prepare(inputs: inputs)
        try Task.checkCancellation()
        strays.insert(op.info.id)
        return try await execute(op, inputs)
    }

    private func record(_ value: Op.Value, _ op: Op, _ inputs: [Op.Value], _ key: CacheKey) async throws {
        guard value.isReusable else {
            strays.insert(op.info.id)
            return
        }
        try await index.record(value, of: RecordedStep(op.info, operation: op.operation), inputs: inputs, key: key)
    }

    private func newValue(_ op: Op, _ definition: DefinitionKey, _ inputs: [Op.Value]) async throws -> Op.Value {
        try await op.prepare(inputs: inputs)
        try Task.checkCancellation()
        guard definition.isReusable else {
            // Whoever must not use a former result must not wait for one either.
            let value = try await execute(op, inputs)
            try await record(value, op, inputs, definition.key)
            return value
        }
        do {
            return try await index.withClaim(definition.key) {
                await self.announceWait(op)
            } _: {
                try await self.claimedValue(op, definition.key, inputs)
            }
        } catch {
            if waiting.remove(op.info.id) != nil { announceEnd(op, error) }
            throw error
        }
    }

    private func claimedValue(_ op: Op, _ key: CacheKey, _ inputs: [Op.Value]) async throws -> Op.Value {
        // Another process may have finished the step since it was looked for.
        if let hit = try await index.lookup(key) {
            announceFound(op)
            return hit
        }
        let value = try await execute(op, inputs)
        try await record(value, op, inputs, key)
        return value
    }

    private func execute(_ op: Op, _ inputs: [Op.Value]) async throws -> Op.Value {
        waiting.remove(op.info.id)
        if announced.insert(op.info.id).inserted { events.send(.started(op.info, at: now())) }
        do {
            let value = try await op.execute(inputs: inputs)
            events.send(.completed(op.info.id, .succeeded, at: now()))
            return value
        } catch {
            announceEnd(op, error)
            throw Task.isCancelled ? CancellationError() : error
        }
    }

    // MARK: Announcements

    private func announceEnd(_ op: Op, _ error: any Error) {
        let isCancelled = Task.isCancelled || error is CancellationError
        events.send(.completed(op.info.id, isCancelled ? .cancelled : .failed(message: "\(error)"), at: now()))
    }

    /// Somebody else is doing the step. That is shown as if it ran here.
    private func announceWait(_ op: Op) {
        announced.insert(op.info.id)
        waiting.insert(op.info.id)
        events.send(.started(op.info, at: now()))
        let text = "waiting for another build, which does the same step\n"
        events.send(.log(op.info.id, .standardError, Array(text.utf8), at: now()))
    }

    /// After a wait, the end of it.
    private func announceFound(_ op: Op) {
        if waiting.remove(op.info.id) != nil {
            events.send(.completed(op.info.id, .succeeded, at: now()))
        } else {
            announceCached(op.info.id)
        }
    }

    /// Shows a step, and what now nobody will ask for, as found: inputs first.
    private func announceCached(_ id: VertexID) {
        announced.insert(id)
        // A step is added when all its users are, so the reverse order shows inputs first.
        var found = [id]
        var next = 0
        while next < found.count {
            for input in Set(op(found[next]).info.inputs) {
                if op(input).isSource { op(input).announceUnused() }
                openUsers[input, default: 0] -= 1
                // One that was asked for announces itself; one that may still be asked for waits for its last user.
                guard values[input] == nil, openUsers[input] == 0, !op(input).isSource else { continue }
                if announced.insert(input).inserted { found.append(input) }
            }
            next += 1
        }
        for id in found.reversed() { events.send(.cached(op(id).info, at: now())) }
    }
}
