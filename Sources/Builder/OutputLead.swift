// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Exporters
import LinuxSystem
import OCI
import Registry
import Snapshots
import Solver

extension ExportSpec {
    /// Where a layout goes; nil for other outputs.
    var layoutPlace: LayoutExporter.Place? {
        guard kind == .oci || kind == .docker, let destination else { return nil }
        if case .file(let path) = destination, !isArchive { return .directory(path) }
        return .archive(destination)
    }

    func layoutExporter(_ store: Store) -> LayoutExporter {
        LayoutExporter(
            LayerBlobs(store.snapshots, store.content, store.images, layers),
            format: kind == .oci ? .oci : .docker,
            annotations: annotations
        )
    }
}

/// What is done for an output before its image is known: the layers go there, and those whose digests nobody knows yet,
/// which the image's config needs, are read once instead of twice.
struct OutputLead {
    let engine: Engine
    /// Of the image, bottom first.
    let layers: [SnapshotID]
    let baseLayerCount: Int
    let transfers: TransferReporter

    /// The layout that was begun, if the output is one.
    func begin(_ spec: ExportSpec) async throws -> LayoutExport? {
        if let place = spec.layoutPlace {
            let layout = try await spec.layoutExporter(engine.store).begin(place, transfers: transfers)
            try await layout.addLayers(layers, baseLayerCount: baseLayerCount)
            return layout
        }
        guard spec.kind == .image, spec.push, let name = spec.names.first else { return nil }
        let store = engine.store
        let exporter = RegistryExporter(LayerBlobs(store.snapshots, store.content, store.images, spec.layers))
        do {
            let target = RegistryPush(repository: engine.client.repository(name))
            try await exporter.pushNewLayers(layers, to: target, transfers: transfers)
        } catch {
            // The image comes into the store whatever the registry says; the push that follows tells what is wrong.
            if error is CancellationError || Task.isCancelled { throw CancellationError() }
        }
        return nil
    }
}
