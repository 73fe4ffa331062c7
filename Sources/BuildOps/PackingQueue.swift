// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import Glibc
import LinuxSystem
import OCI
import Synchronization

/// The entries of a layer's archive in its order, in portions that are each one thread's work.
final class PackingQueue {
    /// A regular file: its index among the entries of the directory that it is in, and its path in the layer.
    struct File: Sendable {
        let index: Int
        let path: RawPath
    }

    private enum Item: Sendable {
        case file(File, directory: Int)
        case entry(RawPath, EntryMetadata, HardLinks.Identity?)
    }

    private struct Directory: Sendable {
        let entries: SourceDirectory
        let from: SharedFD
    }

    /// Of a portion. Its directories are open until it is done.
    private static let (mostFiles, mostBytes, mostDirectories) = (64, Int64(4 << 20), 12)

    private let jobs: OrderedJobs<PackedPortion>
    private let ownership: LayerPacker.Ownership
    private let checkCancellation: @Sendable () throws -> Void
    private let buffers = PackingBuffers()
    private var items: [Item] = []
    private var directories: [Directory] = []
    private var bytes: Int64 = 0

    init(
        _ jobs: OrderedJobs<PackedPortion>,
        _ ownership: LayerPacker.Ownership,
        _ checkCancellation: @escaping @Sendable () throws -> Void
    ) {
        self.jobs = jobs
        self.ownership = ownership
        self.checkCancellation = checkCancellation
    }

    /// Adds what has no content.
    func add(_ path: RawPath, _ metadata: EntryMetadata, _ status: FileStatus) throws {
        let isLinked = status.kind != .directory && status.links > 1
        items.append(.entry(path, metadata, isLinked ? HardLinks.Identity(status) : nil))
        try flushIfFull()
    }

    /// Adds a regular file.
    func add(_ file: File, _ size: Int64, of entries: SourceDirectory, _ from: SharedFD) throws {
        if directories.last?.from !== from { directories.append(Directory(entries: entries, from: from)) }
        items.append(.file(file, directory: directories.count - 1))
        bytes += min(size, Self.mostBytes)
        try flushIfFull()
    }

    private func flushIfFull() throws {
        if items.count >= Self.mostFiles || bytes >= Self.mostBytes || directories.count > Self.mostDirectories {
            try flush()
        }
    }

    /// What was added so far becomes a job.
    func flush() throws {
        if items.isEmpty { return }
        let (items, directories, buffers) = (items, directories, buffers)
        let reader = Reader(ownership: ownership, checkCancellation: checkCancellation)
        (self.items, self.directories, bytes) = ([], [], 0)
        try jobs.add {
            var portion = PackedPortion(buffers)
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: FileCopier.bufferSize, alignment: 64)
            defer { buffer.deallocate() }
            for item in items {
                switch item {
                case .entry(let path, let metadata, let identity):
                    try portion.add(path, metadata, identity, nil)
                case .file(let file, let directory):
                    try reader.read(file, directories[directory], buffer, into: &portion)
                }
            }
            return portion
        }
    }

    /// What one thread does.
    private struct Reader: Sendable {
        let ownership: LayerPacker.Ownership
        let checkCancellation: @Sendable () throws -> Void

        func read(
            _ file: File,
            _ directory: Directory,
            _ buffer: UnsafeMutableRawBufferPointer,
            into portion: inout PackedPortion
        ) throws {
            try checkCancellation()
            let entry = directory.entries[file.index]
            let input = try LayerPacker.openFile(entry.name, in: directory.from.raw)
            let status = try entry.context?.status ?? LinuxSystem.status(of: input.raw)
            let attributes = try LayerPacker.attributes(of: input.raw)
            let metadata = ownership.metadata(.file(size: status.size), status, attributes)
            let identity = status.links > 1 ? HardLinks.Identity(status) : nil
            guard status.kind == .regular else { throw LayerPacker.NotPackable() }
            guard status.size <= buffer.count else {
                // An archive has no holes.
                guard status.blocks * 512 >= status.size else { throw LayerPacker.NotPackable() }
                return try portion.add(
                    file.path,
                    metadata,
                    identity,
                    .later(
                        PackedPortion.LargeFile(
                            directory: directory.from,
                            name: entry.name,
                            size: status.size,
                            scanned: entry.scanned
                        )
                    )
                )
            }
            // A file without a size may have content all the same, as those of /proc have.
            let length = try readBytes(input.raw, buffer, max(1, Int(status.size)))
            guard length == status.size else { throw LayerPacker.NotPackable() }
            let content = UnsafeRawBufferPointer(rebasing: buffer[..<length])
            if let scanned = entry.scanned {
                guard scanned.isUnchanged(try LinuxSystem.status(of: input.raw)) else {
                    throw LayerPacker.NotPackable()
                }
                if let required = scanned.requiredDigest {
                    var hasher = Digest.Hasher()
                    hasher.update(content)
                    guard try contentDigest(hasher.finalize(), input.raw) == required else {
                        throw LayerPacker.NotPackable()
                    }
                }
            }
            try portion.add(file.path, metadata, identity, .bytes(content))
        }

        private func readBytes(_ fd: CInt, _ buffer: UnsafeMutableRawBufferPointer, _ wanted: Int) throws -> Int {
            var length = 0
            while length < wanted {
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer[length..<wanted])
                let count: Int
                do throws(SystemError) {
                    count = try LinuxSystem.readBytes(fd, into: part)
                } catch {
                    guard error.errno == EISDIR else { throw error }
                    throw LayerPacker.NotPackable()
                }
                if count == 0 { break }
                length += count
            }
            return length
        }
    }
}

/// Memory of portions that were written, for those to come.
final class PackingBuffers: Sendable {
    private let free = Mutex([TarPiece]())

    func take() -> TarPiece { free.withLock { $0.popLast() } ?? TarPiece() }

    func give(_ piece: TarPiece) {
        var piece = piece
        piece.removeAll()
        free.withLock { $0.append(piece) }
    }
}
