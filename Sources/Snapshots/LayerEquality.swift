// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import Glibc
import LinuxSystem

/// Whether layers hold the same: names, kinds, modes, owners, targets, attributes, hard links and bytes, but no times.
extension OverlaySnapshotter {
    /// A layer that is gone equals none. What was found equal is remembered, so that it is compared once.
    public func haveEqualContent(
        _ a: SnapshotID,
        _ b: SnapshotID,
        checkCancellation: @escaping () throws -> Void
    ) throws -> Bool {
        if a == b { return true }
        let (first, second) = try (facts(a), facts(b))
        guard let first, let second else { return false }
        if first.twin == second.twin { return true }
        if let one = first.origin, let other = second.origin, one.operation == other.operation, one.read != other.read {
            return false
        }
        let directories = try (layerDirectory(a), layerDirectory(b))
        let isEqual = try withExtendedLifetime(directories) {
            // Most layers that differ do so in more than bytes: nothing is read until all else is equal.
            try [false, true].allSatisfy { readsFiles in
                var comparison = TreeEquality(readsFiles: readsFiles, checkCancellation: checkCancellation)
                return try comparison.isEqual(directories.0.raw, directories.1.raw)
            }
        }
        if isEqual { try setTwin(max(first.twin, second.twin), min(first.twin, second.twin)) }
        return isEqual
    }

    /// Notes what a layer was made by and of: of two layers that one operation made, on equal ones, of different content,
    /// nothing needs to be compared.
    public func setOrigin(_ id: SnapshotID, operation: String, read: String) throws {
        try database.write { transaction in
            try transaction.execute(
                "UPDATE snapshots SET origin = ? WHERE id = ?",
                [.text("\(operation) \(read)"), .integer(id.rawValue)]
            )
        }
    }

    private struct Facts {
        /// The oldest layer with the same content; the layer itself when none is known.
        var twin: SnapshotID
        var origin: (operation: Substring, read: Substring)?
    }

    private func facts(_ id: SnapshotID) throws -> Facts? {
        let row = try database.read { transaction in
            try transaction.query("SELECT twin, origin FROM snapshots WHERE id = ?", [.integer(id.rawValue)]).first
        }
        guard let row else { return nil }
        let words = row.text(1)?.split(separator: " ") ?? []
        return Facts(
            twin: row.integer(0).map(SnapshotID.init) ?? id,
            origin: words.count == 2 ? (words[0], words[1]) : nil
        )
    }

    private func setTwin(_ id: SnapshotID, _ twin: SnapshotID) throws {
        try database.write { transaction in
            try transaction.execute(
                "UPDATE snapshots SET twin = ?1 WHERE id = ?2 OR twin = ?2",
                [.integer(twin.rawValue), .integer(id.rawValue)]
            )
        }
    }
}

/// Compares two trees entry by entry, up to the first difference.
private struct TreeEquality {
    /// False compares all but the bytes of files.
    let readsFiles: Bool
    let checkCancellation: () throws -> Void
    /// Which of the files with several names were seen, and as which of them.
    private var links: (left: [UInt64: Int], right: [UInt64: Int]) = ([:], [:])
    private var count = 0
    private let buffers: (left: Buffer, right: Buffer) = (Buffer(), Buffer())

    private final class Buffer {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
        deinit { bytes.deallocate() }
    }

    init(readsFiles: Bool, checkCancellation: @escaping () throws -> Void) {
        self.readsFiles = readsFiles
        self.checkCancellation = checkCancellation
    }

    /// Deeper trees are not compared: each level takes stack and two descriptors.
    private static let depthLimit = 300

    mutating func isEqual(_ left: CInt, _ right: CInt, depth: Int = 0) throws -> Bool {
        guard depth < Self.depthLimit else { return false }
        if !readsFiles {
            guard isEqual(try status(of: left), try status(of: right)) else { return false }
            guard try attributes(left, "") == attributes(right, "") else { return false }
        }
        let names = try readDirectory(left).map(\.name).sorted()
        guard try readDirectory(right).map(\.name).sorted() == names else { return false }
        for name in names {
            try checkCancellation()
            guard try isEqual(name, left, right, depth) else { return false }
        }
        return true
    }

    private mutating func isEqual(_ name: RawPath, _ left: CInt, _ right: CInt, _ depth: Int) throws -> Bool {
        let (one, other) = (try status(at: left, name), try status(at: right, name))
        if one.kind == .directory {
            guard other.kind == .directory else { return false }
            let below = try open(at: left, name, [.directory, .noFollow])
            let beside = try open(at: right, name, [.directory, .noFollow])
            return try isEqual(below.raw, beside.raw, depth: depth + 1)
        }
        if readsFiles { return try one.kind != .regular || one.size == 0 || haveEqualBytes(name, left, right) }
        guard isEqual(one, other) else { return false }
        if one.kind == .symlink, try readLink(at: left, name) != readLink(at: right, name) { return false }
        if one.links > 1 {
            count += 1
            let (first, second) = (links.left[one.inode] ?? count, links.right[other.inode] ?? count)
            guard first == second else { return false }
            links.left[one.inode] = first
            links.right[other.inode] = second
        }
        return try attributes(left, name) == attributes(right, name)
    }

    private func isEqual(_ one: FileStatus, _ other: FileStatus) -> Bool {
        guard one.kind == other.kind, one.permissions == other.permissions else { return false }
        guard one.uid == other.uid, one.gid == other.gid else { return false }
        switch one.kind {
        case .regular: return one.size == other.size && (one.links > 1) == (other.links > 1)
        case .characterDevice, .blockDevice:
            return one.deviceMajor == other.deviceMajor && one.deviceMinor == other.deviceMinor
        default: return true
        }
    }

    private func attributes(_ directory: CInt, _ name: RawPath) throws -> [String: [UInt8]] {
        var result: [String: [UInt8]] = [:]
        for key in try extendedAttributeNames(at: directory, name) where !Self.isBookkeeping(key) {
            result[key] = try extendedAttribute(at: directory, name, key)
        }
        return result
    }

    /// Of overlayfs's own attributes those count that hide what lies below.
    private static func isBookkeeping(_ key: String) -> Bool {
        let parts = key.split(separator: ".", maxSplits: 2)
        guard parts.count == 3, parts[1] == "overlay" else { return false }
        return !["opaque", "whiteout", "whiteouts"].contains(parts[2])
    }

    private func haveEqualBytes(_ name: RawPath, _ left: CInt, _ right: CInt) throws -> Bool {
        let one = try open(at: left, name, [.noFollow])
        let other = try open(at: right, name, [.noFollow])
        while true {
            try checkCancellation()
            let count = try fill(buffers.left, one.raw)
            guard try fill(buffers.right, other.raw) == count else { return false }
            if count == 0 { return true }
            guard let left = buffers.left.bytes.baseAddress, let right = buffers.right.bytes.baseAddress,
                memcmp(left, right, count) == 0
            else { return false }
        }
    }

    /// Bytes read; fewer than there is room for only at the end.
    private func fill(_ buffer: Buffer, _ fd: CInt) throws -> Int {
        var count = 0
        while count < buffer.bytes.count {
            let read = try readBytes(fd, into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[count...]))
            if read == 0 { break }
            count += read
        }
        return count
    }
}
