// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// How a stream is compressed, told from its first bytes.
public enum Compression: String, Sendable, CaseIterable {
    case gzip
    case bzip2
    case xz
    case zstd
    /// An uncompressed tar archive.
    case tar

    /// Bytes that `detect` needs to recognise every format.
    public static let prefixLength = 512

    /// Nil for what is none of these. An old tar without magic is recognised by its checksum.
    public static func detect(_ prefix: UnsafeRawBufferPointer) -> Compression? {
        if prefix.starts(with: [0x1f, 0x8b, 0x08]) { return .gzip }
        if prefix.starts(with: [0x42, 0x5a, 0x68]), prefix.count > 3, (0x31...0x39).contains(prefix[3]) {
            return .bzip2
        }
        if prefix.starts(with: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]) { return .xz }
        if isZstd(prefix) { return .zstd }
        return isTar(prefix) ? .tar : nil
    }

    public static func detect(_ prefix: [UInt8]) -> Compression? { prefix.withUnsafeBytes { detect($0) } }

    /// A frame, or a skippable frame (RFC 8878, 3.1).
    private static func isZstd(_ prefix: UnsafeRawBufferPointer) -> Bool {
        guard prefix.count >= 4 else { return false }
        let magic = UInt32(littleEndian: prefix.loadUnaligned(as: UInt32.self))
        return magic == 0xfd2f_b528 || magic & 0xffff_fff0 == 0x184d_2a50
    }

    private static func isTar(_ prefix: UnsafeRawBufferPointer) -> Bool {
        guard prefix.count >= TarHeader.blockSize else { return false }
        let block = UnsafeRawBufferPointer(rebasing: prefix.prefix(TarHeader.blockSize))
        // An empty archive is nothing but zero blocks.
        if block.allSatisfy({ $0 == 0 }) { return true }
        return (try? TarHeader(block)) != nil
    }
}

/// Takes a stream in pieces and hands what it makes of them to a sink.
///
/// Used on one thread at a time; the sink runs on the caller's thread. After an error only `deinit` may follow.
public protocol StreamFilter: AnyObject {
    func write(_ bytes: UnsafeRawBufferPointer) throws
    /// Declares the end of input and hands the last bytes to the sink.
    func finish() throws
}

public typealias ByteSink = (UnsafeRawBufferPointer) throws -> Void

/// Hands its input on as it is.
final class PassThrough: StreamFilter {
    private let sink: ByteSink

    init(sink: @escaping ByteSink) { self.sink = sink }

    func write(_ bytes: UnsafeRawBufferPointer) throws { try sink(bytes) }
    func finish() throws {}
}
