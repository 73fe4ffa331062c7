// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux
import Glibc

/// Seconds and nanoseconds since 1970.
public struct FileTime: Hashable, Sendable, Comparable {
    public var seconds: Int64
    public var nanoseconds: UInt32

    public init(seconds: Int64, nanoseconds: UInt32 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    public static func < (a: FileTime, b: FileTime) -> Bool { (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds) }

    public static var now: FileTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return FileTime(seconds: Int64(time.tv_sec), nanoseconds: UInt32(time.tv_nsec))
    }

    /// Nanoseconds since 1970, clamped.
    public var sinceEpoch: Int64 {
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, carried) = whole.addingReportingOverflow(Int64(nanoseconds))
        return carried ? .max : sum
    }

    public init(sinceEpoch: Int64) {
        let (quotient, remainder) = sinceEpoch.quotientAndRemainder(dividingBy: 1_000_000_000)
        self.init(
            seconds: remainder < 0 ? quotient - 1 : quotient,
            nanoseconds: UInt32(remainder < 0 ? remainder + 1_000_000_000 : remainder)
        )
    }
}

public enum FileKind: Sendable, Hashable {
    case regular
    case directory
    case symlink
    case characterDevice
    case blockDevice
    case fifo
    case socket

    init(mode: UInt32) {
        self =
            switch mode & UInt32(S_IFMT) {
            case UInt32(S_IFDIR): .directory
            case UInt32(S_IFLNK): .symlink
            case UInt32(S_IFCHR): .characterDevice
            case UInt32(S_IFBLK): .blockDevice
            case UInt32(S_IFIFO): .fifo
            case UInt32(S_IFSOCK): .socket
            default: .regular
            }
    }
}

/// What `statx` tells of a file.
public struct FileStatus: Hashable, Sendable {
    public var device: UInt64
    public var inode: UInt64
    /// Bytes.
    public var size: Int64
    /// 512-byte blocks that are allocated.
    public var blocks: Int64
    public var kind: FileKind
    /// The twelve permission bits.
    public var permissions: UInt32
    public var links: UInt32
    public var uid: UInt32
    public var gid: UInt32
    public var modified: FileTime
    public var changed: FileTime
    /// When the file was made; nil where the file system does not tell.
    public var born: FileTime?
    public var deviceMajor: UInt32
    public var deviceMinor: UInt32

    init(_ raw: galley_stat) {
        device = raw.device
        inode = raw.inode
        size = Int64(clamping: raw.size)
        blocks = Int64(clamping: raw.blocks)
        kind = FileKind(mode: raw.mode)
        permissions = raw.mode & 0o7777
        links = raw.links
        uid = raw.uid
        gid = raw.gid
        modified = FileTime(seconds: raw.mtime_seconds, nanoseconds: raw.mtime_nanoseconds)
        changed = FileTime(seconds: raw.ctime_seconds, nanoseconds: raw.ctime_nanoseconds)
        born = raw.has_btime != 0 ? FileTime(seconds: raw.btime_seconds, nanoseconds: raw.btime_nanoseconds) : nil
        deviceMajor = UInt32(truncatingIfNeeded: raw.special_device_major)
        deviceMinor = UInt32(truncatingIfNeeded: raw.special_device_minor)
    }

    /// Overlayfs's mark for a removed name: a character device 0/0.
    public var isWhiteout: Bool { kind == .characterDevice && deviceMajor == 0 && deviceMinor == 0 }
}

/// The status of `path` below `directory`; the last component is not followed unless `following`.
public func status(
    at directory: CInt,
    _ path: RawPath,
    following: Bool = false
) throws(SystemError) -> FileStatus {
    var raw = galley_stat()
    let result = path.withCString { galley_statx(directory, $0, following ? 0 : AT_SYMLINK_NOFOLLOW, &raw) }
    guard result == 0 else { throw .last("stat", path.description) }
    return FileStatus(raw)
}

/// The status of an open file.
public func status(of fd: CInt) throws(SystemError) -> FileStatus {
    var raw = galley_stat()
    // 0x1000 is AT_EMPTY_PATH, which the Glibc module leaves out.
    guard galley_statx(fd, "", 0x1000, &raw) == 0 else { throw .last("stat") }
    return FileStatus(raw)
}

/// As `status(at:)`, with nil for a name that does not exist.
public func statusIfPresent(
    at directory: CInt,
    _ path: RawPath,
    following: Bool = false
) throws(SystemError) -> FileStatus? {
    do {
        return try status(at: directory, path, following: following)
    } catch {
        if error.isNotFound { return nil }
        throw error
    }
}
