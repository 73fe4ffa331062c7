// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// Tells which files of a selection are one file, as a copy of them will be. Names outside of the selection do not count.
struct HardLinks {
    /// Equal for names of one file.
    struct Identity: Hashable, Sendable {
        private let device: UInt64
        private let inode: UInt64

        init(_ status: FileStatus) { (device, inode) = (status.device, status.inode) }
    }

    private var files: [Identity: Int] = [:]
    private var count = 0

    /// To be asked once for each name, in a fixed order: at which of them the same file was met before; nil the first
    /// time.
    mutating func first(of status: FileStatus) -> Int? {
        count += 1
        guard status.links > 1, status.kind != .directory else { return nil }
        let key = Identity(status)
        if let first = files[key] { return first }
        files[key] = count
        return nil
    }
}
