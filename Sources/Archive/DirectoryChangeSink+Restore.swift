// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem

extension DirectoryChangeSink {
    /// Owner, then mode (a change of owner clears setuid), then attributes (it clears capabilities too).
    ///
    /// Returns the inode. What creation left right is not set again: looking is cheaper than two journalled changes.
    @discardableResult
    func restore(_ metadata: EntryMetadata, of fd: CInt, path: RawPath) throws -> UInt64 {
        let current = try status(of: fd)
        let ownerDiffers = current.uid != metadata.uid || current.gid != metadata.gid
        if ownerDiffers { try setOwner(of: fd, uid: metadata.uid, gid: metadata.gid) }
        if current.permissions != metadata.mode || (ownerDiffers && metadata.mode & 0o6000 != 0) {
            try setPermissions(of: fd, metadata.mode)
        }
        for attribute in metadata.xattrs {
            try restore(attribute, path) { () throws(SystemError) in
                try setExtendedAttribute(of: fd, attribute.name, attribute.value)
            }
        }
        return current.inode
    }

    /// For what cannot be opened: symlinks, devices, fifos.
    func restoreAttributes(_ metadata: EntryMetadata, at parent: CInt, _ name: RawPath, path: RawPath) throws {
        for attribute in metadata.xattrs {
            try restore(attribute, path) { () throws(SystemError) in
                try setExtendedAttribute(at: parent, name, attribute.name, attribute.value)
            }
        }
    }

    func restoreDirectory(_ fd: CInt, _ path: RawPath, _ metadata: EntryMetadata) throws {
        let inode = try restore(metadata, of: fd, path: path)
        delayedTimes[inode] = DelayedTime(path: path, time: metadata.mtime)
        implied[inode] = nil
    }

    private func restore(
        _ attribute: ExtendedAttribute,
        _ path: RawPath,
        _ set: () throws(SystemError) -> Void
    ) throws {
        // An archive must not speak overlayfs's private language: a redirect would read any lower directory.
        guard !attribute.isOverlay else { return result.skip(path, "\(attribute.name) belongs to overlayfs") }
        do throws(SystemError) {
            try set()
        } catch {
            guard tolerates(error.errno, attribute) else { throw error }
            result.skip(path, "cannot set \(attribute.name): \(error.reason)")
        }
    }

    /// File systems without an attribute's namespace, and namespaces that need the host's root, are not the image's
    /// fault; a lost capability would be a file that no longer works.
    private func tolerates(_ number: Int32, _ attribute: ExtendedAttribute) -> Bool {
        let isSecurity = attribute.name.hasPrefix("security.")
        switch number {
        case ENOTSUP: return !isSecurity
        // user.* is refused on symlinks and devices, whoever asks.
        case EPERM: return options.devices == .skip || attribute.name.hasPrefix("user.")
        default: return false
        }
    }

    // MARK: - Directories

    func imply(_ path: RawPath, _ fd: CInt, replacedWhiteout: Bool) throws {
        let inode = try status(of: fd).inode
        if let owner = options.owner { try setOwner(of: fd, uid: owner.uid, gid: owner.gid) }
        try setPermissions(of: fd, 0o755)
        delayedTimes[inode] = DelayedTime(path: path, time: FileTime(seconds: 0))
        if replacedWhiteout, let overlay = options.overlay {
            // What was below is gone, so there is nothing to inherit from.
            try setExtendedAttribute(of: fd, overlay.opaqueAttribute, [UInt8(ascii: "y")])
        } else {
            implied[inode] = canonicalPath(fd) ?? path
        }
    }

    /// Those that something was put into, at any depth, and whose time the archive does not say: theirs is the moment's, or
    /// what it was before.
    func touchedDirectories() throws -> [RawPath] {
        var seen: Set<RawPath> = []
        var touched: [RawPath] = []
        for used in usedDirectories {
            var next = try existingDirectory(used)
            while let (path, isDescribed) = next, seen.insert(path).inserted {
                if !isDescribed { touched.append(path) }
                next = path.isEmpty ? nil : try existingDirectory(path.splitParent().parent)
            }
        }
        return touched.sorted()
    }

    /// The directory's path without symlinks, and whether the archive says its time. Nil when a later entry replaced it.
    private func existingDirectory(_ path: RawPath) throws -> (RawPath, isDescribed: Bool)? {
        do throws(SystemError) {
            let fd = try openInRoot(root, path.isEmpty ? RawPath(".") : path, [.directory])
            return (canonicalPath(fd.raw) ?? path, delayedTimes[try status(of: fd.raw).inode] != nil)
        } catch {
            if error.isNotFound || error.errno == ELOOP { return nil }
            throw error
        }
    }

    /// The path below the root with symlinks resolved, as the kernel sees it.
    private func canonicalPath(_ fd: CInt) -> RawPath? {
        guard let base = try? readLink(RawPath("/proc/self/fd/\(root)")),
            let full = try? readLink(RawPath("/proc/self/fd/\(fd)")),
            full.bytes.starts(with: base.bytes)
        else { return nil }
        return RawPath(bytes: full.bytes.dropFirst(base.bytes.count).drop { $0 == slash })
    }

    /// Times come last: every name made in a directory changes its time.
    func restoreDirectoryTimes() throws {
        for (inode, delayed) in delayedTimes {
            try naming(delayed.path) {
                let fd: OwnedFD
                do throws(SystemError) {
                    fd = try openInRoot(root, delayed.path, [.directory])
                } catch {
                    // Removed, or replaced, by a later entry.
                    if error.isNotFound || error.errno == ELOOP { return }
                    throw error
                }
                if try status(of: fd.raw).inode == inode { try setTimes(of: fd.raw, delayed.time) }
            }
        }
    }
}
