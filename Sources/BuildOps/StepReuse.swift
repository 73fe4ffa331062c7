// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import LinuxSystem
import OCI
import Snapshots
import Solver

/// Tells whether a step would make of its inputs what it made of former ones, by comparing what it reads of both: cheap
/// comparisons first, content last.
struct StepReuse {
    private let vertex: BuildVertex
    private let environment: StepEnvironment
    private let own: OwnDigests

    /// What is computed once of the inputs that a build has, and compared with that of each of the former ones.
    struct OwnDigests: Sendable {
        let content = OnceTask<Digest?>()
        let footprint = OnceTask<Digest?>()
    }

    /// - Parameter own: to be used for one list of inputs.
    init(_ vertex: BuildVertex, _ environment: StepEnvironment, _ own: OwnDigests) {
        self.vertex = vertex
        self.environment = environment
        self.own = own
    }

    func reuse(of former: [StepValue], for inputs: [StepValue]) async throws -> Reuse {
        guard former.count == inputs.count else { return .none }
        let verdict = try await comparison(of: former, with: inputs)
        // What is being pruned can look like something else for a moment: it is off the books before its first file goes.
        guard verdict != .none, try await areThere(former) else { return .none }
        return verdict
    }

    private func comparison(of former: [StepValue], with inputs: [StepValue]) async throws -> Reuse {
        switch vertex.op {
        case .exec(let op):
            let step = ExecStep(op, vertex.info, environment)
            let others = op.emptyRoot ? 0 : 1
            if !haveSameNames(former.dropFirst(others), inputs.dropFirst(others)) {
                let mine = try await own.content.value { try await step.contentDigest(inputs) }
                guard try await areEqual(mine, step.contentDigest(former)) else { return .none }
            }
            if op.emptyRoot { return .unchanged }
            return try await isSame(former[0], inputs[0]) ? .unchanged : .none
        case .file(let op):
            let step = FileStep(op, environment)
            let others = op.hasBase ? 1 : 0
            if !haveSameNames(former.dropFirst(others), inputs.dropFirst(others)) {
                let mine = try await own.content.value { try await step.contentDigest(inputs) }
                guard try await areEqual(mine, step.contentDigest(former)) else { return .none }
            }
            if !op.hasBase { return .unchanged }
            if try await isSame(former[0], inputs[0]) { return .unchanged }
            let copy = CopyFootprint(op, environment)
            let mine = try await own.footprint.value { try await copy.digest(inputs) }
            return try await areEqual(mine, mine == nil ? nil : copy.digest(of: former[0], inputs)) ? .rebased : .none
        case .merge:
            for (one, other) in zip(former, inputs).dropFirst() where try await !isSame(one, other) { return .none }
            guard let one = former.first, let other = inputs.first else { return .unchanged }
            return try await isSame(one, other) ? .unchanged : .rebased
        case .image, .local, .git, .http:
            return .none
        }
    }

    private func areThere(_ former: [StepValue]) async throws -> Bool {
        let layers = former.flatMap { $0.stack.parts.flatMap(\.present) }
        let snapshotter = environment.snapshotter
        return try await blocking { try snapshotter.contains(layers) }
    }

    private func haveSameNames(_ a: ArraySlice<StepValue>, _ b: ArraySlice<StepValue>) -> Bool {
        a.map(\.name) == b.map(\.name)
    }

    private func areEqual(_ a: Digest?, _ b: Digest?) -> Bool { a != nil && a == b }

    /// Whether two trees are the same, times aside: from the same source, with layers of the same content on top.
    private func isSame(_ former: StepValue, _ value: StepValue) async throws -> Bool {
        if former.name == value.name { return true }
        guard case .tree(let one) = former.content, case .tree(let other) = value.content else { return false }
        guard one.parts.count == other.parts.count else { return false }
        var layers: [(SnapshotID, SnapshotID)] = []
        for pair in zip(one.parts, other.parts) {
            switch pair {
            case (.source(let a), .source(let b)):
                guard a.key == b.key else { return false }
            case (.layer(let a), .layer(let b)):
                if a != b { layers.append((a, b)) }
            default: return false
            }
        }
        let snapshotter = environment.snapshotter
        return try await cancellableBlocking { [layers] cancellation in
            try layers.allSatisfy {
                try snapshotter.haveEqualContent($0.0, $0.1, checkCancellation: cancellation.check)
            }
        }
    }
}
