// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import Glibc
import LinuxSystem

extension LayerCompletion {
    /// Makes hard links whose targets are in lower layers, by copying those up. Returns the bytes copied.
    mutating func link(_ links: [UnpackResult.PendingHardLink]) throws -> Int64 {
        var copied: Int64 = 0
        var left = links
        while !left.isEmpty {
            // A link may name another link that the archive has later.
            var absent: [UnpackResult.PendingHardLink] = []
            for link in left where try !make(link, &copied) { absent.append(link) }
            if absent.count == left.count, let first = absent.first {
                throw SnapshotError(
                    .badLayer,
                    "\"\(first.path)\" is a hard link to nothing: no layer has \"\(first.target)\""
                )
            }
            left = absent
        }
        return copied
    }

    /// False when the target does not exist.
    private mutating func make(_ link: UnpackResult.PendingHardLink, _ copied: inout Int64) throws -> Bool {
        let target = try place(link.target)
        var own = try layerEntry(target)
        if own == nil {
            guard let below = try lowerEntry(target) else { return false }
            try refuseDirectory(below, link)
            copied += try copyUp(below, target)
            own = try layerEntry(target)
        }
        guard let file = own else { return false }
        try refuseDirectory(file, link)
        if try status(of: file.raw).isWhiteout { return false }
        let path = try place(link.path)
        let (parent, name) = path.parentAndName
        try makeDirectories(parent)
        guard let directory = try layerDirectory(parent) else { return false }
        try touch(parent)
        if let existing = try statusIfPresent(at: directory.raw, name) {
            guard existing.isWhiteout else { return true }
            try removeFile(at: directory.raw, name)
        }
        try makeHardLink(of: file.raw, to: directory.raw, name)
        return true
    }

    /// The path with the symlinks above its last name resolved.
    private func place(_ path: RawPath) throws -> RawPath {
        let (parent, name) = path.parentAndName
        return try resolve(parent).appending(name)
    }

    private func refuseDirectory(_ file: SharedFD, _ link: UnpackResult.PendingHardLink) throws {
        guard try status(of: file.raw).kind == .directory else { return }
        throw SnapshotError(.badLayer, "\"\(link.path)\" is a hard link to the directory \"\(link.target)\"")
    }

    /// Copies a lower layer's file into the layer; returns its bytes.
    private mutating func copyUp(_ below: SharedFD, _ path: RawPath) throws -> Int64 {
        let (parent, name) = path.parentAndName
        try makeDirectories(parent)
        guard let directory = try layerDirectory(parent) else { return 0 }
        try touch(parent)
        let status = try status(of: below.raw)
        var size: Int64 = 0
        switch status.kind {
        case .regular: size = try copyFile(below, status, to: directory, name)
        case .symlink: try makeSymlink(at: directory.raw, name, target: readLink(at: below.raw, ""))
        case .fifo: try makeNode(at: directory.raw, name, mode: UInt32(S_IFIFO))
        case .characterDevice, .blockDevice:
            let type = status.kind == .characterDevice ? UInt32(S_IFCHR) : UInt32(S_IFBLK)
            try makeNode(
                at: directory.raw,
                name,
                mode: type,
                major: status.deviceMajor,
                minor: status.deviceMinor
            )
        case .socket, .directory:
            throw SnapshotError(.badLayer, "a hard link to \"\(path)\", which is neither a file nor a device")
        }
        if status.kind != .regular {
            try setOwner(at: directory.raw, name, uid: status.uid, gid: status.gid)
            if status.kind != .symlink { try setPermissions(at: directory.raw, name, status.permissions) }
        }
        try setTimes(at: directory.raw, name, status.modified)
        return size
    }

    private func copyFile(_ below: SharedFD, _ status: FileStatus, to directory: SharedFD, _ name: RawPath) throws
        -> Int64
    {
        let source = try open(RawPath("/proc/self/fd/\(below.raw)"), .readOnly)
        let file = try open(
            at: directory.raw,
            name,
            [.writeOnly, .create, .exclusive, .noFollow],
            mode: 0o600
        ).shared()
        try setSize(file.raw, status.size)
        for range in try dataRanges(source.raw, size: status.size) {
            try seek(source.raw, to: range.lowerBound)
            try seek(file.raw, to: range.lowerBound)
            var left = range.count
            while left > 0 {
                let count = try copyRange(from: source.raw, to: file.raw, left)
                if count == 0 { break }
                left -= count
            }
        }
        try setOwner(of: file.raw, uid: status.uid, gid: status.gid)
        try setPermissions(of: file.raw, status.permissions)
        try copyAttributes(from: below, to: file)
        return status.size
    }
}
