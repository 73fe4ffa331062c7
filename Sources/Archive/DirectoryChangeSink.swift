// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
public import LinuxSystem

/// Applies changes to a directory, by default in overlayfs's own format: a whiteout is a character device 0/0, an opaque
/// directory has the `overlay.opaque` attribute.
///
/// The directory must be this sink's alone while it works. No path leaves it, whatever symlinks the changes make.
/// A later entry of the same path replaces the earlier one; directories are merged.
public final class DirectoryChangeSink: ChangeSink {
    public struct Options: Sendable {
        /// Nil for a plain tree, in which whiteouts cannot be expressed and are an error.
        public var overlay: OverlayFlavour?
        public var devices: DevicePolicy
        /// The owner of everything, whatever the entries say.
        public var owner: (uid: UInt32, gid: UInt32)?
        /// Whether the result tells which directories that were there before got something new.
        public var notesTouchedDirectories: Bool

        public init(
            overlay: OverlayFlavour? = .trusted,
            devices: DevicePolicy = .create,
            owner: (uid: UInt32, gid: UInt32)? = nil,
            notesTouchedDirectories: Bool = false
        ) {
            self.notesTouchedDirectories = notesTouchedDirectories
            self.overlay = overlay
            self.devices = devices
            self.owner = owner
        }
    }

    /// A directory whose time is set when nothing is written into it any more.
    struct DelayedTime {
        var path: RawPath
        var time: FileTime
    }

    /// The file that is being written.
    private struct OpenFile {
        var path: RawPath
        var metadata: EntryMetadata
        var fd: SharedFD
        var writer: SparseFileWriter
        var left: Int64
    }

    let root: CInt
    let options: Options
    let parents: ParentDirectories
    private var file: OpenFile?
    var result = UnpackResult()
    /// By inode, since a directory may have several spellings through symlinks.
    var delayedTimes: [UInt64: DelayedTime] = [:]
    var implied: [UInt64: RawPath] = [:]
    var pendingLinks: [UnpackResult.PendingHardLink] = []
    /// Parents of entries as the archive spells them; only when the result tells of them.
    var usedDirectories: Set<RawPath> = []

    /// `directory` stays the caller's and must stay open.
    public init(_ directory: CInt, options: Options = Options()) {
        root = directory
        self.options = options
        parents = ParentDirectories(root: directory)
        parents.didImply = { [unowned self] path, fd, replacedWhiteout in
            try imply(path, fd, replacedWhiteout: replacedWhiteout)
        }
    }

    // MARK: - ChangeSink

    public func begin(_ path: RawPath, _ metadata: EntryMetadata) throws {
        guard file == nil else { throw ArchiveError(.misuse, "\"\(path)\" begins inside another file") }
        result.entryCount += 1
        parents.beginEntry()
        var metadata = metadata
        if let owner = options.owner { (metadata.uid, metadata.gid) = owner }
        try naming(path) {
            switch metadata.kind {
            case .file(let size): try beginFile(path, metadata, size)
            case .directory: try placeDirectory(path, metadata)
            case .symlink(let target): try placeSymlink(path, target, metadata)
            case .hardLink(let target): try placeHardLink(path, target)
            case .characterDevice, .blockDevice, .fifo: try placeNode(path, metadata)
            }
        }
    }

    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        try advance(Int64(bytes.count)) { (file) throws(SystemError) in try file.writer.write(bytes) }
    }

    public func writeHole(_ count: Int64) throws {
        try advance(count) { (file) throws(SystemError) in try file.writer.hole(count) }
    }

    public func end() throws {
        guard var open = file else { return }
        file = nil
        try naming(open.path) {
            guard open.left == 0 else { throw ArchiveError(.misuse, "\"\(open.path)\" has fewer bytes than announced") }
            try open.writer.finish()
            result.bytesWritten += open.writer.bytesWritten
            try restore(open.metadata, of: open.fd.raw, path: open.path)
            try setTimes(of: open.fd.raw, open.metadata.mtime)
        }
    }

    public func addWhiteout(_ path: RawPath) throws {
        guard let overlay = options.overlay else {
            throw ArchiveError(.misuse, "a whiteout of \"\(path)\" in a tree without layers")
        }
        guard !path.isEmpty else { throw ArchiveError(.unsafePath, "the archive hides the root directory") }
        result.entryCount += 1
        parents.beginEntry()
        try naming(path) {
            let (parent, name) = try place(path)
            guard let existing = try statusIfPresent(at: parent, name) else {
                return try makeWhiteout(at: parent, name)
            }
            // What this layer has stays, and hides lower files anyway; a directory would be merged.
            guard existing.kind == .directory else { return }
            implied[existing.inode] = nil
            try setExtendedAttribute(at: parent, name, overlay.opaqueAttribute, [UInt8(ascii: "y")])
        }
    }

    public func makeOpaque(_ directory: RawPath) throws {
        guard let overlay = options.overlay else {
            throw ArchiveError(.misuse, "\"\(directory)\" is opaque in a tree without layers")
        }
        result.entryCount += 1
        parents.beginEntry()
        try naming(directory) {
            let fd = try parents.descriptor(directory)
            // The descriptor may be one that only names the directory; attributes are set through its path.
            try setExtendedAttribute(at: fd, "", overlay.opaqueAttribute, [UInt8(ascii: "y")])
        }
    }

    /// Links what could be linked only now, sets directories' times, and tells what is left to do.
    public func finish() throws -> UnpackResult {
        guard file == nil else { throw ArchiveError(.truncated, "the changes end inside a file") }
        try retryHardLinks()
        if options.notesTouchedDirectories { result.touchedDirectories = try touchedDirectories() }
        try restoreDirectoryTimes()
        result.impliedDirectories = implied.values.sorted()
        parents.forget()
        parents.beginEntry()
        return result
    }

    // MARK: - Files

    private func beginFile(_ path: RawPath, _ metadata: EntryMetadata, _ size: Int64) throws {
        guard !path.isEmpty else { throw ArchiveError(.conflict, "the archive's root is not a directory") }
        let (parent, name) = try place(path)
        let fd = try replacing(parent, name) { () throws(SystemError) in
            try open(
                at: parent,
                name,
                [.writeOnly, .create, .exclusive, .noFollow],
                mode: metadata.mode & 0o777
            )
            .shared()
        }
        file = OpenFile(path: path, metadata: metadata, fd: fd, writer: SparseFileWriter(fd.raw), left: size)
    }

    private func advance(_ count: Int64, _ body: (inout OpenFile) throws(SystemError) -> Void) throws {
        guard let path = file?.path, let left = file?.left, count >= 0, count <= left else {
            throw ArchiveError(.misuse, "a file has more bytes than announced")
        }
        try naming(path) {
            guard var open = file.take() else { return }
            open.left -= count
            try body(&open)
            file = open
        }
    }

    // MARK: - Errors

    /// Gives a failed system call the name of the entry it failed for.
    func naming<R>(_ path: RawPath, _ body: () throws -> R) throws -> R {
        do {
            return try body()
        } catch let error as SystemError {
            let name = path.isEmpty ? "/" : path.description
            // The kernel's word for an id that the user namespace does not map.
            let isUnmapped = error.errno == EINVAL && error.operation == "chown"
            let hint = isUnmapped ? ": its owner has no id in this user namespace; more subordinate ids are needed" : ""
            throw ArchiveError(.system, "cannot unpack \"\(name)\"\(hint)", cause: error)
        }
    }
}
