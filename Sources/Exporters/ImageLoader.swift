// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
public import Content
public import LinuxSystem
public import OCI
public import Snapshots
import Solver

/// An image that was loaded.
public struct LoadedImage: Hashable, Sendable {
    /// The image's id.
    public var config: Digest
    /// What the archive called it; none when it had no name.
    public var names: [Reference]
}

/// Loads what `docker save`, skopeo or Galley wrote: Docker archives, old and new, and OCI layouts, as a tar archive that
/// may be compressed.
///
/// Digests, sizes and diffIDs are verified; names are set after everything else of their image is in the store.
public struct ImageLoader: Sendable {
    private let snapshots: OverlaySnapshotter
    private let content: ContentStore
    private let images: ImageStore

    public init(_ snapshots: OverlaySnapshotter, _ content: ContentStore, _ images: ImageStore) {
        self.snapshots = snapshots
        self.content = content
        self.images = images
    }

    /// Loads from an open file or pipe.
    ///
    /// - Parameter platform: which image of an index of several platforms.
    public func load(
        from file: SharedFD,
        platform: Platform = .host,
        transfers: @escaping TransferReporter = silentTransfers
    ) async throws -> [LoadedImage] {
        let (spool, found) = try await cancellableBlocking { [content] cancellation in
            let progress = transfers("reading archive", nil)
            let spool = ArchiveSpool(content)
            try spool.fill(from: file.raw, cancellation) { progress.add($0) }
            progress.complete()
            return (Locked(spool), try ArchiveCatalogue(spool).images(for: platform))
        }
        var loaded: [LoadedImage] = []
        for image in found {
            try await loaded.append(
                load(image, transfers) {
                    spool.withValue { spool in
                        for digest in [image.configDigest] + image.layers.map(\.digest) { spool.claim(digest) }
                        if let manifest = image.manifest { spool.claim(manifest.digest) }
                    }
                }
            )
        }
        // Not only when the last reference goes, which may be later than this call's end.
        try await blocking { spool.withValue { $0.removeUnclaimed() } }
        return loaded
    }

    private func load(
        _ image: CatalogueImage,
        _ transfers: @escaping TransferReporter,
        claim: @escaping @Sendable () -> Void
    ) async throws -> LoadedImage {
        let layers = image.layers
        let ids = try await LayerImporter(snapshots).importLayers(image.diffIDs) { [content] index, input in
            let layer = layers[index]
            let progress = transfers("loading layer \(layer.digest)", layer.size)
            try await content.readBlob(layer) { chunk in
                try await input.write(chunk)
                progress.add(Int64(chunk.count))
            }
            progress.complete()
        }
        return try await blocking { [snapshots, images] in
            for (diffID, blob) in zip(image.diffIDs, layers) { try images.addLayerBlob(diffID, blob) }
            claim()
            let size = try ids.reduce(Int64(0)) { $0 + (try snapshots.size(of: $1) ?? 0) }
            for name in image.names {
                try images.set(
                    ImageRecord(
                        reference: name,
                        config: image.configDigest,
                        manifest: image.manifest,
                        size: size,
                        updated: FileTime.now.seconds
                    )
                )
            }
            return LoadedImage(config: image.configDigest, names: image.names)
        }
    }
}

/// Hands the spool from the blocking thread that filled it to the task that ends it.
private final class Locked: Sendable {
    private let monitor: Monitor<Box>

    // Proof of @unchecked: the spool is only reached through `withValue`, one caller at a time.
    private struct Box: @unchecked Sendable { let spool: ArchiveSpool }

    init(_ spool: ArchiveSpool) { monitor = Monitor(Box(spool: spool)) }

    func withValue(_ body: (ArchiveSpool) -> Void) { monitor.withLock { body($0.spool) } }
}
