// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import OCI

extension LayerRecord.Entry? {
    /// - Precondition: the two are not equal.
    func difference(
        from other: LayerRecord.Entry?,
        at path: RawPath,
        _ layers: (SharedFD, SharedFD)
    ) throws -> FileDifference {
        switch (self, other) {
        case (nil, let added?):
            let what = added.isWhiteout ? "removed from below" : "there"
            return FileDifference(path: path, aspects: ["added: \(what) only in the second build"], isOnlyTime: false)
        case (let gone?, nil):
            let what = gone.isWhiteout ? "removed from below" : "there"
            return FileDifference(path: path, aspects: ["missing: \(what) only in the first build"], isOnlyTime: false)
        case (let one?, let other?):
            guard one.shape == other.shape else {
                return FileDifference(path: path, aspects: ["\(one.shape) and \(other.shape)"], isOnlyTime: false)
            }
            let time = one.metadata.mtime == other.metadata.mtime ? [] : [one.timeAspect(other)]
            let rest = try one.aspects(other, at: path, layers)
            return FileDifference(path: path, aspects: rest + time, isOnlyTime: rest.isEmpty)
        case (nil, nil): preconditionFailure("one of the layers has the file")
        }
    }
}

extension LayerRecord.Entry {
    var shape: String { isWhiteout ? "removed" : metadata.kind.name }

    func timeAspect(_ other: LayerRecord.Entry) -> String {
        "time \(metadata.mtime.text) and \(other.metadata.mtime.text)"
    }

    /// All that differs but the time.
    func aspects(
        _ other: LayerRecord.Entry,
        at path: RawPath,
        _ layers: (SharedFD, SharedFD)
    ) throws -> [String] {
        var aspects: [String] = []
        if content != other.content {
            aspects.append(try contentAspect(other, at: path, layers))
        } else if metadata.kind != other.metadata.kind {
            aspects.append("\(metadata.kind.detail) and \(other.metadata.kind.detail)")
        }
        if isOpaque != other.isOpaque {
            aspects.append("only in the \(isOpaque ? "first" : "second") build what it held below is gone")
        }
        let (a, b) = (metadata, other.metadata)
        if a.mode != b.mode { aspects.append("mode \(String(a.mode, radix: 8)) and \(String(b.mode, radix: 8))") }
        if (a.uid, a.gid) != (b.uid, b.gid) { aspects.append("owner \(a.uid):\(a.gid) and \(b.uid):\(b.gid)") }
        for name in Set((a.xattrs + b.xattrs).map(\.name)).sorted() {
            let values = (a.xattrs.first { $0.name == name }?.value, b.xattrs.first { $0.name == name }?.value)
            if values.0 == values.1 { continue }
            let place =
                values.0 == nil ? " only in the second build" : values.1 == nil ? " only in the first build" : ""
            aspects.append("attribute \(name)\(place)")
        }
        return aspects
    }

    private func contentAspect(
        _ other: LayerRecord.Entry,
        at path: RawPath,
        _ layers: (SharedFD, SharedFD)
    ) throws -> String {
        guard case .file(let size) = metadata.kind, case .file(let otherSize) = other.metadata.kind else {
            return "content"
        }
        let offset = try firstDifference(path, layers)
        let sizes = size == otherSize ? "\(size) bytes" : "\(size) and \(otherSize) bytes"
        return "content from byte \(offset) (\(sizes))"
    }

    private func firstDifference(_ path: RawPath, _ layers: (SharedFD, SharedFD)) throws -> Int64 {
        let one = try openInRoot(layers.0.raw, path, [.readOnly, .noFollow], resolve: [.inRoot, .noSymlinks])
        let other = try openInRoot(layers.1.raw, path, [.readOnly, .noFollow], resolve: [.inRoot, .noSymlinks])
        var position: Int64 = 0
        var buffers = ([UInt8](repeating: 0, count: 1 << 16), [UInt8](repeating: 0, count: 1 << 16))
        while true {
            let counts = (
                try buffers.0.withUnsafeMutableBytes { try readFully(one.raw, $0) },
                try buffers.1.withUnsafeMutableBytes { try readFully(other.raw, $0) }
            )
            let common = min(counts.0, counts.1)
            if let index = (0..<common).first(where: { buffers.0[$0] != buffers.1[$0] }) {
                return position + Int64(index)
            }
            position += Int64(common)
            if counts.0 != counts.1 || common == 0 { return position }
        }
    }

    private func readFully(_ fd: CInt, _ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        var filled = 0
        while filled < buffer.count {
            let count = try readBytes(fd, into: UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]))
            if count == 0 { break }
            filled += count
        }
        return filled
    }
}

extension EntryMetadata.Kind {
    fileprivate var name: String {
        switch self {
        case .file: "file"
        case .directory: "directory"
        case .symlink: "symlink"
        // Another name of a file is a file to whoever looks.
        case .hardLink: "hard link"
        case .characterDevice: "character device"
        case .blockDevice: "block device"
        case .fifo: "pipe"
        }
    }

    fileprivate var detail: String {
        switch self {
        case .symlink(let target), .hardLink(let target): "\(name) to \(target)"
        case .characterDevice(let major, let minor), .blockDevice(let major, let minor): "\(name) \(major):\(minor)"
        default: name
        }
    }
}

extension FileTime {
    /// Seconds since 1970, as SOURCE_DATE_EPOCH has them.
    fileprivate var text: String {
        guard nanoseconds > 0 else { return String(seconds) }
        let digits = String(nanoseconds)
        return "\(seconds)." + String(repeating: "0", count: 9 - digits.utf8.count) + digits
    }
}
