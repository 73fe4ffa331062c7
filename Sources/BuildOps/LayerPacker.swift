// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import BuildDefinition
import Glibc
import LinuxSystem
import OCI
import Snapshots
import Synchronization

/// Copies a directory straight into a layer's archive, where nobody is going to look at the layer's files: making many
/// files costs several times what writing them one behind the other does.
///
/// The archive is the one that the layer would give whose files a ``TreeCopier`` had made. What is not plain is left to
/// that: see ``NotPackable``.
struct LayerPacker {
    /// The copy must be made as files: a name, a file or a place that an archive written from front to back cannot have,
    /// or a source that changed meanwhile. Nothing is wrong with it.
    struct NotPackable: Error {}

    /// Copies of fewer files are made as files: there is little to be gained.
    static let leastFiles = 256

    private let source: any SourceTree
    private let target: LayerTarget
    private let ownership: Ownership
    private let checkCancellation: @Sendable () throws -> Void

    /// What becomes of owners and modes.
    struct Ownership: Sendable {
        let owner: (uid: UInt32, gid: UInt32)?
        let keepsOwners: Bool
        let permissions: FilePermissions?

        func metadata(
            _ kind: EntryMetadata.Kind,
            _ status: FileStatus,
            _ attributes: [ExtendedAttribute] = []
        ) -> EntryMetadata {
            let (uid, gid) = owner ?? (keepsOwners ? (status.uid, status.gid) : (0, 0))
            let mode = status.kind == .symlink ? status.permissions : permissions.of(status)
            return EntryMetadata(kind, mode: mode, uid: uid, gid: gid, mtime: status.modified, xattrs: attributes)
        }
    }

    init(
        from source: any SourceTree,
        to target: LayerTarget,
        owner: (uid: UInt32, gid: UInt32)?,
        permissions: FilePermissions?,
        checkCancellation: @escaping @Sendable () throws -> Void
    ) {
        self.source = source
        self.target = target
        ownership = Ownership(owner: owner, keepsOwners: source.keepsOwners, permissions: permissions)
        self.checkCancellation = checkCancellation
    }

    /// Whether a copy of the directory is large enough.
    static func isWorthwhile(_ item: CopySource, of source: any SourceTree) throws -> Bool {
        var left = leastFiles
        var pending = [item.path]
        while left > 0, let path = pending.popLast() {
            guard let directory = try? open(path, of: source) else { return false }
            let entries = try source.entries(path, directory.raw)
            for index in 0..<entries.count {
                let entry = entries[index]
                if entry.kind == .directory { pending.append(path.appending(entry.name)) } else { left -= 1 }
            }
        }
        return left <= 0
    }

    /// Copies the directory's content into the directory `destination` of the layer's archive; the layer's own tree gets
    /// that directory and those above it.
    ///
    /// - Throws: ``NotPackable``.
    func pack(_ item: CopySource, to destination: RawPath, _ archive: consuming OwnedFD) throws -> PackedLayer {
        try checkStore(archive.raw)
        let below = try target.status(destination)
        try target.ensureDirectory(
            destination,
            owner: ownership.owner,
            permissions: ownership.permissions.forNewDirectory
        )
        let directory = try Self.open(item.path, of: source)
        let entries = try source.entries(item.path, directory.raw)
        let newest = try newestTime(entries, directory, item.path)
        if below != nil { try checkRoom(entries, destination) }
        if !destination.isEmpty { target.setTime(destination, max(target.leastTime, newest)) }
        try target.finish()
        var front = TarPiece()
        try addParents(destination, to: &front)
        let writer = Mutex(try PackedWriter(LayerTarFile(archive), front, checkCancellation))
        try OrderedJobs.run(take: { portion in try writer.withLock { try $0.add(portion) } }) { jobs in
            let queue = PackingQueue(jobs, ownership, checkCancellation)
            try walk(item.path, directory, entries, destination, queue)
            try queue.flush()
        }
        return try writer.withLock { try $0.finish() }
    }

    private static func open(_ path: RawPath, of source: any SourceTree) throws -> SharedFD {
        try openInRoot(source.root, path, [.directory], resolve: [.inRoot, .noSymlinks]).shared()
    }

    /// The newest time of what is directly in the directory and will be in the layer.
    private func newestTime(_ entries: SourceDirectory, _ directory: SharedFD, _ path: RawPath) throws -> FileTime {
        var newest = FileTime(seconds: 0)
        for index in 0..<entries.count {
            let entry = entries[index]
            let known = entry.context?.status
            guard let status = try known ?? statusIfPresent(at: directory.raw, entry.name) else { throw NotPackable() }
            if status.kind != .socket { newest = max(newest, status.modified) }
        }
        return newest
    }

    /// Directories that are there below would be merged, and files cannot replace them.
    private func checkRoom(_ entries: SourceDirectory, _ destination: RawPath) throws {
        for index in 0..<entries.count {
            let entry = entries[index]
            guard let there = try statusIfPresent(at: target.base, destination.appending(entry.name)) else { continue }
            if there.kind == .directory || entry.kind == .directory || entry.kind == nil { throw NotPackable() }
        }
    }

    /// The directories on the way to `path`, and itself, as the layer has them.
    private func addParents(_ path: RawPath, to piece: inout TarPiece) throws {
        var current = RawPath("")
        for name in path.components {
            current = current.appending(name)
            guard !name.mayBeMarker, current.bytes.count < TarReader.pathLimit else { throw NotPackable() }
            let directory = try openInRoot(target.layer, current, [.directory], resolve: [.inRoot, .noSymlinks])
            let status = try status(of: directory.raw)
            try piece.begin(
                current,
                EntryMetadata(
                    .directory,
                    mode: status.permissions,
                    uid: status.uid,
                    gid: status.gid,
                    mtime: status.modified,
                    xattrs: try copiedAttributes(of: directory.raw)
                )
            )
        }
    }

    // MARK: Walking

    private func walk(
        _ path: RawPath,
        _ from: SharedFD,
        _ entries: SourceDirectory,
        _ destination: RawPath,
        _ queue: PackingQueue
    ) throws {
        for index in 0..<entries.count {
            try checkCancellation()
            let entry = entries[index]
            let place = destination.appending(entry.name)
            guard !entry.name.mayBeMarker, place.bytes.count < TarReader.pathLimit else { throw NotPackable() }
            try checkLength(entry.name, in: path)
            switch entry.kind {
            case .regular:
                try queue.add(PackingQueue.File(index: index, path: place), entry.size, of: entries, from)
            case .directory:
                let child = path.appending(entry.name)
                let below = try openDirectory(entry.name, in: from)
                let status = try status(of: below.raw)
                guard source.isUnchanged(child, status) else { throw NotPackable() }
                let metadata = ownership.metadata(.directory, status, try Self.attributes(of: below.raw))
                try queue.add(place, metadata, status)
                try walk(child, below, source.entries(child, below.raw), place, queue)
            case .symlink, .fifo:
                guard let status = try statusIfPresent(at: from.raw, entry.name), status.kind == entry.kind,
                    entry.scanned?.isUnchanged(status) ?? true
                else { throw NotPackable() }
                let kind: EntryMetadata.Kind =
                    status.kind == .fifo ? .fifo : .symlink(target: try readLink(at: from.raw, entry.name))
                try queue.add(place, ownership.metadata(kind, status), status)
            case .socket: break
            case .characterDevice, .blockDevice, nil: throw NotPackable()
            }
        }
    }

    /// Regular when it was looked at last.
    static func openFile(_ name: RawPath, in directory: CInt) throws -> OwnedFD {
        do throws(SystemError) {
            // It may be a fifo by now, which must not be waited for.
            return try LinuxSystem.open(at: directory, name, [.readOnly, .noFollow, .nonBlocking])
        } catch {
            guard error.isNotFound || [ELOOP, ENXIO, ENODEV].contains(error.errno) else { throw error }
            throw NotPackable()
        }
    }

    /// Those that every store can keep: one that cannot would give another archive once the layer is unpacked.
    static func attributes(of fd: CInt) throws -> [ExtendedAttribute] {
        let attributes = try copiedAttributes(of: fd)
        guard attributes.allSatisfy({ $0.name == "security.capability" }) else { throw NotPackable() }
        return attributes
    }

    /// Whether files in the store can have the owner and the times that the archive says.
    private func checkStore(_ archive: CInt) throws {
        do throws(SystemError) {
            let time = FileTime(seconds: 2_000_000_000, nanoseconds: 123_456_789)
            try setTimes(of: archive, time)
            guard try status(of: archive).modified == time else {
                throw SystemError(errno: ERANGE, operation: "utimensat")
            }
            guard let owner = ownership.owner else { return }
            let before = try status(of: archive)
            try setOwner(of: archive, uid: owner.uid, gid: owner.gid)
            try setOwner(of: archive, uid: before.uid, gid: before.gid)
        } catch {
            throw NotPackable()
        }
    }

    private func openDirectory(_ name: RawPath, in directory: SharedFD) throws -> SharedFD {
        do throws(SystemError) {
            return try LinuxSystem.open(at: directory.raw, name, [.directory, .noFollow]).shared()
        } catch {
            if error.isNotFound || error.errno == ELOOP { throw NotPackable() }
            throw error
        }
    }
}

extension RawPath {
    /// A name that would mean a removed file in a layer.
    fileprivate var mayBeMarker: Bool { bytes.starts(with: ".wh.".utf8) }
}
