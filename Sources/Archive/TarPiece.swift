// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem
public import OCI

/// Entries of a layer's tar that are made apart from those before them, perhaps on another thread. Pieces one after the
/// other have the bytes that a ``LayerWriter`` makes of the same entries.
public struct TarPiece: Sendable {
    public private(set) var bytes: [UInt8] = []

    public init() {}

    public mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

    /// Adds an entry; the bytes of a file must follow.
    public mutating func begin(_ path: RawPath, _ metadata: EntryMetadata) throws {
        bytes += try TarHeaderEncoder.encode(TarEntry(path: path, metadata: metadata))
    }

    /// Adds all bytes of the file that was begun.
    public mutating func addFile(_ data: UnsafeRawBufferPointer) {
        bytes += data
        bytes += repeatElement(0, count: TarReader.padding(Int64(data.count)))
    }

    /// Adds what fills up the last block of a file whose `size` bytes were written elsewhere.
    public static func padding(of size: Int64) -> [UInt8] { [UInt8](repeating: 0, count: TarReader.padding(size)) }
}

/// A file that becomes a layer's tar, written once from the front and hashed on the way.
///
/// Used by one thread at a time.
public final class LayerTarFile {
    private let file: OwnedFD
    private let digest = BackgroundDigest()

    public init(_ file: consuming OwnedFD) { self.file = file }

    public func append(_ bytes: UnsafeRawBufferPointer) throws {
        let start = digest.count
        try writeBytes(file.raw, bytes)
        digest.update(bytes)
        // What is on disk already need not be waited for when the layer is to be there.
        let done = start / Self.portion * Self.portion
        let portions = digest.count / Self.portion * Self.portion - done
        if portions > 0 { writeBehind(file.raw, done, portions) }
    }

    private static let portion: Int64 = 8 << 20

    /// Closes the archive and says what it is; nothing may be added afterwards.
    public func finish() throws -> (diffID: DiffID, size: Int64) {
        let end = [UInt8](repeating: 0, count: 2 * TarHeader.blockSize)
        try end.withUnsafeBytes { try append($0) }
        return (DiffID(digest.finalize()), digest.count)
    }
}
