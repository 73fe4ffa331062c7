// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import Exporters
import LinuxSystem
import OCI
import Registry
import Snapshots
import Solver

/// Where a build's result goes.
struct BuildOutputs: Sendable {
    let all: [any BuildOutput]

    init(_ request: BuildRequest, _ client: RegistryClient) throws {
        let names = request.tags.map(\.withDefaultTag)
        all = [StoreOutput(names: names)]
    }
}

/// One place that a build's result goes to.
protocol BuildOutput: Sendable {
    /// How its step is called.
    var stepName: String { get }
    func run(
        _ image: AssembledImage,
        _ layers: [SnapshotID],
        _ engine: Engine,
        _ transfers: @escaping TransferReporter,
        _ result: inout BuildResult
    ) async throws
}

/// The local image store: names and a config, no archive of any layer.
struct StoreOutput: BuildOutput {
    let names: [Reference]
    let stepName = "exporting to image"

    func run(
        _ image: AssembledImage,
        _ layers: [SnapshotID],
        _ engine: Engine,
        _ transfers: @escaping TransferReporter,
        _ result: inout BuildResult
    ) async throws {
        let store = engine.store
        try await blocking {
            for name in names {
                try store.images.set(
                    ImageRecord(
                        reference: name,
                        config: image.configDigest,
                        size: image.size,
                        updated: FileTime.now.seconds
                    )
                )
            }
        }
        result.imageID = image.configDigest
        result.names += names.map(\.description)
        result.metadata["containerimage.config.digest"] = .string(image.configDigest.description)
        if !names.isEmpty {
            result.metadata["image.name"] = .string(names.map(\.description).joined(separator: ","))
        }
    }
}
