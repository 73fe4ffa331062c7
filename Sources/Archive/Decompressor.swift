// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import OCI

/// A streaming decoder that can be fed in any chunks.
public struct Decompressor {
    /// Largest window of a zstd frame that is accepted, as a power of two: 128 MiB, zstd's own default.
    public static let zstdWindowLog: Int32 = 27
    /// Most memory that an xz stream may ask for: a dictionary of 128 MiB, twice that of `xz -9`, and what goes with it.
    public static let xzMemoryLimit: UInt64 = 144 << 20

    private let filter: any StreamFilter

    /// A decoder for `compression`.
    ///
    /// - Parameter limit: most bytes that may come out; more throws `tooLarge`.
    public init(_ compression: Compression, limit: Int64 = .max, sink: @escaping ByteSink) throws {
        let bounded = Self.bounding(limit, sink)
        switch compression {
        case .gzip: filter = GzipInflater(sink: bounded)
        case .zstd: filter = try ZstdDecoder(sink: bounded)
        case .tar: filter = PassThrough(sink: bounded)
        case .bzip2: filter = BzipDecoder(sink: bounded)
        case .xz: filter = try XZDecoder(sink: bounded)
        }
    }

    /// A decoder for a layer blob, by its media type's compression.
    public init(
        layer compression: MediaType.Compression,
        limit: Int64 = .max,
        sink: @escaping ByteSink
    ) throws {
        switch compression {
        case .none: try self.init(.tar, limit: limit, sink: sink)
        case .gzip: try self.init(.gzip, limit: limit, sink: sink)
        case .zstd: try self.init(.zstd, limit: limit, sink: sink)
        }
    }

    public func write(_ bytes: UnsafeRawBufferPointer) throws { try filter.write(bytes) }

    /// Throws `truncated` when the stream is not complete.
    public func finish() throws { try filter.finish() }

    private static func bounding(_ limit: Int64, _ sink: @escaping ByteSink) -> ByteSink {
        guard limit < .max else { return sink }
        var count: Int64 = 0
        return { bytes in
            count += Int64(bytes.count)
            guard count <= limit else { throw ArchiveError(.tooLarge, "the stream inflates to over \(limit) bytes") }
            try sink(bytes)
        }
    }
}
