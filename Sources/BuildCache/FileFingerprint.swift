// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// What a file looked like when its content was hashed; any difference means that it must be hashed again.
public struct FileFingerprint: Hashable, Sendable {
    public var device: UInt64
    public var inode: UInt64
    public var size: Int64
    public var modifiedSeconds: Int64
    public var modifiedNanoseconds: UInt32
    public var changedSeconds: Int64
    public var changedNanoseconds: UInt32

    public init(
        device: UInt64,
        inode: UInt64,
        size: Int64,
        modifiedSeconds: Int64,
        modifiedNanoseconds: UInt32,
        changedSeconds: Int64,
        changedNanoseconds: UInt32
    ) {
        self.device = device
        self.inode = inode
        self.size = size
        self.modifiedSeconds = modifiedSeconds
        self.modifiedNanoseconds = modifiedNanoseconds
        self.changedSeconds = changedSeconds
        self.changedNanoseconds = changedNanoseconds
    }
}

extension FileFingerprint: Comparable {
    /// Inodes first: nearly always they are enough.
    public static func < (a: FileFingerprint, b: FileFingerprint) -> Bool {
        if a.inode != b.inode { return a.inode < b.inode }
        if a.device != b.device { return a.device < b.device }
        if a.size != b.size { return a.size < b.size }
        if a.modifiedSeconds != b.modifiedSeconds { return a.modifiedSeconds < b.modifiedSeconds }
        if a.modifiedNanoseconds != b.modifiedNanoseconds { return a.modifiedNanoseconds < b.modifiedNanoseconds }
        if a.changedSeconds != b.changedSeconds { return a.changedSeconds < b.changedSeconds }
        return a.changedNanoseconds < b.changedNanoseconds
    }
}
