// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildDefinition
import OCI
import Solver

/// The steps of a build for one platform, and what they are compared with.
struct PlannedPlace: Sendable {
    let place: BuildPlace
    /// Inputs first.
    let vertices: [BuildVertex]
    let byID: [VertexID: BuildVertex]

    init(place: BuildPlace, vertices: [BuildVertex]) {
        self.place = place
        self.vertices = vertices
        byID = Dictionary(vertices.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The steps and what their sources held.
    func fingerprint(_ observations: StepObservations) -> Digest {
        var hasher = Digest.Hasher()
        for vertex in vertices {
            hasher.update(vertex.id.digest.bytes)
            if let content = observations.content(of: vertex.id) { hasher.update(content) }
        }
        return hasher.finalize()
    }

    /// All that is known of a step in this build.
    func facts(_ vertex: BuildVertex, _ observations: StepObservations) -> StepFacts {
        var facts = StepFacts(vertex, inputs: vertex.inputs.compactMap { byID[$0] })
        facts.content = facts.content ?? observations.content(of: vertex.id)
        let identities = observations.identities[vertex.id]
        for index in facts.inputs.indices {
            let input = facts.inputs[index]
            facts.inputs[index].content = input.content ?? observations.content(of: input.id)
            if let identities, identities.count == facts.inputs.count {
                facts.inputs[index].identity = identities[index]
            }
        }
        return facts
    }

    /// Stages in the order in which their first steps stand.
    var stages: [(name: String, steps: [BuildVertex])] {
        var names: [String] = []
        var steps: [String: [BuildVertex]] = [:]
        for vertex in vertices {
            let name = vertex.metadata.stage ?? ""
            if steps[name] == nil { names.append(name) }
            steps[name, default: []].append(vertex)
        }
        return names.map { ($0, steps[$0] ?? []) }
    }

    /// The former steps that stand for those of this build.
    func matches(in kept: [StageFacts]) -> [VertexID: StepFacts] {
        let stages = stages
        var free = Dictionary(kept.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let named = stages.map { free.removeValue(forKey: $0.name) }
        var result: [VertexID: StepFacts] = [:]
        for ((_, steps), known) in zip(stages, named) {
            let labels = steps.map(StepLabel.init)
            guard let former = known ?? Self.mostAlike(labels, &free) else { continue }
            let positions = alignSteps(former.steps.map(StepLabel.init), with: labels)
            for (vertex, position) in zip(steps, positions) {
                if let position { result[vertex.id] = former.steps[position] }
            }
        }
        // The very same step may have been another stage's.
        let exact = Dictionary(kept.flatMap(\.steps).map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        for vertex in vertices where result[vertex.id]?.id != vertex.id {
            if let same = exact[vertex.id], same.progress == .done || result[vertex.id] == nil {
                result[vertex.id] = same
            }
        }
        return result
    }

    /// A stage that was given another name: the one that has most of the instructions.
    private static func mostAlike(_ labels: [StepLabel], _ free: inout [String: StageFacts]) -> StageFacts? {
        let wanted = Set(labels)
        let counts = free.values.map { stage in
            (stage, stage.steps.count { wanted.contains(StepLabel($0)) })
        }
        guard let best = counts.max(by: { ($0.1, $1.0.name) < ($1.1, $0.0.name) }), best.1 > 0 else { return nil }
        return free.removeValue(forKey: best.0.name)
    }

    // MARK: Recording

    /// The steps that are shown of a build.
    func records(_ observations: StepObservations) -> [StepRecord] {
        let done = done(observations)
        return vertices.compactMap { vertex in
            let reason = observations.reasons[vertex.id]
            guard vertex.metadata.stage != nil || reason != nil else { return nil }
            let outcome: StepRecord.Outcome =
                switch observations.outcomes[vertex.id] {
                case .found: .found
                case .succeeded: .ran
                case .failed: .failed
                case .cancelled, .running: .cancelled
                case nil: done.contains(vertex.id) ? .found : .notReached
                }
            return StepRecord(
                name: StepFacts.name(of: vertex),
                stage: vertex.metadata.stage ?? "",
                outcome: outcome,
                reason: reason
            )
        }
    }

    /// What succeeded or was found, also without a word, because what uses it was found.
    private func done(_ observations: StepObservations) -> Set<VertexID> {
        var done: Set<VertexID> = []
        for vertex in vertices.reversed() {
            switch observations.outcomes[vertex.id] {
            case .found, .succeeded: done.insert(vertex.id)
            case .failed, .cancelled, .running: continue
            case nil: if !done.contains(vertex.id) { continue }
            }
            for input in vertex.inputs where observations.outcomes[input] == nil { done.insert(input) }
        }
        return done
    }

    /// What is kept of all stages after this build: of each step what it was when it was last done.
    func merged(into kept: [StageFacts], _ observations: StepObservations, now: Int64) -> [StageFacts] {
        let matches = matches(in: kept)
        let done = done(observations)
        let current = stages.map { name, steps in
            StageFacts(
                name: name,
                updated: now,
                steps: steps.map { vertex in
                    let former = matches[vertex.id]
                    if !done.contains(vertex.id), let former, former.progress == .done { return former }
                    var facts = facts(vertex, observations)
                    if !done.contains(vertex.id) {
                        let isFailed = observations.outcomes[vertex.id] == .failed
                        facts.progress = isFailed || former?.progress == .failed ? .failed : .notReached
                    } else if let former, former.progress == .done {
                        facts.fillIn(from: former)
                    }
                    return facts
                }
            )
        }
        let names = Set(current.map(\.name))
        return current + kept.filter { !names.contains($0.name) }
    }
}

extension StepFacts {
    /// What a build that found the step had no need to ask.
    fileprivate mutating func fillIn(from former: StepFacts) {
        guard former.inputs.map(\.id) == inputs.map(\.id) else { return }
        for index in inputs.indices {
            inputs[index].content = inputs[index].content ?? former.inputs[index].content
            inputs[index].identity = inputs[index].identity ?? former.inputs[index].identity
        }
        content = content ?? former.content
    }
}

extension StepLabel {
    init(_ vertex: BuildVertex) {
        self.init(.init(vertex.op), StepFacts.instruction(of: vertex))
    }

    init(_ facts: StepFacts) { self.init(facts.kind, facts.instruction) }
}
