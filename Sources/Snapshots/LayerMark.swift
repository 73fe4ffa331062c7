// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// What a layer's root directory looked like when it was published: found again with the `stat` that every use needs
/// anyway, it tells a directory that was emptied or exchanged behind the store's back.
///
/// Changes further down are not told by it; `OverlaySnapshotter.examine` looks for those.
struct LayerMark: Hashable, CustomStringConvertible {
    private let modified: FileTime
    private let permissions: UInt32
    private let inode: UInt64
    /// When the layer was published: nothing below it was changed since.
    let published: FileTime
    /// Since which start of the machine the layer may be in memory only; nil of one that is on disk. See
    /// `OverlaySnapshotter.settle`.
    private let unsettledSince: String?

    init(_ status: FileStatus, unsettledSince: String? = nil) {
        self.unsettledSince = unsettledSince
        modified = status.modified
        permissions = status.permissions
        inode = status.inode
        published = status.changed
    }

    private init(settling mark: LayerMark) {
        (modified, permissions, inode, published) = (mark.modified, mark.permissions, mark.inode, mark.published)
        unsettledSince = nil
    }

    /// The mark of the same layer once it is on disk.
    var settled: LayerMark { LayerMark(settling: self) }

    /// Nil for a text that no mark has.
    init?(_ text: String) {
        let words = text.split(separator: " ")
        guard words.count == 6 || words.count == 7, let modified = Self.time(words[0], words[1]),
            let permissions = UInt32(words[2], radix: 8),
            let inode = UInt64(words[3]), let published = Self.time(words[4], words[5])
        else { return nil }
        self.modified = modified
        self.permissions = permissions
        self.inode = inode
        self.published = published
        unsettledSince = words.count == 7 ? String(words[6]) : nil
    }

    private static func time(_ seconds: Substring, _ nanoseconds: Substring) -> FileTime? {
        guard let seconds = Int64(seconds), let nanoseconds = UInt32(nanoseconds) else { return nil }
        return FileTime(seconds: seconds, nanoseconds: nanoseconds)
    }

    var description: String {
        "\(modified.seconds) \(modified.nanoseconds) \(String(permissions, radix: 8)) \(inode) \(published.seconds) "
            + "\(published.nanoseconds)" + (unsettledSince.map { " \($0)" } ?? "")
    }

    var isSettled: Bool { unsettledSince == nil }

    /// Whether the machine went down since the layer was made, before all of it was known to be on disk.
    func mayBeIncomplete(_ thisStart: String?) -> Bool { unsettledSince != nil && unsettledSince != thisStart }

    /// Whether a root that looks so now may be the one that was published, or a copy of it.
    func fits(_ status: FileStatus) -> Bool {
        // Some ways to copy know whole seconds only.
        let isSameTime =
            status.modified == modified || status.modified == FileTime(seconds: modified.seconds, nanoseconds: 0)
        return isSameTime && status.permissions == permissions
    }

    /// Whether it is the very directory and not a copy: only then times of change say anything.
    func isOriginal(_ status: FileStatus) -> Bool {
        // A copy may get the number that the original had, but not its age.
        status.inode == inode && status.born.map { $0 <= published } ?? true
    }
}
