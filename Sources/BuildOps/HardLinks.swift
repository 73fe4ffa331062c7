// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// Tells which files of a selection are one file, as a copy of them will be. Names outside of the selection do not count.
struct HardLinks {
    private struct Key: Hashable {
        var device: UInt64
        var inode: UInt64
    }

    private var files: [Key: Int] = [:]
    private var count = 0

    /// To be asked once for each name, in a fixed order: at which of them the same file was met before; nil the first
    /// time.
    mutating func first(of status: FileStatus) -> Int? {
        count += 1
        guard status.links > 1, status.kind != .directory else { return nil }
        let key = Key(device: status.device, inode: status.inode)
        if let first = files[key] { return first }
        files[key] = count
        return nil
    }
}
