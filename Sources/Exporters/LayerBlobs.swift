// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
public import Content
import LinuxSystem
public import OCI
public import Snapshots

/// Finds or makes the blobs of layers.
///
/// A blob in the content store is sent as it is when its compression suits. Otherwise the layer is archived and
/// compressed on its way to whoever wants it, without a temporary file, and what came out is recorded.
public struct LayerBlobs: Sendable {
    private let snapshots: OverlaySnapshotter
    let content: ContentStore
    private let images: ImageStore
    public let options: LayerOptions

    public init(
        _ snapshots: OverlaySnapshotter,
        _ content: ContentStore,
        _ images: ImageStore,
        _ options: LayerOptions = LayerOptions()
    ) {
        self.snapshots = snapshots
        self.content = content
        self.images = images
        self.options = options
    }

    /// Blobs that would do for the layer, those in the content store first; the others exist elsewhere at best. Blocks.
    public func known(_ layer: AssembledLayer) throws -> [Descriptor] {
        let blobs = try images.layerBlobs(layer.diffID).filter {
            options.accept($0, for: layer)
        }
        let preferred = blobs.sorted { a, b in rank(a) < rank(b) }
        return preferred.map(options.adapted)
    }

    private func rank(_ blob: Descriptor) -> Int {
        (content.contains(blob.digest) ? 0 : 2) + (blob.mediaType.layerCompression == options.compression ? 0 : 1)
    }

    /// The layer's blob when its bytes are in the content store. Blocks.
    public func stored(_ layer: AssembledLayer) throws -> Descriptor? {
        try known(layer).first { content.contains($0.digest) }
    }

    /// Hands the bytes of a suitable blob to `sink` and returns what they are; records a blob that was made. Blocks.
    ///
    /// The same layer and options give the same bytes each time. An archive that does not have the layer's diffID is an
    /// error, after all bytes were handed over.
    ///
    /// - Parameter keeps: keeps what is compressed for the next time. An archive without compression is made as fast as it
    ///   is read, and never kept.
    func stream(
        _ layer: AssembledLayer,
        keeps: Bool,
        _ cancellation: CancellationFlag,
        to sink: @escaping ByteSink
    ) throws -> Descriptor {
        if let blob = try stored(layer) {
            try content.read(blob) { bytes in
                try cancellation.check()
                try sink(bytes)
            }
            return blob
        }
        let copy = keeps && options.compression != .none ? KeptCopy(content) : nil
        let made = try make(layer, cancellation) { bytes in
            copy?.write(bytes)
            try sink(bytes)
        }
        copy?.publish(made)
        try images.addLayerBlob(layer.diffID, made)
        return made
    }

    /// The layers of the list whose diffIDs nobody knows yet. Blocks.
    func new(_ layers: [SnapshotID]) throws -> [SnapshotID] {
        try layers.filter { try snapshots.diffID(of: $0) == nil }
    }

    /// The known diffID of a layer. Blocks.
    func diffID(of layer: SnapshotID) throws -> DiffID? { try snapshots.diffID(of: layer) }

    /// As `stream`, of a layer whose diffID nobody knows yet: it is learnt on the way, so that the layer is read once.
    /// Blocks.
    func streamNew(
        _ layer: SnapshotID,
        keeps: Bool,
        _ cancellation: CancellationFlag,
        to sink: @escaping ByteSink
    ) throws -> Descriptor {
        let copy = keeps && options.compression != .none ? KeptCopy(content) : nil
        let (written, size) = try archive(layer, epoch: nil, cancellation) { bytes in
            copy?.write(bytes)
            try sink(bytes)
        }
        copy?.publish(written.descriptor)
        try snapshots.setArchive(layer, diffID: written.diffID, size: size)
        try images.addLayerBlob(written.diffID, written.descriptor)
        return written.descriptor
    }

    private func make(_ layer: AssembledLayer, _ cancellation: CancellationFlag, _ sink: @escaping ByteSink) throws
        -> Descriptor
    {
        if let (blob, compression) = try otherBlob(of: layer) {
            return try recompress(compression, layer, cancellation, sink) { try content.read(blob, $0) }
        }
        if layer.epoch == nil, let archive = try snapshots.packedArchive(of: layer.snapshot) {
            return try recompress(.none, layer, cancellation, sink) { try readPieces(archive.raw, $0) }
        }
        let written = try archive(layer.snapshot, epoch: layer.epoch, cancellation, sink).written
        try verify(written.diffID, layer)
        return written.descriptor
    }

    /// - Returns: what was written, and the bytes of the layer's files.
    private func archive(
        _ layer: SnapshotID,
        epoch: FileTime?,
        _ cancellation: CancellationFlag,
        _ sink: @escaping ByteSink
    ) throws -> (written: WrittenLayer, size: Int64) {
        let directory = try snapshots.layerDirectory(layer)
        let writer = try LayerWriter(
            LayerWriter.Options(
                compression: options.compression,
                level: options.level,
                threads: options.threads,
                dockerMediaType: !options.ociMediaTypes,
                sourceDateEpoch: epoch
            ),
            sink: sink
        )
        let counting = CountingSink(writer, cancellation)
        try withExtendedLifetime(directory) { try LayerArchiver(directory.raw, to: counting).walk() }
        return (try writer.finish(), counting.bytes)
    }

    /// A stored blob of the layer in another compression. A pulled layer's tar cannot be made again from its files.
    private func otherBlob(of layer: AssembledLayer) throws -> (Descriptor, MediaType.Compression)? {
        for blob in try images.layerBlobs(layer.diffID) where content.contains(blob.digest) {
            if let compression = blob.mediaType.layerCompression { return (blob, compression) }
        }
        return nil
    }

    /// - Parameter feed: hands over the layer's archive in the form that it has.
    private func recompress(
        _ compression: MediaType.Compression,
        _ layer: AssembledLayer,
        _ cancellation: CancellationFlag,
        _ sink: @escaping ByteSink,
        from feed: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void
    ) throws -> Descriptor {
        let hashes = Hashes()
        let output: ByteSink = { bytes in
            hashes.packed.update(bytes)
            try sink(bytes)
        }
        let compressor: (any StreamFilter)? =
            switch options.compression {
            case .none: nil
            case .gzip:
                try GzipBlockCompressor(
                    level: options.level ?? GzipBlockCompressor.defaultLevel,
                    threads: options.threads,
                    sink: output
                )
            case .zstd:
                try ZstdCompressor(
                    level: options.level ?? ZstdCompressor.defaultLevel,
                    threads: options.threads,
                    sink: output
                )
            }
        let input = try Decompressor(layer: compression) { bytes in
            hashes.plain.update(bytes)
            if let compressor { try compressor.write(bytes) } else { try output(bytes) }
        }
        try feed { bytes in
            try cancellation.check()
            try input.write(bytes)
        }
        try input.finish()
        try compressor?.finish()
        try verify(DiffID(hashes.plain.finalize()), layer)
        return Descriptor(
            mediaType: .layer(options.compression, docker: !options.ociMediaTypes),
            digest: hashes.packed.finalize(),
            size: hashes.packed.count
        )
    }

    private final class Hashes {
        var plain = Digest.Hasher()
        var packed = Digest.Hasher()
    }

    private func verify(_ found: DiffID, _ layer: AssembledLayer) throws {
        guard found == layer.diffID else {
            throw ExportError(
                .layerChanged,
                "layer \(layer.diffID.digest.short) of the store gives an archive with another digest "
                    + "(\(found.digest.short))",
                nextStep: "run galley doctor --deep, then "
                    + (layer.isBase ? "pull its image again" : "build again")
            )
        }
    }
}
