// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import Content
import LinuxSystem

/// A directory of the store that builds change and use again: that of a cache mount, or a repository's mirror.
public struct MutableStore: Hashable, Sendable {
    /// Path from the root.
    public var name: String
    /// What it is for: the id of a cache mount, the address of a repository.
    public var purpose: String
    /// Bytes on disk.
    public var size: Int64
    /// Seconds since 1970.
    public var created: Int64?
    /// Nanoseconds since 1970.
    public var used: Int64?
    public var uses: Int
    /// Whether somebody has it now.
    public var isInUse: Bool

    init(
        _ directory: RawPath,
        name: String,
        lockFile: RawPath,
        purpose: RawPath,
        created: Int64?,
        _ locked: Set<UInt64>,
        _ sizes: MeasuredSizes
    ) throws {
        let lock = try statusIfPresent(at: workingDirectory, lockFile)
        self.name = name
        self.created = created
        self.purpose = (try? readFile(purpose, limit: 64 << 10)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        used = lock?.modified.sinceEpoch
        uses = lock == nil ? 0 : try UseCount(lockFile).value()
        isInUse = lock.map { locked.contains($0.inode) } ?? false
        size = try sizes.size(of: directory, as: name, lastUse: isInUse ? nil : used)
    }
}

/// Removes those of the directories of a store root that nobody uses now, each with its lock file; returns their names
/// with the bytes that they had on disk.
func removeStores(
    _ names: [String],
    of root: StoreRoot,
    _ cancellation: CancellationFlag,
    lockFile: (RawPath) -> RawPath
) throws -> [(name: String, size: Int64)] {
    var removed: [(name: String, size: Int64)] = []
    for name in names {
        try cancellation.check()
        let directory = root.path.appending(RawPath(name))
        guard let held = try namedLock(lockFile(directory)) else { continue }
        try withExtendedLifetime(held) {
            if try statusIfPresent(at: workingDirectory, directory) != nil {
                removed.append((name, try diskUsage(of: directory)))
                // Away in one step: a kill in the middle of the removal leaves nothing that looks whole.
                let doomed = root.temporaryPath("removed")
                try renameFile(directory, to: workingDirectory, doomed)
                try removeTree(doomed)
            }
            // With its count: what is made anew was never used.
            try removeFile(lockFile(directory))
        }
    }
    return removed
}
