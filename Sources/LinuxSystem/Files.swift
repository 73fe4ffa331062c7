// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux
import Glibc

/// `AT_FDCWD`: paths are relative to the working directory.
public let workingDirectory: CInt = AT_FDCWD

/// Flags of `open`; close-on-exec is always added.
public struct OpenFlags: OptionSet, Sendable {
    public let rawValue: CInt

    public init(rawValue: CInt) { self.rawValue = rawValue }

    public static let readOnly = OpenFlags([])
    public static let writeOnly = OpenFlags(rawValue: O_WRONLY)
    public static let readWrite = OpenFlags(rawValue: O_RDWR)
    public static let create = OpenFlags(rawValue: O_CREAT)
    public static let exclusive = OpenFlags(rawValue: O_EXCL)
    public static let truncate = OpenFlags(rawValue: O_TRUNC)
    public static let append = OpenFlags(rawValue: O_APPEND)
    public static let directory = OpenFlags(rawValue: O_DIRECTORY)
    public static let noFollow = OpenFlags(rawValue: O_NOFOLLOW)
    public static let nonBlocking = OpenFlags(rawValue: O_NONBLOCK)
    /// A handle that names the file without opening it.
    public static let pathOnly = OpenFlags(rawValue: 0o10000000)
}

public func open(
    at directory: CInt = workingDirectory,
    _ path: RawPath,
    _ flags: OpenFlags,
    mode: UInt32 = 0o666
) throws(SystemError) -> OwnedFD {
    let fd = path.withCString { galley_openat(directory, $0, flags.rawValue | O_CLOEXEC, mode) }
    guard fd >= 0 else { throw .last("open", path.description) }
    return OwnedFD(owning: fd)
}

/// How `openInRoot` resolves names.
public struct ResolveFlags: OptionSet, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Mount points below the root are not entered.
    public static let noMountCrossing = ResolveFlags(rawValue: 0x01)
    /// Any symlink on the way is an error (`ELOOP`).
    public static let noSymlinks = ResolveFlags(rawValue: 0x04)
    /// Leaving the directory through `..`, an absolute path or a symlink is an error (`EXDEV`).
    public static let beneath = ResolveFlags(rawValue: 0x08)
    /// The directory is the root for `/`, `..` and symlinks: nothing outside it can be reached.
    public static let inRoot = ResolveFlags(rawValue: 0x10)
}

/// Opens `path` below `root`, which no symlink and no `..` can leave (`openat2`).
public func openInRoot(
    _ root: CInt,
    _ path: RawPath,
    _ flags: OpenFlags,
    mode: UInt32 = 0,
    resolve: ResolveFlags = .inRoot
) throws(SystemError) -> OwnedFD {
    // RESOLVE_NO_MAGICLINKS always: /proc-style links inside an untrusted tree would lead anywhere.
    let name: RawPath = path.isEmpty ? "." : path
    let fd = name.withCString {
        galley_openat2(
            root,
            $0,
            UInt64(flags.rawValue | O_CLOEXEC),
            UInt64(flags.contains(.create) ? mode : 0),
            resolve.rawValue | 0x02
        )
    }
    guard fd >= 0 else { throw .last("open", path.description) }
    return OwnedFD(owning: fd)
}

public func readLink(at directory: CInt = workingDirectory, _ path: RawPath) throws(SystemError) -> RawPath {
    var buffer = [UInt8](repeating: 0, count: 4097)
    let capacity = buffer.count
    let count = path.withCString { name in
        buffer.withUnsafeMutableBytes {
            galley_readlink(directory, name, $0.baseAddress, capacity)
        }
    }
    guard count >= 0 else { throw .last("readlink", path.description) }
    return RawPath(bytes: buffer[..<count])
}

public func makeDirectory(
    at directory: CInt = workingDirectory,
    _ path: RawPath,
    mode: UInt32 = 0o755
) throws(SystemError) {
    guard path.withCString({ mkdirat(directory, $0, mode) }) == 0 else { throw .last("mkdir", path.description) }
}

/// Makes the directory and what is missing above it. Existing directories are left alone.
public func makeDirectories(_ path: RawPath, mode: UInt32 = 0o755) throws(SystemError) {
    do {
        try makeDirectory(path, mode: mode)
    } catch {
        switch error.errno {
        case EEXIST:
            guard try status(at: workingDirectory, path, following: true).kind == .directory else { throw error }
        case ENOENT:
            guard let slash = path.bytes.lastIndex(of: UInt8(ascii: "/")), slash > 0 else { throw error }
            try makeDirectories(RawPath(bytes: path.bytes[..<slash]), mode: mode)
            do { try makeDirectory(path, mode: mode) } catch { if error.errno != EEXIST { throw error } }
        default:
            throw error
        }
    }
}

public func makeSymlink(at directory: CInt, _ path: RawPath, target: RawPath) throws(SystemError) {
    let result = target.withCString { target in path.withCString { symlinkat(target, directory, $0) } }
    guard result == 0 else { throw .last("symlink", path.description) }
}

/// Makes a device, fifo or socket; `mode` holds the file type bits too.
public func makeNode(
    at directory: CInt,
    _ path: RawPath,
    mode: UInt32,
    major: UInt32 = 0,
    minor: UInt32 = 0
) throws(SystemError) {
    guard path.withCString({ galley_mknod(directory, $0, mode, major, minor) }) == 0 else {
        throw .last("mknod", path.description)
    }
}

/// Makes overlayfs's mark for a removed name: a character device 0/0.
public func makeWhiteout(at directory: CInt, _ path: RawPath) throws(SystemError) {
    try makeNode(at: directory, path, mode: UInt32(S_IFCHR))
}

public func makeHardLink(
    from source: CInt,
    _ sourcePath: RawPath,
    to directory: CInt,
    _ path: RawPath
) throws(SystemError) {
    let result = sourcePath.withCString { from in path.withCString { linkat(source, from, directory, $0, 0) } }
    guard result == 0 else { throw .last("link", path.description) }
}

/// Gives an open file (also one opened with `pathOnly`) a name.
public func makeHardLink(of fd: CInt, to directory: CInt, _ path: RawPath) throws(SystemError) {
    let result = path.withCString { name in
        "/proc/self/fd/\(fd)".withCString { linkat(AT_FDCWD, $0, directory, name, AT_SYMLINK_FOLLOW) }
    }
    guard result == 0 else { throw .last("link", path.description) }
}

public func removeFile(at directory: CInt = workingDirectory, _ path: RawPath) throws(SystemError) {
    guard path.withCString({ unlinkat(directory, $0, 0) }) == 0 else { throw .last("unlink", path.description) }
}

public func removeDirectory(at directory: CInt = workingDirectory, _ path: RawPath) throws(SystemError) {
    guard path.withCString({ unlinkat(directory, $0, AT_REMOVEDIR) }) == 0 else {
        throw .last("rmdir", path.description)
    }
}

/// Renames; with `replacing: false` an existing target is an error (`EEXIST`).
public func renameFile(
    at directory: CInt = workingDirectory,
    _ path: RawPath,
    to newDirectory: CInt = workingDirectory,
    _ newPath: RawPath,
    replacing: Bool = true
) throws(SystemError) {
    let result = path.withCString { from in
        newPath.withCString { galley_renameat2(directory, from, newDirectory, $0, replacing ? 0 : 1) }
    }
    guard result == 0 else { throw .last("rename", newPath.description) }
}

/// Changes the owner of a name; a symlink itself, not its target.
public func setOwner(at directory: CInt, _ path: RawPath, uid: UInt32, gid: UInt32) throws(SystemError) {
    guard path.withCString({ fchownat(directory, $0, uid, gid, AT_SYMLINK_NOFOLLOW) }) == 0 else {
        throw .last("chown", path.description)
    }
}

public func setOwner(of fd: CInt, uid: UInt32, gid: UInt32) throws(SystemError) {
    guard fchown(fd, uid, gid) == 0 else { throw .last("chown") }
}

/// Changes the twelve permission bits. Symlinks are followed: never call it for one.
public func setPermissions(at directory: CInt, _ path: RawPath, _ mode: UInt32) throws(SystemError) {
    guard path.withCString({ fchmodat(directory, $0, mode, 0) }) == 0 else { throw .last("chmod", path.description) }
}

public func setPermissions(of fd: CInt, _ mode: UInt32) throws(SystemError) {
    guard fchmod(fd, mode) == 0 else { throw .last("chmod") }
}

/// Sets access and modification time of a name; a symlink itself, not its target.
public func setTimes(at directory: CInt, _ path: RawPath, _ time: FileTime) throws(SystemError) {
    let result = path.withCString {
        galley_set_times(directory, $0, time.seconds, time.nanoseconds, AT_SYMLINK_NOFOLLOW)
    }
    guard result == 0 else { throw .last("utimens", path.description) }
}

public func setTimes(of fd: CInt, _ time: FileTime) throws(SystemError) {
    let time = timespec(tv_sec: Int(time.seconds), tv_nsec: Int(time.nanoseconds))
    let result = withUnsafeTemporaryAllocation(of: timespec.self, capacity: 2) { times in
        times.initialize(repeating: time)
        return futimens(fd, times.baseAddress)
    }
    guard result == 0 else { throw .last("utimens") }
}

/// Flushes the file system that `fd` lies on.
public func syncFileSystem(_ fd: CInt) throws(SystemError) {
    guard galley_syncfs(fd) == 0 else { throw .last("syncfs") }
}

public func syncFile(_ fd: CInt) throws(SystemError) {
    guard fsync(fd) == 0 else { throw .last("fsync") }
}
