// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import OCI

/// Reads a snapshot directory in overlayfs's own format and says what it changes.
///
/// The order is fixed: a directory, then its names in byte order, each with all that is below it. Of several hard links
/// the first in that order is the file. Sockets are left out, and with them what belongs to the host and not to the
/// image: overlayfs's own attributes, SELinux and Smack labels, EVM signatures. Files are read in pieces of 256 KiB
/// through one buffer, holes not at all. The directory must not change meanwhile; a file that shrinks is an error.
public final class LayerArchiver {
    private struct Identity: Hashable {
        var device: UInt64
        var inode: UInt64
    }

    private let root: CInt
    private let sink: any ChangeSink
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
    /// First path of each file that has several.
    private var linked: [Identity: RawPath] = [:]

    /// `directory` stays the caller's and must be open for reading.
    public init(_ directory: CInt, to sink: any ChangeSink) {
        root = directory
        self.sink = sink
    }

    deinit { buffer.deallocate() }

    /// Archives the snapshot in `directory` in one pass.
    public static func archive(
        _ directory: CInt,
        options: LayerWriter.Options,
        sink: @escaping ByteSink
    ) throws -> WrittenLayer {
        let writer = try LayerWriter(options, sink: sink)
        try LayerArchiver(directory, to: writer).walk()
        return try writer.finish()
    }

    /// Feeds every change to the sink, the root directory's own metadata first. The sink is not finished.
    public func walk() throws {
        let status = try status(of: root)
        let attributes = try FileAttributes(of: root)
        try sink.begin(RawPath(bytes: []), metadata(.directory, status, attributes.kept))
        try sink.end()
        if attributes.isOpaque { try sink.makeOpaque(RawPath(bytes: [])) }
        try walk(root, RawPath(bytes: []))
    }

    private func walk(_ directory: CInt, _ path: RawPath) throws {
        for entry in try readDirectory(directory).sorted(by: { $0.name < $1.name }) {
            let child = path.appending(entry.name)
            // A command can make longer ones, one by one. This also bounds the depth.
            guard child.bytes.count < TarReader.pathLimit else {
                let start = RawPath(bytes: child.bytes.prefix(200))
                throw ArchiveError(.unsupported, "the path \"\(start)…\" is too long for an archive")
            }
            do {
                try visit(entry.name, in: directory, child)
            } catch let error as SystemError {
                throw ArchiveError(.system, "cannot archive \"\(child)\"", cause: error)
            }
        }
    }

    private func visit(_ name: RawPath, in directory: CInt, _ path: RawPath) throws {
        let status = try status(at: directory, name)
        if status.isWhiteout { return try sink.addWhiteout(path) }
        if status.kind == .directory { return try visitDirectory(name, in: directory, path, status) }
        if status.kind == .socket { return }
        if status.links > 1 {
            let identity = Identity(device: status.device, inode: status.inode)
            if let first = linked[identity] {
                try sink.begin(path, metadata(.hardLink(target: first), status, []))
                return try sink.end()
            }
            linked[identity] = path
        }
        if status.kind == .regular { return try visitFile(name, in: directory, path, status) }
        let kind: EntryMetadata.Kind =
            switch status.kind {
            case .symlink: .symlink(target: try readLink(at: directory, name))
            case .characterDevice: .characterDevice(major: status.deviceMajor, minor: status.deviceMinor)
            case .blockDevice: .blockDevice(major: status.deviceMajor, minor: status.deviceMinor)
            default: .fifo
            }
        try sink.begin(path, metadata(kind, status, try FileAttributes(at: directory, name).kept))
        try sink.end()
    }

    private func visitDirectory(_ name: RawPath, in parent: CInt, _ path: RawPath, _ status: FileStatus) throws {
        let fd = try open(at: parent, name, [.directory, .noFollow])
        let attributes = try FileAttributes(of: fd.raw)
        guard !attributes.isRedirected else {
            throw ArchiveError(
                .unsupported,
                "\"\(path)\" is a renamed directory (overlayfs redirect_dir), which a layer cannot express"
            )
        }
        try sink.begin(path, metadata(.directory, status, attributes.kept))
        try sink.end()
        if attributes.isOpaque { try sink.makeOpaque(path) }
        try walk(fd.raw, path)
    }

    // MARK: - Files

    private func visitFile(_ name: RawPath, in parent: CInt, _ path: RawPath, _ status: FileStatus) throws {
        let fd = try open(at: parent, name, [.readOnly, .noFollow, .nonBlocking])
        let attributes = try FileAttributes(of: fd.raw)
        guard !attributes.isMetadataOnly else {
            throw ArchiveError(.unsupported, "\"\(path)\" has no data of its own (overlayfs metacopy)")
        }
        try sink.begin(path, metadata(.file(size: status.size), status, attributes.kept))
        try copyData(fd.raw, path, status)
        try sink.end()
    }

    private func copyData(_ fd: CInt, _ path: RawPath, _ status: FileStatus) throws {
        var position: Int64 = 0
        let isSparse = status.blocks * 512 < status.size
        while position < status.size {
            let data = isSparse ? try nextData(fd, position, end: status.size) : position..<status.size
            if data.lowerBound > position { try sink.writeHole(data.lowerBound - position) }
            if isSparse { try seek(fd, data.lowerBound) }
            position = data.lowerBound
            while position < data.upperBound {
                let wanted = Int(min(Int64(buffer.count), data.upperBound - position))
                let count = try readBytes(fd, into: UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(wanted)))
                guard count > 0 else { throw ArchiveError(.changed, "\"\(path)\" shrank while it was read") }
                try sink.write(UnsafeRawBufferPointer(rebasing: buffer.prefix(count)))
                position += Int64(count)
            }
        }
    }

    /// The next range with data at or after `position`; empty at `end` when only a hole is left.
    private func nextData(_ fd: CInt, _ position: Int64, end: Int64) throws -> Range<Int64> {
        // The Glibc module lacks SEEK_DATA (3) and SEEK_HOLE (4); lseek(2).
        let start = lseek(fd, off_t(position), 3)
        if start < 0 {
            if errno == ENXIO { return end..<end }
            // Not a file system that knows holes.
            if errno == EINVAL { return position..<end }
            throw SystemError(errno: errno, operation: "lseek")
        }
        let stop = lseek(fd, start, 4)
        guard stop >= 0 else { throw SystemError(errno: errno, operation: "lseek") }
        let lower = min(Int64(start), end)
        return lower..<max(lower, min(Int64(stop), end))
    }

    private func seek(_ fd: CInt, _ position: Int64) throws {
        guard lseek(fd, off_t(position), SEEK_SET) >= 0 else { throw SystemError(errno: errno, operation: "lseek") }
    }

    // MARK: - Metadata

    private func metadata(
        _ kind: EntryMetadata.Kind,
        _ status: FileStatus,
        _ attributes: [ExtendedAttribute]
    ) -> EntryMetadata {
        EntryMetadata(
            kind,
            mode: status.permissions,
            uid: status.uid,
            gid: status.gid,
            mtime: status.modified,
            xattrs: attributes
        )
    }
}
