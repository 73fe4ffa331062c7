// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem
public import OCI

/// What a written layer is called.
public struct WrittenLayer: Hashable, Sendable {
    /// Of the uncompressed tar.
    public var diffID: DiffID
    /// Of the bytes that went to the sink.
    public var descriptor: Descriptor
    /// Bytes of the uncompressed tar.
    public var uncompressedSize: Int64
}

/// Writes changes as an OCI layer: tar, compression and both digests in one pass.
///
/// Equal changes give equal bytes, whatever the number of threads. The sink is called on the caller's thread; while it
/// waits, the compression threads work on. The root directory gets no entry, as in Docker's layers.
public final class LayerWriter: ChangeSink {
    public struct Options: Sendable {
        public var compression: MediaType.Compression
        /// Nil for the format's default.
        public var level: Int32?
        /// Nil for one a core.
        public var threads: Int?
        /// Whether the descriptor gets Docker's media type instead of OCI's.
        public var dockerMediaType: Bool
        /// Times later than this become this (reproducible-builds.org, `SOURCE_DATE_EPOCH`).
        public var sourceDateEpoch: FileTime?

        public init(
            compression: MediaType.Compression = .none,
            level: Int32? = nil,
            threads: Int? = nil,
            dockerMediaType: Bool = false,
            sourceDateEpoch: FileTime? = nil
        ) {
            self.compression = compression
            self.level = level
            self.threads = threads
            self.dockerMediaType = dockerMediaType
            self.sourceDateEpoch = sourceDateEpoch
        }
    }

    /// A digest that a sink's closure can share with the writer.
    private final class RunningDigest {
        var hasher = Digest.Hasher()
    }

    private let options: Options
    private let plain = BackgroundDigest()
    /// Nil for what is not compressed, which is hashed once.
    private let packed: RunningDigest?
    private let compressor: any StreamFilter
    private var tar: TarWriter
    private var skipsEntry = false
    /// Whether an entry's time was later than the options' epoch.
    public private(set) var hasClampedTimes = false

    public init(_ options: Options = Options(), sink: @escaping ByteSink) throws {
        self.options = options
        let plain = plain
        let packed = options.compression == .none ? nil : RunningDigest()
        self.packed = packed
        let output: ByteSink = { bytes in
            packed?.hasher.update(bytes)
            try sink(bytes)
        }
        let compressor = try Self.compressor(options, sink: output)
        self.compressor = compressor
        tar = TarWriter { bytes in
            plain.update(bytes)
            try compressor.write(bytes)
        }
    }

    private static func compressor(_ options: Options, sink: @escaping ByteSink) throws -> any StreamFilter {
        switch options.compression {
        case .none: PassThrough(sink: sink)
        case .gzip:
            try GzipBlockCompressor(
                level: options.level ?? GzipBlockCompressor.defaultLevel,
                threads: options.threads,
                sink: sink
            )
        case .zstd:
            try ZstdCompressor(
                level: options.level ?? ZstdCompressor.defaultLevel,
                threads: options.threads,
                sink: sink
            )
        }
    }

    public func begin(_ path: RawPath, _ metadata: EntryMetadata) throws {
        skipsEntry = path.isEmpty
        if skipsEntry { return }
        if path.mayHoldMarker {
            throw ArchiveError(
                .unsupported,
                "\"\(path)\" cannot be in a layer: names that begin with \".wh.\" mean removed files"
            )
        }
        var metadata = metadata
        if let epoch = options.sourceDateEpoch, metadata.mtime > epoch {
            metadata.mtime = epoch
            hasClampedTimes = true
        }
        try tar.begin(TarEntry(path: path, metadata: metadata))
    }

    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        if !skipsEntry { try tar.write(bytes) }
    }

    public func writeHole(_ count: Int64) throws {
        if !skipsEntry { try tar.writeZeros(count) }
    }

    public func end() throws {
        if !skipsEntry { try tar.end() }
    }

    public func addWhiteout(_ path: RawPath) throws {
        let (parent, name) = path.splitParent()
        try marker(parent.appending(RawPath(bytes: Array(".wh.".utf8) + name.bytes)))
    }

    public func makeOpaque(_ directory: RawPath) throws { try marker(directory.appending(".wh..wh..opq")) }

    private func marker(_ path: RawPath) throws {
        try tar.begin(TarEntry(path: path, metadata: EntryMetadata(.file(size: 0), mode: 0)))
        try tar.end()
    }

    /// Closes the archive, hands the last bytes to the sink, and names the result.
    public func finish() throws -> WrittenLayer {
        try tar.finish()
        try compressor.finish()
        let diffID = DiffID(plain.finalize())
        let descriptor = Descriptor(
            mediaType: .layer(options.compression, docker: options.dockerMediaType),
            digest: packed?.hasher.finalize() ?? diffID.digest,
            size: packed?.hasher.count ?? plain.count
        )
        return WrittenLayer(diffID: diffID, descriptor: descriptor, uncompressedSize: plain.count)
    }
}
