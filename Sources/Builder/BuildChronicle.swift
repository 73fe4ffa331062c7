// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildDefinition
import BuildOps
import LinuxSystem
import OCI
import Solver
import Synchronization

/// Watches a build: says why each step runs that does, and writes down what was done for the next build to compare with.
///
/// Reasons are found beside the build, which never waits for them; only the news that a step has ended does, so that its
/// reason comes first. Whatever goes wrong here, the build goes on without reasons.
final class BuildChronicle: SolverEventSink, StepWitness {
    fileprivate struct State: Sendable {
        /// Of the plan; empty as long as there is none.
        var vertices: [VertexID: BuildVertex] = [:]
        var observations = StepObservations()
        /// Ends of steps whose reason is being looked for.
        var waiting: [VertexID: SolverEvent?] = [:]
        var isOver = false
    }

    private let sink: any SolverEventSink
    private let state = Mutex(State())
    private let questions: AsyncStream<VertexID>
    private let ask: AsyncStream<VertexID>.Continuation

    init(_ sink: any SolverEventSink) {
        self.sink = sink
        (questions, ask) = AsyncStream.makeStream()
    }

    /// The steps from now on are those of a plan.
    func begin(_ vertices: [BuildVertex]) {
        state.withLock { state in
            for vertex in vertices { state.vertices[vertex.id] = vertex }
        }
    }

    /// From now on no reasons are looked for.
    func finish() {
        state.withLock { $0.isOver = true }
        ask.finish()
    }

    /// What was seen so far.
    func observed<R: Sendable>(_ look: (StepObservations) -> R) -> R { state.withLock { look($0.observations) } }

    /// Answers until `finish`, then passes on whatever is held back.
    func answer(_ reason: @escaping @Sendable (VertexID) -> StepReason?) async {
        for await id in questions {
            let found = try? await blocking { reason(id) }
            if let found {
                state.withLock { $0.observations.reasons[id] = found }
                sink.send(.reason(id, found))
            }
            release(id)
        }
        finish()
        for id in state.withLock({ $0.waiting.keys.sorted() }) { release(id) }
    }

    private func release(_ id: VertexID) {
        let end = state.withLock { $0.waiting.removeValue(forKey: id) }
        if let end = end ?? nil { sink.send(end) }
    }

    // MARK: Events

    func send(_ event: SolverEvent) {
        switch event {
        case .started(let info, _):
            sink.send(event)
            let isAsked = state.withLock { state in
                guard let vertex = state.vertices[info.id] else { return false }
                state.observations.outcomes[info.id] = .running
                // What a remote source holds is known only when it was asked.
                return !state.isOver && !vertex.op.isRemote && state.ask(vertex)
            }
            if isAsked { ask.yield(info.id) }
        case .cached(let info, _):
            state.withLock { if $0.vertices[info.id] != nil { $0.observations.outcomes[info.id] = .found } }
            sink.send(event)
        case .completed(let id, let outcome, _):
            let (isHeld, isAsked) = state.withLock { state in
                guard let vertex = state.vertices[id] else { return (false, false) }
                state.observations.outcomes[id] = StepObservations.Outcome(outcome)
                let isAsked = !state.isOver && vertex.op.isRemote && state.ask(vertex)
                guard state.waiting[id] != nil else { return (false, false) }
                state.waiting[id] = .some(event)
                return (true, isAsked)
            }
            if isAsked { ask.yield(id) }
            if !isHeld { sink.send(event) }
        case .log, .transfer, .warning, .rebased, .reason:
            sink.send(event)
        }
    }

    // MARK: What steps read

    func scanned(_ id: VertexID, _ tree: ContextTree) {
        state.withLock { $0.observations.trees[id] = tree }
    }

    func resolved(_ id: VertexID, _ content: String) {
        state.withLock { $0.observations.contents[id] = content }
    }

    func willRun(_ id: VertexID, on inputs: [String]) {
        state.withLock { $0.observations.identities[id] = inputs }
    }
}

extension BuildChronicle.State {
    /// Notes that the vertex's reason is looked for; false for one that needs none, or has it.
    fileprivate mutating func ask(_ vertex: BuildVertex) -> Bool {
        if case .local = vertex.op { return false }
        guard waiting[vertex.id] == nil, observations.reasons[vertex.id] == nil else { return false }
        waiting[vertex.id] = .some(nil)
        return true
    }
}

extension BuildOp {
    fileprivate var isRemote: Bool {
        switch self {
        case .git, .http: true
        case .image, .local, .exec, .file, .merge: false
        }
    }
}

/// What was seen of a build so far.
struct StepObservations: Sendable {
    enum Outcome: Sendable {
        case running, found, succeeded, failed, cancelled

        init(_ outcome: VertexOutcome) {
            self =
                switch outcome {
                case .succeeded: .succeeded
                case .failed: .failed
                case .cancelled: .cancelled
                }
        }
    }

    var outcomes: [VertexID: Outcome] = [:]
    var reasons: [VertexID: StepReason] = [:]
    var trees: [VertexID: ContextTree] = [:]
    var contents: [VertexID: String] = [:]
    /// Of each step's inputs.
    var identities: [VertexID: [String]] = [:]

    /// What a source holds in this build.
    func content(of id: VertexID) -> String? { trees[id]?.digest.hex ?? contents[id] }
}
