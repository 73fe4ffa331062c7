// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem

extension DirectoryChangeSink {
    /// The open parent of `path`, and its last name.
    func place(_ path: RawPath) throws -> (parent: CInt, name: RawPath) {
        let (parentPath, name) = path.splitParent()
        if options.notesTouchedDirectories { usedDirectories.insert(parentPath) }
        if !pendingLinks.isEmpty { pendingLinks.removeAll { $0.path == path } }
        return (try parents.descriptor(parentPath), name)
    }

    /// Creates something, after removing what has its name: the last entry of a name wins.
    func replacing<R>(_ parent: CInt, _ name: RawPath, _ create: () throws(SystemError) -> R) throws -> R {
        do throws(SystemError) {
            return try create()
        } catch {
            guard error.errno == EEXIST else { throw error }
        }
        try clear(parent, name)
        return try create()
    }

    /// Removes a name and, for a directory, all below it.
    private func clear(_ parent: CInt, _ name: RawPath) throws {
        let existing = try status(at: parent, name)
        if existing.kind == .directory || existing.kind == .symlink { parents.forget() }
        if existing.kind == .directory {
            // Inodes of removed directories may be used again.
            try removeTree(at: parent, name) { [self] removed in
                delayedTimes[removed.inode] = nil
                implied[removed.inode] = nil
            }
        } else {
            try removeFile(at: parent, name)
        }
    }

    func placeDirectory(_ path: RawPath, _ metadata: EntryMetadata) throws {
        if path.isEmpty {
            let fd = try openInRoot(root, ".", [.directory])
            return try restoreDirectory(fd.raw, path, metadata)
        }
        let (parent, name) = try place(path)
        var hidesLower = false
        do throws(SystemError) {
            try makeDirectory(at: parent, name, mode: metadata.mode & 0o777 | 0o700)
        } catch {
            guard error.errno == EEXIST else { throw error }
            let existing = try status(at: parent, name)
            hidesLower = existing.isWhiteout
            if existing.kind != .directory {
                try clear(parent, name)
                try makeDirectory(at: parent, name, mode: metadata.mode & 0o777 | 0o700)
            }
        }
        let fd = try open(at: parent, name, [.directory, .noFollow])
        if hidesLower, let overlay = options.overlay {
            try setExtendedAttribute(of: fd.raw, overlay.opaqueAttribute, [UInt8(ascii: "y")])
        }
        try restoreDirectory(fd.raw, path, metadata)
    }

    func placeSymlink(_ path: RawPath, _ target: RawPath, _ metadata: EntryMetadata) throws {
        guard !target.isEmpty, !target.containsNUL else {
            throw ArchiveError(.malformed, "the symlink \"\(path)\" has no valid target")
        }
        guard !path.isEmpty else { throw ArchiveError(.conflict, "the archive's root is not a directory") }
        let (parent, name) = try place(path)
        try replacing(parent, name) { () throws(SystemError) in try makeSymlink(at: parent, name, target: target) }
        try setOwner(at: parent, name, uid: metadata.uid, gid: metadata.gid)
        try restoreAttributes(metadata, at: parent, name, path: path)
        try setTimes(at: parent, name, metadata.mtime)
    }

    func placeNode(_ path: RawPath, _ metadata: EntryMetadata) throws {
        guard !path.isEmpty else { throw ArchiveError(.conflict, "the archive's root is not a directory") }
        var device: (type: UInt32, major: UInt32, minor: UInt32) = (UInt32(S_IFIFO), 0, 0)
        switch metadata.kind {
        case .characterDevice(0, 0):
            // To overlayfs it is a whiteout, and archives made of an upper directory mean just that.
            if options.overlay != nil { return try addWhiteout(path) }
            return result.skip(path, "the character device 0/0 is overlayfs's mark for a removed file")
        case .characterDevice(let major, let minor): device = (UInt32(S_IFCHR), major, minor)
        case .blockDevice(let major, let minor): device = (UInt32(S_IFBLK), major, minor)
        default: break
        }
        if metadata.kind != .fifo, options.devices == .skip {
            return result.skip(path, "devices cannot be made without the host's root")
        }
        let (parent, name) = try place(path)
        try replacing(parent, name) { () throws(SystemError) in
            try makeNode(
                at: parent,
                name,
                mode: device.type | metadata.mode & 0o600,
                major: device.major,
                minor: device.minor
            )
        }
        try setOwner(at: parent, name, uid: metadata.uid, gid: metadata.gid)
        try setPermissions(at: parent, name, metadata.mode)
        try restoreAttributes(metadata, at: parent, name, path: path)
        try setTimes(at: parent, name, metadata.mtime)
    }

    // MARK: - Hard links

    func placeHardLink(_ path: RawPath, _ target: RawPath) throws {
        guard !path.isEmpty else { throw ArchiveError(.conflict, "the archive's root is not a directory") }
        let target = try target.relativeToRoot()
        guard !target.isEmpty else { throw ArchiveError(.malformed, "the hard link \"\(path)\" has no target") }
        if target == path { throw ArchiveError(.conflict, "\"\(path)\" is a hard link to itself") }
        if try !link(path, to: target) {
            // What was there before is replaced even though the link is made later.
            let (parent, name) = try place(path)
            if try statusIfPresent(at: parent, name) != nil { try clear(parent, name) }
            pendingLinks.append(UnpackResult.PendingHardLink(path: path, target: target))
        }
    }

    /// False when the target is not there.
    private func link(_ path: RawPath, to target: RawPath) throws -> Bool {
        let (targetParent, targetName) = target.splitParent()
        guard let source = try parents.existing(targetParent),
            let existing = try statusIfPresent(at: source, targetName)
        else { return false }
        if existing.isWhiteout {
            throw ArchiveError(.conflict, "\"\(path)\" is a hard link to \"\(target)\", which this layer removes")
        }
        if existing.kind == .directory {
            throw ArchiveError(.conflict, "\"\(path)\" is a hard link to the directory \"\(target)\"")
        }
        // Opening the parent may drop the cached descriptor of the target's.
        let file = try open(at: source, targetName, [.pathOnly, .noFollow])
        let (parent, name) = try place(path)
        if let occupied = try statusIfPresent(at: parent, name), occupied.inode == existing.inode { return true }
        try replacing(parent, name) { () throws(SystemError) in try makeHardLink(of: file.raw, to: parent, name) }
        return true
    }

    /// Links to files that came later in the archive.
    func retryHardLinks() throws {
        let waiting = pendingLinks
        for pending in waiting {
            parents.beginEntry()
            try naming(pending.path) {
                if try !link(pending.path, to: pending.target) { result.pendingHardLinks.append(pending) }
            }
        }
    }
}
