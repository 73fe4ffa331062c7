// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc

/// Bytes that a tree occupies on disk: allocated blocks, a file with several names in it counted once.
///
/// Symlinks are not followed. What goes away meanwhile is not counted. Depth and length of paths do not matter.
public func diskUsage(of path: RawPath) throws(SystemError) -> Int64 {
    guard let top = try statusIfPresent(at: workingDirectory, path) else { return 0 }
    var count = DiskUsageCount()
    count.add(top)
    guard top.kind == .directory else { return count.bytes }
    // One descriptor at a time: the way back up is "..", so that no depth runs out of them.
    var current = try open(path, [.directory, .noFollow])
    var levels = [try count.add(directory: current.raw)]
    while let pending = levels.last {
        if let next = pending.last {
            levels[levels.count - 1].removeLast()
            do throws(SystemError) {
                current = try open(at: current.raw, next, [.directory, .noFollow])
            } catch {
                if error.isNotFound || error.errno == ENOTDIR { continue }
                throw error
            }
            levels.append(try count.add(directory: current.raw))
        } else {
            levels.removeLast()
            if !levels.isEmpty { current = try open(at: current.raw, "..", [.directory]) }
        }
    }
    return count.bytes
}

private struct DiskUsageCount {
    private struct FileID: Hashable {
        var device: UInt64
        var inode: UInt64
    }

    private(set) var bytes: Int64 = 0
    private var linked: Set<FileID> = []

    mutating func add(_ status: FileStatus) {
        if status.kind != .directory, status.links > 1,
            !linked.insert(FileID(device: status.device, inode: status.inode)).inserted
        {
            return
        }
        bytes += status.blocks * 512
    }

    /// Returns the directories in it.
    mutating func add(directory: CInt) throws(SystemError) -> [RawPath] {
        var directories: [RawPath] = []
        for entry in try readDirectory(directory) {
            guard let status = try statusIfPresent(at: directory, entry.name) else { continue }
            add(status)
            if status.kind == .directory { directories.append(entry.name) }
        }
        return directories
    }
}

/// The file system that a path lies on.
public struct FileSystemSpace: Hashable, Sendable {
    /// Bytes in all.
    public var total: Int64
    /// Bytes that this user can still write.
    public var free: Int64

    public init(total: Int64, free: Int64) {
        self.total = total
        self.free = free
    }

    public init(of path: RawPath) throws(SystemError) {
        var raw = statvfs()
        guard path.withCString({ statvfs($0, &raw) }) == 0 else { throw .last("statvfs", path.description) }
        total = Int64(clamping: UInt64(raw.f_blocks) * UInt64(raw.f_frsize))
        free = Int64(clamping: UInt64(raw.f_bavail) * UInt64(raw.f_frsize))
    }
}
