// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A push parser of tar archives: v7, ustar, PAX, GNU (long names, sparse) and star.
///
/// Bytes may come in any chunks. As GNU tar and Go's archive/tar do, it accepts an archive without its two closing
/// zero blocks and ignores what follows them; an archive that ends inside an entry is an error. Global PAX headers
/// apply as POSIX says, except that they cannot name, size or scatter later files. Every length is bounded, and an
/// entry whose type is unknown is an error rather than skipped. After an error the reader only repeats it.
public struct TarReader {
    /// Longest path and link target; Linux's `PATH_MAX`.
    public static let pathLimit = 4096

    enum State {
        /// Wants a header block.
        case header
        /// A zero block was seen where a header should be.
        case closing
        case finished
        /// Collects the body of a metadata entry: bytes left, then padding.
        case metadata(MetadataKind, left: Int, padding: Int)
        /// Wants an extension block of an old GNU sparse header.
        case sparseExtension
        /// Wants a block of the PAX 1.0 sparse map in front of the data.
        case sparseLines
        /// Delivers the bytes of an entry: bytes stored, then padding.
        case data(left: Int64, padding: Int)
        case padding(left: Int)
        case failed(any Error)
    }

    enum MetadataKind { case pax, globalPax, longName, longLink }

    var state = State.header
    /// Bytes consumed so far.
    public private(set) var offset: Int64 = 0

    /// A block that came in pieces.
    private var partial: [UInt8] = []
    /// The body of a metadata entry.
    var collected: [UInt8] = []
    /// What metadata entries said about the next entry.
    var pending = PendingAttributes()
    var globals = PaxRecords()
    var current = CurrentEntry()

    public init() { partial.reserveCapacity(TarHeader.blockSize) }

    /// Parses the next bytes and hands what they complete to `visitor`, whose errors pass through.
    public mutating func push(
        _ input: UnsafeRawBufferPointer,
        to visitor: inout some TarVisitor
    ) throws {
        var rest = input
        while !rest.isEmpty {
            let before = rest.count
            do {
                try step(&rest, &visitor)
            } catch {
                // A visitor's errors, too, gain the place in the archive: it is what helps to find the entry.
                let located: any Error = (error as? ArchiveError)?.at(offset) ?? error
                state = .failed(located)
                throw located
            }
            offset += Int64(before - rest.count)
        }
    }

    /// Declares the end of input; an archive cut inside an entry throws `truncated`.
    public mutating func finish() throws {
        switch state {
        case .failed(let error): throw error
        case .header where partial.isEmpty && pending.isEmpty, .closing, .finished: state = .finished
        // Padding of the last block may be missing: GNU tar reads such archives.
        case .padding: state = .finished
        default: throw ArchiveError(.truncated, "the archive ends inside an entry", offset: offset)
        }
    }

    /// Consumes a part of `rest`, at least one byte.
    private mutating func step(_ rest: inout UnsafeRawBufferPointer, _ visitor: inout some TarVisitor) throws {
        switch state {
        case .failed(let error): throw error
        case .finished: rest = UnsafeRawBufferPointer(rebasing: rest.suffix(0))
        case .header, .closing, .sparseExtension, .sparseLines: try takeBlock(&rest, &visitor)
        case .metadata(let kind, let left, let padding):
            let part = Self.take(left, from: &rest)
            collected += part
            state = .metadata(kind, left: left - part.count, padding: padding)
            if left == part.count {
                state = padding > 0 ? .padding(left: padding) : .header
                try finishMetadata(kind)
            }
        case .data(let left, let padding):
            let part = Self.take(Int(clamping: left), from: &rest)
            try deliver(part, to: &visitor)
            state = .data(left: left - Int64(part.count), padding: padding)
            if left == Int64(part.count) { try finishEntry(padding: padding, &visitor) }
        case .padding(let left):
            let part = Self.take(left, from: &rest)
            state = left == part.count ? .header : .padding(left: left - part.count)
        }
    }

    private static func take(_ count: Int, from rest: inout UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let part = UnsafeRawBufferPointer(rebasing: rest.prefix(count))
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
        return part
    }

    private mutating func takeBlock(_ rest: inout UnsafeRawBufferPointer, _ visitor: inout some TarVisitor) throws {
        if partial.isEmpty, rest.count >= TarHeader.blockSize {
            return try handleBlock(Self.take(TarHeader.blockSize, from: &rest), &visitor)
        }
        partial += Self.take(TarHeader.blockSize - partial.count, from: &rest)
        guard partial.count == TarHeader.blockSize else { return }
        let block = partial
        partial.removeAll(keepingCapacity: true)
        try block.withUnsafeBytes { try handleBlock($0, &visitor) }
    }

    private mutating func handleBlock(_ block: UnsafeRawBufferPointer, _ visitor: inout some TarVisitor) throws {
        switch state {
        case .sparseExtension:
            guard try TarHeader.parseSparseExtension(block, into: &current.map) else {
                return try beginData(&visitor)
            }
        case .sparseLines:
            current.stored -= Int64(TarHeader.blockSize)
            guard current.stored >= 0 else {
                throw ArchiveError(.malformed, "the sparse map of \"\(current.entry.path)\" is longer than its data")
            }
            if try current.lineParser.feed(Array(block), into: &current.map) { try beginData(&visitor) }
        default:
            if block[0] == 0, block.allSatisfy({ $0 == 0 }) {
                if case .closing = state { state = .finished } else { state = .closing }
                if !pending.isEmpty { throw ArchiveError(.truncated, "the archive ends after an extended header") }
                return
            }
            if case .closing = state {
                throw ArchiveError(.malformed, "a zero block is followed by data")
            }
            try handleHeader(TarHeader(block), &visitor)
        }
    }

    static func padding(_ size: Int64) -> Int { Int((512 - size % 512) % 512) }
}
