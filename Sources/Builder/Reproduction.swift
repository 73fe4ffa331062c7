// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import BuildOps
import Exporters
import LinuxSystem
public import OCI
import Snapshots
import Solver

/// What two builds of one request both came to.
public struct ReproducedResult: Hashable, Sendable {
    /// The image's id, or where no output is an image what identifies all its layers.
    public var digest: Digest
    public var isImage: Bool
}

/// `--verify-reproducible`: does every step twice and compares what came out.
///
/// The first build is as any without cache: its steps are remembered, and it goes to the outputs if the second is the same.
/// The second has nothing of the first: no records, no file digests, and empty cache mounts, so that what a command takes
/// from a cache mount counts as a difference. Base images, secrets and what remote sources brought are inputs and the same
/// for both; local contexts are read again. Nothing of the second stays.
extension Engine {
    /// The layers of each build of the plan, as `solve` returns them.
    func solveTwice(
        _ plan: BuildPlan,
        _ environment: StepEnvironment,
        _ outputs: BuildOutputs,
        _ events: StepEvents
    ) async throws -> (layers: [[SnapshotID]], result: ReproducedResult) {
        let first = try await solveSteps(plan, environment, store.cacheIndex, events)
        let repetition = try await blocking { [store] in try Repetition(store) }
        let result: Result<ReproducedResult, any Error>
        do {
            let again = StepEvents(sink: RepeatedEvents(events.sink))
            let puller = puller(again)
            let repeated = repetition.environment(environment, again) { [store] op, info in
                StoredImage(op, store: store, puller: puller, info: info)
            }
            // A command that writes the time, in seconds, must not be found reproducible because both builds were quick.
            let end = FileTime.now.seconds
            while FileTime.now.seconds == end { try await Task.sleep(for: .milliseconds(20)) }
            let second = try await solveSteps(plan, repeated, NoRecords(), again)
            // What differs is told once, at the end.
            result = try await events.step("comparing the two builds") { vertex in
                try await compare(plan, first, second, outputs) { events.transfer(vertex, $0, total: $1) }
            }
        } catch {
            result = .failure(error)
        }
        try await blocking { try repetition.discard() }
        return (first.layers(of: plan), try result.get())
    }

    /// - Parameter transfers: what the hashing of layers is shown with.
    private func compare(
        _ plan: BuildPlan,
        _ first: SolvedSteps,
        _ second: SolvedSteps,
        _ outputs: BuildOutputs,
        _ transfers: @escaping TransferReporter
    ) async throws -> Result<ReproducedResult, any Error> {
        var same: ReproducedResult?
        var different: [OutputTimes] = []
        for times in outputs.distinctTimes(of: plan.builds) {
            let one = try await identify(plan, first, times, transfers)
            let other = try await identify(plan, second, times, transfers)
            if one != other { different.append(times) } else if same?.isImage != true { same = one.first }
        }
        if different.isEmpty, let same { return .success(same) }
        // What differs in the strictest of them differs at all.
        let isExact = different.contains { !$0.rewritesLayers || $0.epochs.contains(nil) }
        let epoch = isExact ? nil : different.flatMap { $0.epochs.compactMap(\.self) }.max()
        return .failure(try await report(plan, first, second, epoch: epoch))
    }

    private func identify(
        _ plan: BuildPlan,
        _ steps: SolvedSteps,
        _ times: OutputTimes,
        _ transfers: @escaping TransferReporter
    ) async throws -> [ReproducedResult] {
        var results: [ReproducedResult] = []
        for (index, layers) in steps.layers(of: plan).enumerated() {
            let epoch = times.epochs[index]
            let (image, created) = try await built(plan.builds[index], layers, epoch: epoch)
            let found = try await ImageAssembler(store.snapshots, store.content).identify(
                image,
                created: created,
                epoch: times.rewritesLayers ? epoch : nil,
                transfers: transfers
            )
            let stack = ChainID.chain(found.diffIDs).last?.digest ?? Digest.sha256("")
            results.append(
                ReproducedResult(digest: times.isOfImage ? found.config : stack, isImage: times.isOfImage)
            )
        }
        return results
    }

    /// Names the steps that made different layers, and the first file of each.
    private func report(
        _ plan: BuildPlan,
        _ first: SolvedSteps,
        _ second: SolvedSteps,
        epoch: FileTime?
    ) async throws -> UserFacingError {
        var found: [(BuildVertex, LayerComparison)] = []
        for step in first.order {
            guard let one = first.layer(step.id), let other = second.layer(step.id) else { continue }
            let comparison = try await cancellableBlocking { [store] in
                try store.snapshots.compare(one, other, epoch: epoch, $0)
            }
            if comparison.count > 0 { found.append((step, comparison)) }
        }
        return ReproductionReport(dockerfile: plan.dockerfile, steps: found, epoch: epoch).error
    }
}
