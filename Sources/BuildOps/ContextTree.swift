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
        var hash = ContentHash()
        var links = HardLinks()
        for path in directories.keys.sorted() {
            for entry in directories[path] ?? ContextDirectory() {
                hash.add(ContentRecord(path.appending(entry.name), entry))
                if let first = links.first(of: entry.status) { hash.addLink(to: first) }
            }
        }
        digest = hash.finalize()
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
}

/// Hashes records one after the other. Each begins with its own kind and tells the length of what follows, so that no two
/// lists give the same bytes.
struct ContentHash {
    private var hasher = Digest.Hasher()
    private var bytes: [UInt8] = []

    private static let portion = 16 << 10

    init() { bytes.reserveCapacity(Self.portion + 8192) }

    mutating func add(_ record: ContentRecord) {
        bytes.append(UInt8(ascii: "f"))
        append(record.path.bytes)
        bytes.append(record.kind.code)
        // A symlink's own mode is never asked for by anything.
        append(record.kind == .symlink ? 0 : record.permissions)
        append(record.uid)
        append(record.gid)
        append(record.device.0)
        append(record.device.1)
        if let target = record.target { append(target.bytes) } else { append(UInt32.max) }
        if let digest = record.digest {
            bytes.append(UInt8(ascii: "d"))
            append(digest.bytes)
        } else {
            bytes.append(UInt8(ascii: "-"))
        }
        flush(Self.portion)
    }

    /// The record before this is another name of the file that the record of this number is about.
    mutating func addLink(to number: Int) {
        bytes.append(UInt8(ascii: "l"))
        append(UInt32(truncatingIfNeeded: number))
        append(UInt32(truncatingIfNeeded: number >> 32))
    }

    /// Text that begins in no way a record does.
    mutating func add(title: StaticString, _ text: [UInt8]) {
        bytes.append(UInt8(ascii: "t"))
        title.withUTF8Buffer { append(Array($0)) }
        append(text)
        flush(Self.portion)
    }

    mutating func finalize() -> Digest {
        flush(0)
        return hasher.finalize()
    }

    private mutating func flush(_ limit: Int) {
        guard bytes.count > limit else { return }
        hasher.update(bytes)
        bytes.removeAll(keepingCapacity: true)
    }

    private mutating func append(_ number: UInt32) { withUnsafeBytes(of: number.littleEndian) { bytes += $0 } }

    private mutating func append(_ text: [UInt8]) {
        append(UInt32(truncatingIfNeeded: text.count))
        bytes += text
    }
}

extension FileKind {
    /// Stands for the kind in what is hashed and kept: never changed.
    fileprivate var code: UInt8 {
        switch self {
        case .regular: 0
        case .directory: 1
        case .symlink: 2
        case .characterDevice: 3
        case .blockDevice: 4
        case .fifo: 5
        case .socket: 6
        }
    }
}
