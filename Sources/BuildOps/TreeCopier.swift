// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Glibc
import LinuxSystem
import OCI

/// Copies files and trees from a source straight into a layer: makes the directories, and lets a ``FileCopier`` fill them.
final class TreeCopier {
    private let source: any SourceTree
    private let target: LayerTarget
    private let files: FileCopier
    private let permissions: FilePermissions?
    private let checkCancellation: @Sendable () throws -> Void

    init(
        from source: any SourceTree,
        to target: LayerTarget,
        owner: (uid: UInt32, gid: UInt32)?,
        permissions: FilePermissions?,
        checkCancellation: @escaping @Sendable () throws -> Void
    ) {
        self.source = source
        self.target = target
        self.permissions = permissions
        self.checkCancellation = checkCancellation
        files = FileCopier(
            layer: target.layerRoot,
            owner: owner,
            keepsOwners: source.keepsOwners,
            permissions: permissions,
            checkCancellation: checkCancellation
        )
    }

    /// A file that differed from what the scan saw: the result must not be remembered under the scan's digest.
    var changedSource: RawPath? { files.changedSource }

    /// Copies a directory's content into the directory `destination` (made when it does not exist), or a file to
    /// `destination`.
    func copy(_ item: CopySource, to destination: RawPath) throws {
        let parent = parentPath(destination)
        try target.ensureDirectory(parent, owner: files.owner, permissions: permissions.forNewDirectory)
        if item.status.kind == .directory {
            // As in BuildKit a directory that is made here has nothing of the source's own metadata, and one that was there
            // keeps its own: only the content is copied.
            try target.ensureDirectory(destination, owner: files.owner, permissions: permissions.forNewDirectory)
            let from = try openInRoot(source.root, item.path, [.directory], resolve: [.inRoot, .noSymlinks]).shared()
            let to = DestinationDirectory(destination, try openLayer(destination))
            try JobGroup.run { group in
                let queue = CopyQueue(files, group, checkCancellation)
                try copyContent(item.path, from, to, RawPath(""), item.filter, queue)
                try queue.flush()
            }
        } else {
            let from = try openInRoot(
                source.root,
                parentOrDot(item.path),
                [.directory],
                resolve: [.inRoot, .noSymlinks]
            )
            let to = try openLayer(parent)
            let place = FileCopier.Place(
                from: from.raw,
                directory: parentPath(item.path),
                name: item.path.lastComponent ?? item.path,
                to: to.raw,
                newDirectory: parent,
                newName: destination.lastComponent ?? destination
            )
            try copyEntry(place, source.scannedFile(item.path), isFresh: false)
        }
    }

    private func openLayer(_ path: RawPath) throws -> SharedFD {
        try openInRoot(target.layer, path, [.directory], resolve: [.inRoot, .noSymlinks]).shared()
    }

    private func parentOrDot(_ path: RawPath) -> RawPath {
        let parent = parentPath(path)
        return parent.isEmpty ? RawPath(".") : parent
    }

    // MARK: Directories

    /// - Parameter shown: the path from the directory that the copy names, which its filter is about.
    private func copyContent(
        _ path: RawPath,
        _ from: SharedFD,
        _ destination: DestinationDirectory,
        _ shown: RawPath,
        _ filter: CopyFilter?,
        _ queue: CopyQueue
    ) throws {
        let entries = try source.entries(path, from.raw)
        for index in 0..<entries.count {
            try checkCancellation()
            let entry = entries[index]
            try checkLength(entry.name, in: path)
            let childShown = filter == nil ? shown : shown.appending(entry.name)
            let verdict = filter?.verdict(childShown) ?? .copied
            if verdict == .leftOut { continue }
            guard let kind = try entry.kind ?? statusIfPresent(at: from.raw, entry.name)?.kind else {
                files.noteChange(path.appending(entry.name))
                continue
            }
            if kind == .directory {
                try copyDirectory(entry.name, in: path, from, destination, childShown, filter, verdict, queue)
            } else if verdict == .copied {
                let place = FileCopier.Place(
                    from: from.raw,
                    directory: path,
                    name: entry.name,
                    to: try destination.descriptor().raw,
                    newDirectory: destination.path,
                    newName: entry.name
                )
                guard kind == .regular else {
                    try copyEntry(place, entry.scanned, isFresh: destination.isFresh)
                    continue
                }
                if !destination.isFresh { try makeRoom(place) }
                let part = CopyQueue.Directory(entries, path, from, destination.path, try destination.descriptor())
                try queue.add(index, entry.size, of: part)
            }
        }
    }

    private func copyDirectory(
        _ name: RawPath,
        in path: RawPath,
        _ from: SharedFD,
        _ destination: DestinationDirectory,
        _ shown: RawPath,
        _ filter: CopyFilter?,
        _ verdict: CopyFilter.Verdict,
        _ queue: CopyQueue
    ) throws {
        let child = path.appending(name)
        let made: SharedFD
        do throws(SystemError) {
            made = try open(at: from.raw, name, [.directory, .noFollow]).shared()
        } catch {
            guard error.isNotFound || error.errno == ELOOP else { throw error }
            return files.noteChange(child)
        }
        let status = try status(of: made.raw)
        let place = destination.path.appending(name)
        let directory = DestinationDirectory(place) { [self] in
            try makeCopy(child, status, made.raw, name, in: destination, isPassedThrough: verdict != .copied)
        }
        if verdict == .copied { _ = try directory.descriptor() }
        try copyContent(child, made, directory, shown, filter, queue)
        if verdict == .copied { try copyMetadata(status, from: made.raw, to: directory.descriptor().raw, place) }
    }

    /// Makes the copy of a directory, or takes over what is there. One that is there only for what it holds gets its
    /// metadata at once, and if it was there before no more than the source's mode (as in BuildKit).
    private func makeCopy(
        _ path: RawPath,
        _ status: FileStatus,
        _ from: CInt,
        _ name: RawPath,
        in parent: DestinationDirectory,
        isPassedThrough: Bool
    ) throws -> (SharedFD, isFresh: Bool) {
        if !source.isUnchanged(path, status) { files.noteChange(path) }
        let to = try parent.descriptor()
        let place = parent.path.appending(name)
        let isNew = try target.makeOrTakeOver(place)
        let made = try open(at: to.raw, name, [.directory, .noFollow]).shared()
        guard isPassedThrough else { return (made, isNew) }
        if isNew {
            try copyMetadata(status, from: from, to: made.raw, place)
        } else {
            try setPermissions(of: made.raw, status.permissions)
        }
        return (made, isNew)
    }

    private func copyMetadata(_ status: FileStatus, from: CInt, to: CInt, _ path: RawPath) throws {
        let (uid, gid) = files.ownership(status)
        try setOwner(of: to, uid: uid, gid: gid)
        try setPermissions(of: to, permissions.of(status))
        try copyExtendedAttributes(from: from, to: to)
        target.setTime(path, status.modified)
    }

    // MARK: Files

    /// Copies what is no directory, here and now.
    ///
    /// - Parameter isFresh: nothing can be in the way.
    private func copyEntry(_ place: FileCopier.Place, _ scanned: ScannedFile?, isFresh: Bool) throws {
        guard let status = try statusIfPresent(at: place.from, place.name), status.kind != .directory else {
            return files.noteChange(place.path)
        }
        if let scanned, !scanned.isUnchanged(status) { files.noteChange(place.path) }
        if status.kind == .socket { return }
        if !isFresh { try makeRoom(place) }
        switch status.kind {
        case .regular:
            try files.copy(place, scanned)
        case .symlink:
            try files.copyOrLink(status, place) {
                try makeSymlink(at: place.to, place.newName, target: try readLink(at: place.from, place.name))
                try restore(status, place, setsPermissions: false)
            }
        default:
            try files.copyOrLink(status, place) {
                try makeSpecial(status, place.destination, place.newName, place.to)
                try restore(status, place, setsPermissions: true)
            }
        }
    }

    /// Removes a file of this layer that is in the way; a directory there, in the layer or below, is an error.
    private func makeRoom(_ place: FileCopier.Place) throws {
        let destination = place.destination
        guard let there = try target.status(destination) else { return }
        guard there.kind != .directory else {
            throw BuildOpsError(
                .conflict,
                "cannot replace the directory /\(destination) with a file",
                nextStep: "end the destination with a slash to copy into the directory"
            )
        }
        guard try statusIfPresent(at: place.to, place.newName) != nil else { return }
        try removeFile(at: place.to, place.newName)
        files.forgetLink(destination)
    }

    private func makeSpecial(_ status: FileStatus, _ destination: RawPath, _ name: RawPath, _ to: CInt) throws {
        guard !status.isWhiteout else {
            throw BuildOpsError(.conflict, "cannot copy /\(destination): a device 0/0 means a removed file in a layer")
        }
        let type: UInt32 =
            switch status.kind {
            case .characterDevice: UInt32(S_IFCHR)
            case .blockDevice: UInt32(S_IFBLK)
            default: UInt32(S_IFIFO)
            }
        do {
            try makeNode(
                at: to,
                name,
                mode: type | status.permissions,
                major: status.deviceMajor,
                minor: status.deviceMinor
            )
        } catch {
            guard error.errno == EPERM else { throw error }
            throw BuildOpsError(
                .conflict,
                "cannot make the device /\(destination): only root may",
                nextStep: "build as root, or leave the device out of what is copied"
            )
        }
    }

    private func restore(_ status: FileStatus, _ place: FileCopier.Place, setsPermissions: Bool) throws {
        let (uid, gid) = files.ownership(status)
        try setOwner(at: place.to, place.newName, uid: uid, gid: gid)
        if setsPermissions { try LinuxSystem.setPermissions(at: place.to, place.newName, permissions.of(status)) }
        try setTimes(at: place.to, place.newName, status.modified)
    }
}

/// A directory of the layer that things are copied into, made when the first of them comes.
private final class DestinationDirectory {
    let path: RawPath
    /// Neither the layer nor what lies below had it before.
    private(set) var isFresh = false
    private let make: () throws -> (SharedFD, isFresh: Bool)
    private var made: SharedFD?

    init(_ path: RawPath, _ made: SharedFD) {
        self.path = path
        self.made = made
        make = { (made, false) }
    }

    init(_ path: RawPath, make: @escaping () throws -> (SharedFD, isFresh: Bool)) {
        self.path = path
        self.make = make
    }

    func descriptor() throws -> SharedFD {
        if let made { return made }
        let (made, isFresh) = try make()
        self.made = made
        self.isFresh = isFresh
        return made
    }
}

extension FilePermissions? {
    /// Of a directory that a copy makes without a source. As in BuildKit a number counts without its three high bits, and
    /// a symbolic mode, which is about a source's bits, not at all.
    var forNewDirectory: UInt32 {
        if case .exact(let bits) = self { bits & 0o777 } else { 0o755 }
    }

    /// Of the copy of what has `status`.
    func of(_ status: FileStatus) -> UInt32 {
        self?.applied(to: status.permissions, isDirectory: status.kind == .directory) ?? status.permissions
    }
}
