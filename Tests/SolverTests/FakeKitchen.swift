// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
import Solver
import Synchronization

/// What happened, in order, whoever did it.
final class Journal: SolverEventSink {
    private let lines = Mutex<[String]>([])
    private let names = Mutex<[VertexID: String]>([:])

    var all: [String] { lines.withLock { $0 } }
    func add(_ line: String) { lines.withLock { $0.append(line) } }
    func count(_ prefix: String) -> Int { all.count { $0.hasPrefix(prefix) } }

    func send(_ event: SolverEvent) {
        switch event {
        case .started(let info, _):
            names.withLock { $0[info.id] = info.name }
            add("started \(info.name)")
        case .cached(let info, _): add("cached \(info.name)")
        case .completed(let id, let outcome, _):
            let name = names.withLock { $0[id] } ?? "?"
            switch outcome {
            case .succeeded: add("succeeded \(name)")
            case .cancelled: add("cancelled \(name)")
            case .failed: add("failed \(name)")
            }
        case .rebased(let id): add("rebased \(names.withLock { $0[id] } ?? "?")")
        default: break
        }
    }

    /// The steps that were announced, in order.
    var announced: [String] {
        all.filter { $0.hasPrefix("started ") || $0.hasPrefix("cached ") }
            .compactMap { $0.split(separator: " ").last.map(String.init) }
    }
}

struct FakeValue: SolverValue {
    var text: String
    var isReusable = true

    init(_ text: String, isReusable: Bool = true) {
        self.text = text
        self.isReusable = isReusable
    }
}

/// A step whose deeds are told by its parameters.
struct FakeOp: SolverOp {
    var info: VertexInfo
    var isSource = false
    var ignoresCache = false
    var journal: Journal
    /// What a change of the source or of the command changes.
    var revision = ""
    /// What of its inputs the step can tell apart; all of them unless told otherwise.
    var reads: @Sendable ([FakeValue]) -> String = { "\($0.map(\.text))" }
    /// What a step makes lies on its inputs, and is the same on any.
    var canRebase = false
    /// Text of the result; nil for one made of the name.
    var result: String?
    var isReusable = true
    var body: @Sendable () async throws -> Void = {}
    var keyBody: @Sendable () async throws -> Void = {}

    func definitionKey(inputs: [CacheKey]) async throws -> CacheKey {
        journal.add("key \(info.name)")
        try await keyBody()
        return CacheKey(.sha256("\(info.name) \(revision) \(inputs)"))
    }

    var operation: CacheKey { CacheKey(.sha256("\(info.name) \(revision)")) }

    func reuse(of former: [FakeValue], for inputs: [FakeValue]) async throws -> Reuse {
        journal.add("compare \(info.name)")
        return reads(former) == reads(inputs) ? .unchanged : canRebase ? .rebased : .none
    }

    func rebase(_ value: FakeValue, onto inputs: [FakeValue]) async throws -> FakeValue {
        FakeValue("\(value.text) on \(inputs.map(\.text))")
    }

    func prepare(inputs: [FakeValue]) async throws {}

    func execute(inputs: [FakeValue]) async throws -> FakeValue {
        journal.add("execute \(info.name)")
        try await body()
        return FakeValue(result ?? "result of \(info.name) \(revision)", isReusable: isReusable)
    }

    func announceUnused() { journal.add("unused \(info.name)") }
}

final class FakeIndex: CacheIndex {
    private struct Origin {
        var inputs: [FakeValue]
        var result: FakeValue
    }

    private struct Origins {
        var all: [Origin] = []
        var numbers: [Digest: Int] = [:]
        var positions: [CacheKey: [Int]] = [:]
    }

    private let records = Mutex<[CacheKey: FakeValue]>([:])
    private let origins = Mutex(Origins())
    private let lookups = Mutex<Int>(0)
    private let claims = Mutex<Set<CacheKey>>([])
    private let waits = Mutex<Int>(0)

    var count: Int { lookups.withLock { $0 } }
    /// How often a claim was waited for.
    var waitCount: Int { waits.withLock { $0 } }

    func lookup(_ key: CacheKey) async throws -> FakeValue? {
        lookups.withLock { $0 += 1 }
        return records.withLock { $0[key] }
    }

    func record(_ value: FakeValue, of step: RecordedStep, inputs: [FakeValue], key: CacheKey) async throws {
        records.withLock { $0[key] = value }
        origins.withLock { origins in
            origins.positions[step.operation, default: []].append(origins.all.count)
            origins.numbers[.sha256("\(origins.all.count)")] = origins.all.count
            origins.all.append(Origin(inputs: inputs, result: value))
        }
    }

    func formerResults(of operation: CacheKey) async throws -> [FormerResult<FakeValue>] {
        origins.withLock { origins in
            (origins.positions[operation] ?? []).reversed().map {
                FormerResult(result: .sha256("\($0)"), inputs: origins.all[$0].inputs)
            }
        }
    }

    func result(_ former: FormerResult<FakeValue>) async throws -> FakeValue? {
        origins.withLock { origins in origins.numbers[former.result].map { origins.all[$0].result } }
    }

    func withClaim<R: Sendable>(
        _ key: CacheKey,
        waiting: @Sendable () async -> Void,
        _ body: @Sendable () async throws -> R
    ) async throws -> R {
        var isTold = false
        while !claims.withLock({ $0.insert(key).inserted }) {
            if !isTold {
                isTold = true
                await waiting()
                waits.withLock { $0 += 1 }
            }
            try Task.checkCancellation()
            await Task.yield()
        }
        defer { _ = claims.withLock { $0.remove(key) } }
        return try await body()
    }

    /// Forgets a step's result, whichever way it is found.
    func forget(_ key: CacheKey, _ name: String) {
        records.withLock { $0[key] = nil }
        let operation = CacheKey(.sha256("\(name) "))
        origins.withLock { $0.positions[operation] = nil }
    }
}

/// Steps by name, over one cache that outlives a solve.
final class FakeKitchen {
    let index: FakeIndex
    private(set) var journal = Journal()
    private var ops: [FakeOp] = []

    init(index: FakeIndex = FakeIndex()) { self.index = index }

    static func id(_ name: String) -> VertexID { VertexID(.sha256(name)) }

    /// A new build: the cache stays.
    func clear() {
        ops = []
        journal = Journal()
    }

    func add(_ name: String, _ inputs: [String] = [], _ change: (inout FakeOp) -> Void = { _ in }) {
        let info = VertexInfo(id: Self.id(name), name: name, inputs: inputs.map(Self.id))
        var op = FakeOp(info: info, isSource: inputs.isEmpty, journal: journal)
        change(&op)
        ops.append(op)
    }

    func solver() -> Solver<FakeOp, FakeIndex> {
        Solver(ops: ops, index: index, events: journal, now: { EventTime(nanoseconds: 0) })
    }

    @discardableResult
    func solve(_ targets: String...) async throws -> [FakeValue] {
        try await solver().solve(targets.map(Self.id))
    }

    var executed: Set<String> {
        Set(journal.all.filter { $0.hasPrefix("execute ") }.map { String($0.dropFirst("execute ".count)) })
    }
}

/// Opens when `count` have arrived; a wait that is cancelled throws.
final class Barrier: Sendable {
    private struct State: Sendable {
        var missing: Int
        var waiting: [CheckedContinuation<Void, Never>] = []

        mutating func drain() -> [CheckedContinuation<Void, Never>] {
            defer { waiting = [] }
            return waiting
        }
    }
    private let state: Mutex<State>

    init(_ count: Int) { state = Mutex(State(missing: count)) }

    func arrive() async throws {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let open = state.withLock { state in
                    state.missing -= 1
                    if state.missing <= 0 || Task.isCancelled { return state.drain() + [continuation] }
                    state.waiting.append(continuation)
                    return []
                }
                open.forEach { $0.resume() }
            }
        } onCancel: {
            state.withLock { $0.drain() }.forEach { $0.resume() }
        }
        try Task.checkCancellation()
    }
}
