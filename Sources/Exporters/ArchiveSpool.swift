// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import Content
import LinuxSystem
import OCI

/// The files of an image archive, spooled into the content store: an archive from a pipe names its parts at the end.
///
/// What nobody claimed is removed when this value goes.
final class ArchiveSpool {
    struct File {
        var descriptor: Descriptor
        /// Of the first bytes; nil when they are neither tar nor compressed.
        var compression: Compression?
    }

    private let content: ContentStore
    private var files: [RawPath: File] = [:]
    private var links: [RawPath: RawPath] = [:]
    private var made: Set<Digest> = []

    private static let fileLimit = 100_000
    private static let linkLimit = 40

    init(_ content: ContentStore) { self.content = content }

    deinit { removeUnclaimed() }

    /// What another process may use by now is left for a prune.
    func removeUnclaimed() {
        _ = try? content.remove(Array(made), unusedSince: .max)
        made = []
    }

    /// Keeps the blob for good.
    func claim(_ digest: Digest) { made.remove(digest) }

    var isEmpty: Bool { files.isEmpty }

    func find(_ path: RawPath) throws -> File? {
        var path = path
        for _ in 0..<Self.linkLimit {
            if let file = files[path] { return file }
            guard let target = links[path] else { return nil }
            path = target
        }
        throw ExportError(.badArchive, "\"\(path)\" leads through too many links")
    }

    /// A small file's bytes.
    func read(_ path: RawPath) throws -> [UInt8]? {
        guard let file = try find(path) else { return nil }
        guard file.descriptor.size <= 16 << 20 else {
            throw ExportError(.badArchive, "\"\(path)\" has \(file.descriptor.size) bytes")
        }
        return try content.load(file.descriptor.digest)
    }

    /// Reads an archive, plain or compressed.
    func fill(from fd: CInt, _ cancellation: CancellationFlag, progress: (Int64) -> Void) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var filled = 0
        while filled < Compression.prefixLength {
            let count = try readBytes(fd, into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            if count == 0 { break }
            filled += count
        }
        let prefix = UnsafeRawBufferPointer(rebasing: buffer[..<filled])
        guard filled > 0, let format = Compression.detect(prefix) else {
            throw ExportError(.badArchive, "not an image archive: neither a tar nor one compressed with gzip or zstd")
        }
        let reader = Reader(Visitor(spool: self))
        let input = try Decompressor(format) { try reader.push($0) }
        var count = filled
        while count > 0 {
            try cancellation.check()
            try input.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            progress(Int64(count))
            count = try readBytes(fd, into: buffer)
        }
        try input.finish()
        try reader.finish()
    }

    private final class Reader {
        var tar = TarReader()
        var visitor: Visitor
        init(_ visitor: Visitor) { self.visitor = visitor }
        func push(_ bytes: UnsafeRawBufferPointer) throws { try tar.push(bytes, to: &visitor) }
        func finish() throws { try tar.finish() }
    }

    private struct Visitor: TarVisitor {
        let spool: ArchiveSpool
        var path = RawPath("")
        var blob: PendingBlob?
        var prefix: [UInt8] = []

        mutating func visitEntry(_ entry: TarEntry) throws {
            path = try ArchiveSpool.normal(entry.path, in: nil)
            guard spool.files.count + spool.links.count < ArchiveSpool.fileLimit else {
                throw ExportError(.badArchive, "the archive has over \(ArchiveSpool.fileLimit) files")
            }
            switch entry.metadata.kind {
            case .file:
                blob = try spool.content.begin()
                prefix = []
            case .symlink(let target):
                // Old Docker links a layer to the same layer of another image.
                spool.links[path] = try ArchiveSpool.normal(target, in: path)
            case .hardLink(let target): spool.links[path] = try ArchiveSpool.normal(target, in: nil)
            default: break
            }
        }

        mutating func visitData(_ bytes: UnsafeRawBufferPointer) throws {
            if prefix.count < Compression.prefixLength {
                prefix += bytes.prefix(Compression.prefixLength - prefix.count)
            }
            try blob?.write(bytes)
        }

        mutating func visitHole(_ count: Int64) throws {
            let zeros = [UInt8](repeating: 0, count: 1 << 16)
            var left = count
            while left > 0 {
                let part = Int(min(left, Int64(zeros.count)))
                try zeros.withUnsafeBytes { try visitData(UnsafeRawBufferPointer(rebasing: $0[..<part])) }
                left -= Int64(part)
            }
        }

        mutating func visitEnd() throws {
            guard let blob else { return }
            self.blob = nil
            let found = blob.digest
            let isNew = !spool.content.contains(found)
            let descriptor = try spool.content.publish(blob, mediaType: MediaType(""))
            if isNew { spool.made.insert(found) }
            spool.files[path] = File(descriptor: descriptor, compression: Compression.detect(prefix))
            spool.links[path] = nil
        }
    }

    /// The path from the archive's root, `..` folded: entries are only looked up by name, never opened.
    private static func normal(_ path: RawPath, in link: RawPath?) throws -> RawPath {
        var parts = path.bytes.first == UInt8(ascii: "/") ? [] : (link?.components.dropLast() ?? [])
        for part in path.components {
            if part == ".." {
                guard parts.popLast() != nil else {
                    throw ExportError(.badArchive, "\"\(path)\" leads outside the archive")
                }
            } else {
                parts.append(part)
            }
        }
        return RawPath(bytes: parts.map(\.bytes).joined(separator: [UInt8(ascii: "/")]))
    }
}
