// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux
import Glibc

/// Removes a tree; what is not there is not an error. Symlinks are removed, never followed, and other file systems
/// mounted below make it fail (`EBUSY`) rather than be emptied. A tree may be as deep as it likes.
///
/// - Parameter willRemove: told of every directory.
/// - Throws: `ESTALE` when somebody moves a directory elsewhere meanwhile.
public func removeTree(
    at directory: CInt = workingDirectory,
    _ path: RawPath,
    willRemove: @escaping (FileStatus) -> Void = { _ in }
) throws(SystemError) {
    var removal = TreeRemoval(directory, willRemove)
    try removal.remove(path)
}

/// The directories on the way down to the one that is being emptied. Neither descriptors nor stack grow with their
/// number: those above the deepest are closed, and found again through `..` on the way up.
private struct TreeRemoval {
    private struct Level {
        let name: RawPath
        let device: UInt64
        let inode: UInt64
        /// Nil while it is closed.
        var fd: SharedFD?
        var names: [RawPath]
    }

    private static let mostOpen = 32

    private let base: CInt
    private let willRemove: (FileStatus) -> Void
    private var levels: [Level] = []

    init(_ base: CInt, _ willRemove: @escaping (FileStatus) -> Void) {
        self.base = base
        self.willRemove = willRemove
    }

    mutating func remove(_ path: RawPath) throws(SystemError) {
        try removeEntry(path)
        while let level = levels.indices.last {
            if let name = levels[level].names.popLast() {
                try removeEntry(name)
            } else {
                try removeDeepest()
            }
        }
    }

    /// The open directory that the deepest level, or the one above it, lies in.
    private func descriptor(_ level: Int) throws(SystemError) -> CInt {
        guard level >= 0 else { return base }
        guard let fd = levels[level].fd else { throw SystemError(errno: EBADF, operation: "unlink") }
        return fd.raw
    }

    private mutating func removeEntry(_ name: RawPath) throws(SystemError) {
        let parent = try descriptor(levels.count - 1)
        do {
            try removeFile(at: parent, name)
        } catch {
            if error.isNotFound { return }
            guard error.errno == EISDIR || error.errno == EPERM else { throw error }
            do throws(SystemError) {
                try enter(name, in: parent)
            } catch let other {
                // No directory, or none any more.
                if other.isNotFound, error.errno == EISDIR { return }
                throw other.isNotFound ? error : other
            }
        }
    }

    private mutating func enter(_ name: RawPath, in parent: CInt) throws(SystemError) {
        let fd = try openForRemoval(name, in: parent)
        let status = try status(of: fd.raw)
        if status.permissions & 0o700 != 0o700 { try? setPermissions(of: fd.raw, 0o700) }
        willRemove(status)
        // Names are collected first: removing while reading a directory may skip entries.
        let names = try readDirectory(fd.raw).map(\.name)
        levels.append(Level(name: name, device: status.device, inode: status.inode, fd: fd, names: names))
        if levels.count > Self.mostOpen { levels[levels.count - 1 - Self.mostOpen].fd = nil }
    }

    private func openForRemoval(_ name: RawPath, in parent: CInt) throws(SystemError) -> SharedFD {
        do {
            return try open(at: parent, name, [.directory, .noFollow]).shared()
        } catch {
            guard error.errno == EACCES else { throw error }
        }
        // By its handle, since a name may be a symlink by now.
        let handle = try open(at: parent, name, [.pathOnly, .directory, .noFollow])
        try setPermissions(at: workingDirectory, RawPath("/proc/self/fd/\(handle.raw)"), 0o700)
        return try open(at: handle.raw, ".", [.directory]).shared()
    }

    private mutating func removeDeepest() throws(SystemError) {
        let last = levels.count - 1
        if last > 0, levels[last - 1].fd == nil {
            let above = try open(at: descriptor(last), "..", [.directory, .noFollow]).shared()
            let found = try status(of: above.raw)
            guard found.device == levels[last - 1].device, found.inode == levels[last - 1].inode else {
                throw SystemError(errno: ESTALE, operation: "rmdir", path: levels[last].name.description)
            }
            levels[last - 1].fd = above
        }
        let name = levels[last].name
        let parent = try descriptor(last - 1)
        do {
            try removeDirectory(at: parent, name)
        } catch {
            if !error.isNotFound { throw error }
        }
        levels.removeLast()
    }
}
