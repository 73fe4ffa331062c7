// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import OCI
import Snapshots

/// Some entries of a layer's archive, made apart from those before them.
struct PackedPortion: Sendable {
    enum Content {
        case bytes(UnsafeRawBufferPointer)
        /// Read when it is the file's turn.
        case later(LargeFile)
    }

    struct LargeFile: Sendable {
        let directory: SharedFD
        let name: RawPath
        let size: Int64
        let scanned: ScannedFile?
    }

    /// What depends on the portions before this, or is not in `piece`. It lies before the byte `end` of the piece.
    fileprivate enum Special: Sendable {
        /// An entry that is a hard link if the file was met before.
        case linked(Linked)
        /// The content of the entry whose header ends here.
        case content(LargeFile)
    }

    fileprivate struct Linked: Sendable {
        let identity: HardLinks.Identity
        let path: RawPath
        let metadata: EntryMetadata
        let start: Int
        let large: LargeFile?
    }

    fileprivate var piece: TarPiece
    fileprivate var specials: [(end: Int, special: Special)] = []
    /// Of files that are not special.
    fileprivate var fileBytes: Int64 = 0
    private let buffers: PackingBuffers

    init(_ buffers: PackingBuffers) {
        self.buffers = buffers
        piece = buffers.take()
    }

    mutating func add(
        _ path: RawPath,
        _ metadata: EntryMetadata,
        _ identity: HardLinks.Identity?,
        _ content: Content?
    ) throws {
        // Not every file system has other times.
        guard (0..<(1 << 31)).contains(metadata.mtime.seconds) else { throw LayerPacker.NotPackable() }
        let start = piece.bytes.count
        try piece.begin(path, metadata)
        var large: LargeFile?
        switch content {
        case .bytes(let bytes): piece.addFile(bytes)
        case .later(let file): large = file
        case nil: break
        }
        if let identity {
            let linked = Linked(identity: identity, path: path, metadata: metadata, start: start, large: large)
            specials.append((piece.bytes.count, .linked(linked)))
        } else if let large {
            specials.append((piece.bytes.count, .content(large)))
        } else if case .file(let size) = metadata.kind {
            fileBytes += size
        }
    }

    /// The portion is of no more use.
    fileprivate func recycle() { buffers.give(piece) }
}

/// Writes portions one after the other.
struct PackedWriter {
    private let file: LayerTarFile
    private let checkCancellation: @Sendable () throws -> Void
    private var linked: [HardLinks.Identity: RawPath] = [:]
    private var fileBytes: Int64 = 0
    private var buffer: [UInt8] = []

    init(
        _ file: LayerTarFile,
        _ front: TarPiece,
        _ checkCancellation: @escaping @Sendable () throws -> Void
    ) throws {
        self.file = file
        self.checkCancellation = checkCancellation
        try write(front.bytes[...])
    }

    mutating func add(_ portion: PackedPortion) throws {
        let bytes = portion.piece.bytes
        var written = 0
        for (end, special) in portion.specials {
            switch special {
            case .content(let large):
                try write(bytes[written..<end])
                try copy(large)
            case .linked(let entry):
                try write(bytes[written..<entry.start])
                if let first = linked[entry.identity] {
                    try addLink(entry, to: first)
                } else {
                    linked[entry.identity] = entry.path
                    try write(bytes[entry.start..<end])
                    if let large = entry.large {
                        try copy(large)
                    } else if case .file(let size) = entry.metadata.kind {
                        fileBytes += size
                    }
                }
            }
            written = end
        }
        try write(bytes[written...])
        fileBytes += portion.fileBytes
        portion.recycle()
    }

    func finish() throws -> PackedLayer {
        let (diffID, _) = try file.finish()
        return PackedLayer(diffID: diffID, size: fileBytes)
    }

    private func write(_ bytes: ArraySlice<UInt8>) throws {
        if !bytes.isEmpty { try bytes.withUnsafeBytes { try file.append($0) } }
    }

    private func addLink(_ entry: PackedPortion.Linked, to first: RawPath) throws {
        var (piece, metadata) = (TarPiece(), entry.metadata)
        metadata.kind = .hardLink(target: first)
        metadata.xattrs = []
        try piece.begin(entry.path, metadata)
        try write(piece.bytes[...])
    }

    private mutating func copy(_ large: PackedPortion.LargeFile) throws {
        if buffer.isEmpty { buffer = [UInt8](repeating: 0, count: 1 << 20) }
        var hasher = large.scanned?.requiredDigest == nil ? nil : Digest.Hasher()
        let input = try LayerPacker.openFile(large.name, in: large.directory.raw)
        var left = large.size
        while left > 0 {
            try checkCancellation()
            let count = try buffer.withUnsafeMutableBytes { buffer in
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(Int(min(left, Int64(buffer.count)))))
                return try readBytes(input.raw, into: part)
            }
            guard count > 0 else { throw LayerPacker.NotPackable() }
            try write(buffer[..<count])
            buffer.withUnsafeBytes { hasher?.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            left -= Int64(count)
        }
        if let scanned = large.scanned {
            guard scanned.isUnchanged(try status(of: input.raw)) else { throw LayerPacker.NotPackable() }
            if let bytes = hasher?.finalize(), try contentDigest(bytes, input.raw) != scanned.requiredDigest {
                throw LayerPacker.NotPackable()
            }
        }
        try write(TarPiece.padding(of: large.size)[...])
        fileBytes += large.size
    }
}
