// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import OCI

/// Computes digests of a layer's directory that are equal for layers that hold the same, whatever their times.
struct LayerDigester {
    /// What a digest is about; the raw values are columns of the store's table.
    enum Part: String, CaseIterable {
        /// All but the bytes of files: names, kinds, modes, owners, sizes, targets, devices, attributes, hard links.
        case outline
        /// The bytes of files. Equal outlines say which file each of them belongs to.
        case content
    }

    private let part: Part
    private let checkCancellation: () throws -> Void
    private var hasher = Digest.Hasher()
    /// The files with several names, by inode: at which entry each of them was first met.
    private var links: [UInt64: Int] = [:]
    private var count = 0
    private let buffer = Buffer()

    private final class Buffer {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)
        deinit { bytes.deallocate() }
    }

    init(_ part: Part, checkCancellation: @escaping () throws -> Void) {
        self.part = part
        self.checkCancellation = checkCancellation
    }

    /// Each level takes stack and a descriptor.
    private static let depthLimit = 300

    /// Nil for a tree that is too deep.
    mutating func digest(of directory: CInt) throws -> Digest? {
        guard try addDirectory(directory, depth: 0) else { return nil }
        return hasher.finalize()
    }

    private mutating func addDirectory(_ directory: CInt, depth: Int) throws -> Bool {
        guard depth < Self.depthLimit else { return false }
        if part == .outline {
            try add(RawPath(""), status(of: directory))
            try addAttributes(directory, "")
        }
        for name in try readDirectory(directory).map(\.name).sorted() {
            try checkCancellation()
            guard try addEntry(name, in: directory, depth) else { return false }
        }
        if part == .outline { hasher.update("end\n") }
        return true
    }

    private mutating func addEntry(_ name: RawPath, in directory: CInt, _ depth: Int) throws -> Bool {
        let status = try status(at: directory, name)
        count += 1
        if status.kind == .directory {
            if part == .outline { addName(name) }
            let below = try open(at: directory, name, [.directory, .noFollow])
            return try addDirectory(below.raw, depth: depth + 1)
        }
        let first = firstSighting(of: status)
        switch part {
        case .content:
            if status.kind == .regular, status.size > 0, first == nil { try addBytes(name, in: directory) }
        case .outline:
            add(name, status)
            if status.kind == .symlink { hasher.update(try readLink(at: directory, name).bytes) }
            if let first { hasher.update("link \(first)\n") } else { try addAttributes(directory, name) }
        }
        return true
    }

    /// The entry's number at which a file was met before under another name; nil the first time.
    private mutating func firstSighting(of status: FileStatus) -> Int? {
        guard status.links > 1 else { return nil }
        if let first = links[status.inode] { return first }
        links[status.inode] = count
        return nil
    }

    private mutating func addName(_ name: RawPath) {
        hasher.update("\(name.bytes.count):")
        hasher.update(name.bytes)
    }

    private mutating func add(_ name: RawPath, _ status: FileStatus) {
        addName(name)
        var text = "\(status.kind) \(status.permissions) \(status.uid) \(status.gid) "
        switch status.kind {
        case .regular, .symlink: text += "\(status.size)\n"
        case .characterDevice, .blockDevice: text += "\(status.deviceMajor) \(status.deviceMinor)\n"
        default: text += "\n"
        }
        hasher.update(text)
    }

    private mutating func addAttributes(_ directory: CInt, _ name: RawPath) throws {
        for key in try extendedAttributeNames(at: directory, name).sorted() where !Self.isBookkeeping(key) {
            let value = try extendedAttribute(at: directory, name, key) ?? []
            hasher.update("\(key.utf8.count) \(value.count) \(key)=")
            hasher.update(value)
        }
    }

    /// Of overlayfs's own attributes those count that hide what lies below.
    private static func isBookkeeping(_ key: String) -> Bool {
        let parts = key.split(separator: ".", maxSplits: 2)
        guard parts.count == 3, parts[1] == "overlay" else { return false }
        return !["opaque", "whiteout", "whiteouts"].contains(parts[2])
    }

    private mutating func addBytes(_ name: RawPath, in directory: CInt) throws {
        let fd = try open(at: directory, name, [.noFollow])
        while true {
            try checkCancellation()
            let count = try readBytes(fd.raw, into: buffer.bytes)
            if count == 0 { return }
            hasher.update(UnsafeRawBufferPointer(rebasing: buffer.bytes[..<count]))
        }
    }
}
