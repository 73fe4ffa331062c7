// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem

/// An extended attribute: name with its namespace, and its bytes.
public struct ExtendedAttribute: Hashable, Sendable {
    public var name: String
    public var value: [UInt8]

    public init(name: String, value: [UInt8]) {
        self.name = name
        self.value = value
    }

    /// Whether overlayfs keeps its own book-keeping under this name.
    public var isOverlay: Bool { name.hasPrefix("trusted.overlay.") || name.hasPrefix("user.overlay.") }
}

/// Everything about a file but its name and its bytes.
public struct EntryMetadata: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// `size` counts holes.
        case file(size: Int64)
        case directory
        case symlink(target: RawPath)
        /// Another name of the file at `target`, a path from the archive's root.
        case hardLink(target: RawPath)
        case characterDevice(major: UInt32, minor: UInt32)
        case blockDevice(major: UInt32, minor: UInt32)
        case fifo
    }

    public var kind: Kind
    /// Permission bits with setuid, setgid and sticky (`0o7777`).
    public var mode: UInt32
    public var uid: UInt32
    public var gid: UInt32
    public var mtime: FileTime
    public var xattrs: [ExtendedAttribute]

    public init(
        _ kind: Kind,
        mode: UInt32 = 0o644,
        uid: UInt32 = 0,
        gid: UInt32 = 0,
        mtime: FileTime = FileTime(seconds: 0),
        xattrs: [ExtendedAttribute] = []
    ) {
        self.kind = kind
        self.mode = mode & 0o7777
        self.uid = uid
        self.gid = gid
        self.mtime = mtime
        self.xattrs = xattrs
    }

    public var isDirectory: Bool { kind == .directory }
}

/// One entry of a tar archive.
public struct TarEntry: Hashable, Sendable {
    /// As the archive spells it.
    public var path: RawPath
    public var metadata: EntryMetadata
    public var userName: RawPath
    public var groupName: RawPath

    public init(path: RawPath, metadata: EntryMetadata, userName: RawPath = "", groupName: RawPath = "") {
        self.path = path
        self.metadata = metadata
        self.userName = userName
        self.groupName = groupName
    }
}
