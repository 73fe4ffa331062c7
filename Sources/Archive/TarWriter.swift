// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// Writes a tar archive: ustar where an entry fits, otherwise with a PAX extended header.
///
/// The bytes depend only on the entries and their data. Owners' names are written as given; Galley's layers leave them
/// empty. Regular files are announced with their size and need exactly as many bytes.
public struct TarWriter {
    public typealias Sink = (UnsafeRawBufferPointer) throws -> Void

    private let sink: Sink
    private var buffer: [UInt8] = []
    /// Bytes of the current file that are still to come.
    private var left: Int64 = 0
    private var padding = 0
    private var inEntry = false
    /// Bytes written, including what is still buffered.
    public private(set) var count: Int64 = 0

    private static let bufferSize = 256 << 10

    /// The sink gets the archive in pieces of up to 256 KiB, or as large as `write` was given.
    public init(sink: @escaping Sink) {
        self.sink = sink
        buffer.reserveCapacity(Self.bufferSize)
    }

    /// Starts an entry. The path is written as it is; a directory's gets its trailing slash.
    public mutating func begin(_ entry: TarEntry) throws {
        guard !inEntry else { throw ArchiveError(.misuse, "\"\(entry.path)\" begins before the entry before it ended") }
        let header = try TarHeaderEncoder.encode(entry)
        try header.withUnsafeBytes { try append($0) }
        if case .file(let size) = entry.metadata.kind { left = size }
        padding = TarReader.padding(left)
        inEntry = true
    }

    /// The next bytes of the current file.
    public mutating func write(_ bytes: UnsafeRawBufferPointer) throws {
        guard Int64(bytes.count) <= left else { throw ArchiveError(.misuse, "a file has more bytes than announced") }
        left -= Int64(bytes.count)
        try append(bytes)
    }

    /// The next `count` bytes of the current file are zeros.
    public mutating func writeZeros(_ count: Int64) throws {
        guard count >= 0, count <= left else { throw ArchiveError(.misuse, "a file has more bytes than announced") }
        left -= count
        try appendZeros(count)
    }

    /// Ends the entry; throws when a file got fewer bytes than announced.
    public mutating func end() throws {
        guard inEntry, left == 0 else { throw ArchiveError(.misuse, "a file has fewer bytes than announced") }
        try appendZeros(Int64(padding))
        padding = 0
        inEntry = false
    }

    /// Writes the two closing blocks and hands the last bytes to the sink.
    public mutating func finish() throws {
        guard !inEntry else { throw ArchiveError(.misuse, "the archive ends inside an entry") }
        try appendZeros(Int64(2 * TarHeader.blockSize))
        try flush()
    }

    // MARK: - Buffer

    private static let zeros = [UInt8](repeating: 0, count: bufferSize)

    private mutating func append(_ bytes: UnsafeRawBufferPointer) throws {
        count += Int64(bytes.count)
        let isLarge = bytes.count >= Self.bufferSize / 2
        if isLarge || buffer.count + bytes.count > Self.bufferSize { try flush() }
        if isLarge { return try sink(bytes) }
        buffer.append(contentsOf: bytes)
    }

    private mutating func appendZeros(_ total: Int64) throws {
        var rest = total
        if rest >= Int64(Self.bufferSize) {
            // A hole can be as long as a disk: whole buffers of zeros are handed on as they are.
            try flush()
            while rest >= Int64(Self.bufferSize) {
                try Self.zeros.withUnsafeBytes { try sink($0) }
                count += Int64(Self.bufferSize)
                rest -= Int64(Self.bufferSize)
            }
        }
        while rest > 0 {
            if buffer.count == Self.bufferSize { try flush() }
            let part = Int(min(rest, Int64(Self.bufferSize - buffer.count)))
            buffer.append(contentsOf: repeatElement(0, count: part))
            count += Int64(part)
            rest -= Int64(part)
        }
    }

    private mutating func flush() throws {
        guard !buffer.isEmpty else { return }
        try buffer.withUnsafeBytes { try sink($0) }
        buffer.removeAll(keepingCapacity: true)
    }
}
