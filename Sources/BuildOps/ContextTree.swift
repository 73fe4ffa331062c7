// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem
public import OCI

/// A file of the build context as it was scanned.
public struct ContextEntry: Sendable {
    public var name: RawPath
    public var status: FileStatus
    /// Of the bytes and extended attributes of a regular file; of the attributes of a directory that has any; else nil.
    public var digest: Digest?
    public var linkTarget: RawPath?
    /// False of a file that was written so shortly before it was read that its times would not tell of a later change.
    public var isSettled = true
    /// The digest was computed for this tree, and the file stood still for long enough that it can be remembered.
    var isNew = false
}

/// A directory of the machine that runs the build, as steps see it: without what the ignore file takes out, without what
/// no step reads. Owners are left out: everything belongs to 0:0, as with Docker.
public final class ContextTree: Sendable {
    /// As ``LocalOp`` names the directory.
    let name: String
    public let root: SharedFD
    /// Names in byte order, by directory; the root's key is empty.
    let directories: [RawPath: ContextDirectory]
    /// Tells why a path is not in the tree.
    let isIgnored: @Sendable (RawPath) -> Bool
    /// Of everything in the tree: paths, kinds, modes, targets, contents, extended attributes, hard links.
    public let digest: Digest

    init(
        name: String,
        root: SharedFD,
        directories: [RawPath: ContextDirectory],
        isIgnored: @escaping @Sendable (RawPath) -> Bool
    ) {
        self.name = name
        self.root = root
        self.directories = directories
        self.isIgnored = isIgnored
        var hasher = Digest.Hasher()
        var links = HardLinks()
        for path in directories.keys.sorted() {
            for entry in directories[path] ?? ContextDirectory() {
                ContentRecord(path.appending(entry.name), entry).hash(into: &hasher)
                if let first = links.first(of: entry.status) { hasher.update("link \(first)\n") }
            }
        }
        digest = hasher.finalize()
    }

    func entry(_ path: RawPath) -> ContextEntry? {
        guard let name = path.lastComponent, let directory = directories[parentPath(path)] else { return nil }
        return directory.index(of: name).map { directory[$0] }
    }
}

/// What of a file decides whether a copy of it is the same: never times.
struct ContentRecord {
    var path: RawPath
    var kind: FileKind
    var permissions: UInt32
    var uid: UInt32
    var gid: UInt32
    var device: (UInt32, UInt32)
    var target: RawPath?
    var digest: Digest?

    init(_ path: RawPath, _ entry: ContextEntry) {
        self.path = path
        kind = entry.status.kind
        permissions = entry.status.permissions
        uid = 0
        gid = 0
        device = (entry.status.deviceMajor, entry.status.deviceMinor)
        target = entry.linkTarget
        digest = entry.digest
    }

    init(_ path: RawPath, _ status: FileStatus, target: RawPath?, digest: Digest?) {
        self.path = path
        kind = status.kind
        permissions = status.permissions
        uid = status.uid
        gid = status.gid
        device = (status.deviceMajor, status.deviceMinor)
        self.target = target
        self.digest = digest
    }

    func hash(into hasher: inout Digest.Hasher) {
        var text = "\(path.bytes.count):"
        // A symlink's own mode is never asked for by anything.
        let mode = kind == .symlink ? 0 : permissions
        text += "\(kind) \(String(mode, radix: 8)) \(uid) \(gid) \(device.0) \(device.1) "
        text += "\(target?.bytes.count ?? -1) \(digest?.hex ?? "-")\n"
        hasher.update(path.bytes)
        hasher.update(text)
        if let target { hasher.update(target.bytes) }
    }
}
