// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import DockerfileFrontend
import Exporters
import LinuxSystem
import OCI
import Snapshots
import Solver

extension Engine {
    /// Hands what each target came to to its outputs.
    ///
    /// - Parameter layers: of each build of the plan.
    func export(
        _ plan: BuildPlan,
        _ layers: [[SnapshotID]],
        _ outputs: [BuildOutputs],
        _ targets: [String],
        _ events: StepEvents
    ) async throws -> BuildResult {
        guard outputs.count > 1 else { return try await export(plan, layers, outputs[0], events) }
        let count = plan.builds.count / outputs.count
        var results: [TargetResult] = []
        var last = BuildResult(imageID: nil, manifest: nil, names: [], metadata: .object([:]), warnings: [])
        for (index, output) in outputs.enumerated() {
            let range = (index * count)..<((index + 1) * count)
            last = try await export(plan.part(range), Array(layers[range]), output, events)
            results.append(TargetResult(target: targets[index], imageID: last.imageID, metadata: last.metadata))
        }
        last.targets = results
        return last
    }

    /// Completes the images, one a platform, and hands them to every output.
    ///
    /// - Parameter layers: of each build of the plan.
    func export(
        _ plan: BuildPlan,
        _ layers: [[SnapshotID]],
        _ outputs: BuildOutputs,
        _ events: StepEvents
    ) async throws -> BuildResult {
        var result = BuildResult(imageID: nil, manifest: nil, names: [], metadata: .object([:]), warnings: [])
        var assembled: [OutputTimes: [AssembledImage]] = [:]
        for spec in outputs.written {
            let times = OutputTimes(spec, plan.builds)
            if spec.rewritesTimestamps, times.epochs.contains(nil) {
                events.sink.send(.warning(nil, .noEpochToRewriteTo))
            }
            try await events.step(spec.stepName + outputs.label) { vertex in
                let transfers: TransferReporter = { name, total in events.transfer(vertex, name, total: total) }
                var images = assembled[times] ?? []
                var layout: LayoutExport?
                defer { layout?.discard() }
                if images.isEmpty {
                    if layers.count == 1, !times.rewritesLayers {
                        let lead = OutputLead(
                            engine: self,
                            layers: layers[0],
                            baseLayerCount: plan.builds[0].base?.config.diffIDs.count ?? 0,
                            transfers: transfers
                        )
                        layout = try await lead.begin(spec)
                    }
                    for (index, lowered) in plan.builds.enumerated() {
                        images.append(try await assemble(lowered, layers[index], times, index, transfers))
                    }
                    assembled[times] = images
                }
                let run = OutputRun(
                    engine: self,
                    images: images,
                    snapshots: layers,
                    epochs: times.epochs,
                    base: plan.builds[0].base?.reference,
                    layout: layout,
                    transfers: transfers
                )
                try await run.run(spec, &result)
            }
        }
        return result
    }

    private func assemble(
        _ lowered: LoweredBuild,
        _ layers: [SnapshotID],
        _ times: OutputTimes,
        _ index: Int,
        _ transfers: @escaping TransferReporter
    ) async throws -> AssembledImage {
        let epoch = times.epochs[index]
        let (image, created) = try await built(lowered, layers, epoch: epoch)
        return try await ImageAssembler(store.snapshots, store.content).assemble(
            image,
            created: created,
            epoch: times.rewritesLayers ? epoch : nil,
            transfers: transfers
        )
    }

    /// The image with its history dated, and when it was made.
    func built(
        _ lowered: LoweredBuild,
        _ layers: [SnapshotID],
        epoch: FileTime?
    ) async throws -> (BuiltImage, created: FileTime?) {
        let store = store
        let baseCount = lowered.base?.config.diffIDs.count ?? 0
        let (config, created) = try await blocking { () -> (ImageConfig, FileTime?) in
            let times = try layers.map { try store.snapshots.created($0) }
            return dated(lowered, layerTimes: times, baseCount: baseCount, epoch: epoch)
        }
        let image = BuiltImage(
            layers: layers,
            config: config,
            baseLayerCount: baseCount,
            platform: config.platform
        )
        return (image, created)
    }
}

/// What decides the times in an output: two with the same have the same image.
struct OutputTimes: Hashable {
    /// Of each build of the plan.
    let epochs: [FileTime?]
    /// Whether files newer than the epoch have its time.
    var rewritesLayers: Bool
    /// Whether there is a config, which has times too.
    var isOfImage = true

    init(_ spec: ExportSpec, _ builds: [LoweredBuild]) {
        epochs = builds.map { spec.epoch.seconds(build: $0.sourceDateEpoch).map { FileTime(seconds: $0) } }
        rewritesLayers = spec.rewritesTimestamps
    }
}

extension BuildOutputs {
    /// What the times in the outputs depend on, each once.
    func distinctTimes(of builds: [LoweredBuild]) -> [OutputTimes] {
        var result: [OutputTimes] = []
        for spec in all {
            var times = OutputTimes(spec, builds)
            if [.tar, .local, .cacheOnly].contains(spec.kind) {
                // Here the epoch is every file's time.
                times.rewritesLayers = true
                times.isOfImage = false
            }
            if !result.contains(times) { result.append(times) }
        }
        return result
    }
}

extension BuildWarning {
    fileprivate static let noEpochToRewriteTo = BuildWarning(
        message: "rewrite-timestamp is specified, but no source-date-epoch was found",
        detail: [
            "set SOURCE_DATE_EPOCH in the environment or with --build-arg, or add source-date-epoch= to the output"
        ]
    )
}

/// The config with the times of this build's own steps: when each layer was made, so that a build that finds everything
/// in the cache makes the same image again. A step without a layer has the time of the one before it.
private func dated(
    _ lowered: LoweredBuild,
    layerTimes: [Int64?],
    baseCount: Int,
    epoch: FileTime?
) -> (ImageConfig, FileTime?) {
    var config = lowered.config
    var history = config.history
    let ownLayers = layerTimes.dropFirst(baseCount)
    let ownEntries = history.count - (lowered.base?.config.history.count ?? 0)
    var times = ownLayers.makeIterator()
    var last: String? = lowered.base?.config.created
    var newest: FileTime?
    for index in history.indices.suffix(max(0, ownEntries)) where history[index].created == nil {
        if !history[index].emptyLayer, let seconds = times.next() ?? nil {
            let time = epoch ?? FileTime(seconds: seconds)
            newest = time
            last = time.rfc3339
        }
        history[index].document["created"] = (epoch?.rfc3339 ?? last).map(JSONValue.string)
    }
    config.history = history
    config.created = lowered.base?.config.created
    return (config, epoch ?? newest)
}

extension ExportSpec {
    /// How the step is called, as BuildKit does.
    fileprivate var stepName: String {
        switch kind {
        case .image: "exporting to image"
        case .oci: "exporting to oci image format"
        case .docker: "exporting to docker image format"
        case .tar: "exporting to client tarball"
        case .local: "exporting to client directory"
        case .cacheOnly: "exporting nothing"
        }
    }
}
