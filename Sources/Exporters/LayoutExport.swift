// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import OCI
public import Snapshots
import Solver
import Synchronization

/// An image layout that is being written, until `finish` or an error; otherwise to be given up with `discard`.
public final class LayoutExport: Sendable {
    private struct State {
        /// What was written goes with it.
        var layout: (any LayoutWriter)?
        /// What an index that was there names.
        let existing: [Descriptor]
        /// Layers that are in the layout.
        var layers: [DiffID: Descriptor] = [:]
    }

    private let blobs: LayerBlobs
    private let format: LayoutExporter.Format
    private let annotations: [String: String]
    private let transfers: TransferReporter
    private let state: Mutex<State>

    init(
        _ exporter: LayoutExporter,
        _ place: LayoutExporter.Place,
        _ transfers: @escaping TransferReporter
    ) throws {
        (blobs, format, annotations) = (exporter.blobs, exporter.format, exporter.annotations)
        self.transfers = transfers
        switch place {
        case .archive(let destination):
            state = Mutex(State(layout: try LayoutArchive(destination), existing: []))
        case .directory(let directory):
            let layout = try LayoutDirectory(directory)
            let existing = try layout.existingIndex().map { try Index(parsing: $0).manifests } ?? []
            state = Mutex(State(layout: layout, existing: existing))
        }
    }

    /// Adds the layers of an image before the image is known: those whose diffIDs nobody knows are read once, for the
    /// blob and for the diffID. Does nothing where there is no such layer, or no way to write one.
    ///
    /// - Parameter ids: bottom first.
    public func addLayers(_ ids: [SnapshotID], baseLayerCount: Int) async throws {
        try await cancellableBlocking { [self] cancellation in
            let new = try blobs.new(ids)
            guard !new.isEmpty else { return }
            try state.withLock { state in
                do {
                    try add(ids, new, baseLayerCount, &state, cancellation)
                } catch {
                    state.layout = nil
                    throw error
                }
            }
        }
    }

    private func add(
        _ ids: [SnapshotID],
        _ new: [SnapshotID],
        _ baseLayerCount: Int,
        _ state: inout State,
        _ cancellation: CancellationFlag
    ) throws {
        guard let layout = state.layout, layout.takesUnknownBlobs else { return }
        // In the order that the same image always has.
        for (index, id) in ids.enumerated() {
            if try new.contains(id) && blobs.diffID(of: id) == nil {
                try addNew(id, layout, &state, cancellation)
            } else if let diffID = try blobs.diffID(of: id) {
                let layer = AssembledLayer(snapshot: id, diffID: diffID, isBase: index < baseLayerCount)
                _ = try add(layer, layout, &state, cancellation)
            }
        }
    }

    /// Gives up what was written.
    public func discard() { state.withLock { $0.layout = nil } }

    private func addNew(
        _ id: SnapshotID,
        _ layout: any LayoutWriter,
        _ state: inout State,
        _ cancellation: CancellationFlag
    ) throws {
        let progress = transfers("exporting layer \(id)", nil)
        let blob = try layout.addBlob(nil) { sink in
            progress.set(0)
            return try blobs.streamNew(id, keeps: true, cancellation) { bytes in
                progress.add(Int64(bytes.count))
                try sink(bytes)
            }
        }
        if let diffID = try blobs.diffID(of: id) { state.layers[diffID] = blob }
        progress.complete()
    }

    private func add(
        _ layer: AssembledLayer,
        _ layout: any LayoutWriter,
        _ state: inout State,
        _ cancellation: CancellationFlag
    ) throws -> Descriptor {
        if let known = state.layers[layer.diffID] { return known }
        let stored = try blobs.stored(layer)
        let progress = transfers("exporting layer \(layer.diffID)", stored?.size)
        let blob = try layout.addBlob(stored) { sink in
            progress.set(0)
            return try blobs.stream(layer, keeps: true, cancellation) { bytes in
                progress.add(Int64(bytes.count))
                try sink(bytes)
            }
        }
        progress.complete()
        state.layers[layer.diffID] = stored ?? blob
        return stored ?? blob
    }

    /// Writes what is still missing, and makes the layout appear.
    public func finish(_ images: [NamedImage]) async throws -> [ExportedImage] {
        try await cancellableBlocking { [self] cancellation in
            try state.withLock { state in
                guard let layout = state.layout else { preconditionFailure("a layout is finished once") }
                // Finished or failed, it is done with.
                defer { state.layout = nil }
                return try finish(images, layout, &state, cancellation)
            }
        }
    }

    private func finish(
        _ images: [NamedImage],
        _ layout: any LayoutWriter,
        _ state: inout State,
        _ cancellation: CancellationFlag
    ) throws -> [ExportedImage] {
        var entries: [Descriptor] = []
        var dockerEntries: [JSONValue] = []
        var exported: [ExportedImage] = []
        for named in images {
            var parts: [ExportedImage] = []
            for image in named.images {
                let layers = try image.layers.map { try add($0, layout, &state, cancellation) }
                let manifest = image.manifest(layers, blobs.options, annotations)
                try layout.addBlob(image.config)
                try layout.addBlob(manifest.bytes)
                dockerEntries.append(dockerEntry(image, named.names, layers))
                parts.append(
                    ExportedImage(manifest: manifest.descriptor, configDigest: image.configDigest, layers: layers)
                )
            }
            var whole = parts[0]
            if named.images.count > 1 {
                let index = ImageIndexDocument(named.images, parts.map(\.manifest), blobs.options, annotations)
                try layout.addBlob(index.bytes)
                whole.manifest = index.descriptor
            }
            entries += indexEntries(named, whole.manifest)
            exported.append(whole)
        }
        let names = Set(entries.compactMap { $0.annotations?[Self.imageName] })
        let kept = state.existing.filter { old in
            if let name = old.annotations?[Self.imageName] { return !names.contains(name) }
            return !entries.contains { $0.digest == old.digest }
        }
        if format == .docker { try layout.add("manifest.json", JSONValue.array(dockerEntries).encoded()) }
        try layout.add("index.json", Index(manifests: kept + entries).encoded())
        try layout.add("oci-layout", Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8))
        try layout.finish()
        return exported
    }

    private static let imageName = "io.containerd.image.name"

    private func indexEntries(_ named: NamedImage, _ manifest: Descriptor) -> [Descriptor] {
        var entry = manifest
        if named.images.count == 1 { entry.platform = named.images[0].platform }
        let created = named.images[0].created.map { ["org.opencontainers.image.created": $0] } ?? [:]
        guard !named.names.isEmpty else {
            entry.annotations = created.isEmpty ? nil : created
            return [entry]
        }
        return named.names.map { name in
            let name = name.withDefaultTag
            var annotations = created
            annotations[Self.imageName] = name.description
            annotations["org.opencontainers.image.ref.name"] = name.tag ?? name.tagOrDigest
            var entry = entry
            entry.annotations = annotations
            return entry
        }
    }

    private func dockerEntry(_ image: AssembledImage, _ names: [Reference], _ layers: [Descriptor]) -> JSONValue {
        func path(_ digest: Digest) -> JSONValue { .string("blobs/\(digest.algorithm.rawValue)/\(digest.hex)") }
        let tags = names.map(\.withDefaultTag).filter { $0.tag != nil }.map { JSONValue.string($0.familiar) }
        return [
            "Config": path(image.configDigest),
            "RepoTags": tags.isEmpty ? .null : .array(tags),
            "Layers": .array(layers.map { path($0.digest) }),
        ]
    }
}
