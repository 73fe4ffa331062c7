// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildDefinition
import BuildOps
import DockerfileFrontend
import OCI
import Solver

extension BuildRequest {
    /// The option that was given.
    fileprivate var reasonToIgnoreTheCache: String {
        if verifiesReproducibility { return "--verify-reproducible builds all steps" }
        return noCache == .all ? "--no-cache" : "--no-cache-filter names its stage"
    }
}

/// The steps of a build for one platform beside those of the builds before it.
struct PlaceComparison {
    /// A chain of found steps is followed so far.
    private static let deepest = 50

    private let inquiry: BuildInquiry
    private let place: PlannedPlace
    private let former: [VertexID: StepFacts]
    /// Why there is nothing to compare with; nil when there is.
    private let absence: StepReason?
    fileprivate let memo = ComparisonMemo()

    init(_ place: PlannedPlace, _ inquiry: BuildInquiry) throws {
        self.place = place
        self.inquiry = inquiry
        if let stages = try inquiry.history.stages(place.place) {
            former = place.matches(in: stages)
            absence = nil
        } else {
            former = [:]
            let others = try inquiry.history.platforms(place.place)
            absence =
                if let other = others.first {
                    StepReason(
                        .platformChanged,
                        "first build for \(place.place.platform); the last one was for \(other)"
                    )
                } else {
                    StepReason(.firstBuild, "first build of this Dockerfile with this context")
                }
        }
    }

    /// Why a step runs.
    func reason(of id: VertexID) -> StepReason? {
        guard let vertex = place.byID[id] else { return nil }
        if vertex.metadata.ignoresCache {
            return StepReason(.noCache, inquiry.request.reasonToIgnoreTheCache)
        }
        if let absence { return absence }
        guard let former = former[id] else { return StepReason(.instructionAdded, "a new instruction") }
        switch former.progress {
        case .failed: return StepReason(.neverSucceeded, "it failed the last time, and never succeeded")
        case .notReached: return StepReason(.neverSucceeded, "no build came this far before")
        case .done: break
        }
        return change(of: vertex, depth: 0) ?? unexplained(vertex, former)
    }

    private func unexplained(_ vertex: BuildVertex, _ former: StepFacts) -> StepReason {
        switch vertex.op {
        case .image: StepReason(.recordGone, "its layers are not in the store")
        case .git, .http: StepReason(.sourceChecked, "asked whether there is something new, and there is not")
        case .local, .exec, .file, .merge:
            StepReason(.recordGone, "nothing changed, but its former result is no longer in the store")
        }
    }

    /// What differs from the last time; nil when nothing does, or nothing is known.
    private func change(of vertex: BuildVertex, depth: Int) -> StepReason? {
        guard let former = former[vertex.id], former.progress == .done else { return nil }
        let now = inquiry.chronicle.observed { place.facts(vertex, $0) }
        return StepComparison.joined(
            StepComparison(former, now).reasons(Evidence(comparison: self, vertex: vertex, depth: depth))
        )
    }

    private struct Evidence: StepEvidence {
        let comparison: PlaceComparison
        let vertex: BuildVertex
        let depth: Int

        func outcome(of input: StepFacts.Input) -> InputOutcome {
            let (outcome, reason) = comparison.inquiry.chronicle.observed {
                ($0.outcomes[input.id], $0.reasons[input.id])
            }
            switch outcome {
            case .running, .succeeded, .failed, .cancelled: return .ran(reason)
            case .found, nil:
                guard depth < PlaceComparison.deepest, let vertex = comparison.place.byID[input.id] else {
                    return .unknown
                }
                return .found(
                    comparison.memo.change(input.id) { comparison.change(of: vertex, depth: depth + 1) }
                )
            }
        }

        func fileChanges(_ step: StepFacts, input: Int, since former: String, now: String) -> FileChanges? {
            guard vertex.inputs.indices.contains(input), let source = comparison.place.byID[vertex.inputs[input]],
                let directory = comparison.inquiry.directory(of: source),
                let new = comparison.manifest(of: source.id),
                let old = comparison.formerManifest(directory, former)
            else { return nil }
            return new.changes(
                since: old,
                ContextSelection(vertex.op, input: input),
                shown: StepComparison.shownLines
            )
        }
    }

    private func manifest(of id: VertexID) -> ContextManifest? {
        memo.manifest("now \(id)") {
            inquiry.chronicle.observed { $0.trees[id] }.map { ContextManifest($0) }
        }
    }

    private func formerManifest(_ directory: String, _ digest: String) -> ContextManifest? {
        memo.manifest("\(digest) \(directory)") {
            guard let digest = try? Digest("sha256:\(digest)"),
                let bytes = try? inquiry.history.manifest(directory, digest)
            else { return nil }
            return ContextManifest(decoding: bytes)
        }
    }
}

/// What was found already, for steps that read the same. Used by one thread at a time.
private final class ComparisonMemo {
    private var manifests: [String: ContextManifest?] = [:]
    private var changes: [VertexID: StepReason?] = [:]

    func manifest(_ key: String, _ make: () -> ContextManifest?) -> ContextManifest? {
        if let known = manifests[key] { return known }
        let value = make()
        manifests[key] = .some(value)
        return value
    }

    func change(_ id: VertexID, _ find: () -> StepReason?) -> StepReason? {
        if let known = changes[id] { return known }
        let value = find()
        changes[id] = .some(value)
        return value
    }
}
