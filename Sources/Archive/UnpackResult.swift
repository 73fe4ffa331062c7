// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem

/// What an unpack did, and what it could not decide without the layers below.
public struct UnpackResult: Sendable {
    /// A hard link to a file that the archive does not hold; it may be in a lower layer.
    public struct PendingHardLink: Hashable, Sendable {
        public var path: RawPath
        /// From the layer's root.
        public var target: RawPath
    }

    /// Something of the archive that was left out, and why.
    public struct Skipped: Hashable, Sendable {
        public var path: RawPath
        public var reason: String
    }

    /// Directories that the archive uses without describing them, made with mode 0755, root's, and time 0. When a lower
    /// layer has them, their metadata comes from there. With symlinks of this layer resolved; parents before children.
    public internal(set) var impliedDirectories: [RawPath] = []
    /// Directories that were there before, that the archive does not describe, and that it put something into: their time is
    /// that of the moment. With symlinks resolved; empty is the root. Told only when asked for.
    public internal(set) var touchedDirectories: [RawPath] = []
    /// In the order of the archive. Nothing was made at their paths.
    public internal(set) var pendingHardLinks: [PendingHardLink] = []
    /// Bytes of file data, holes not counted.
    public internal(set) var bytesWritten: Int64 = 0
    public internal(set) var entryCount = 0
    /// The first thousand; `skippedCount` has them all.
    public private(set) var skipped: [Skipped] = []
    public private(set) var skippedCount = 0

    mutating func skip(_ path: RawPath, _ reason: String) {
        skippedCount += 1
        if skipped.count < 1000 { skipped.append(Skipped(path: path, reason: reason)) }
    }
}

/// What to do with device nodes.
public enum DevicePolicy: Sendable {
    /// Make them; a refusal by the kernel is an error that names the entry.
    case create
    /// Leave them out and report them, as containerd and Buildah do in a user namespace, where `mknod` of a real device
    /// is refused. The extended attributes that need the host's root (`EPERM`) are left out and reported too.
    case skip
}
