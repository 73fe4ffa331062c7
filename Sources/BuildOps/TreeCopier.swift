// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Glibc
import LinuxSystem
import OCI

/// Copies files and trees from a source straight into a layer.
final class TreeCopier {
    private let source: any SourceTree
    private let target: LayerTarget
    private let owner: (uid: UInt32, gid: UInt32)?
    private let permissions: FilePermissions?
    private let progress: (Int64) -> Void
    private let checkCancellation: () throws -> Void
    /// Where each file with several names was copied to.
    private var links: [LinkKey: RawPath] = [:]
    /// The same by place, for a copy that something else replaces.
    private var linkPlaces: [RawPath: LinkKey] = [:]
    /// The first file that differed from what the scan saw: the result must not be remembered under the scan's digest.
    private(set) var changedSource: RawPath?

    private struct LinkKey: Hashable {
        var device: UInt64
        var inode: UInt64
    }

    init(
        from source: any SourceTree,
        to target: LayerTarget,
        owner: (uid: UInt32, gid: UInt32)?,
        permissions: FilePermissions?,
        checkCancellation: @escaping () throws -> Void,
        progress: @escaping (Int64) -> Void
    ) {
        self.source = source
        self.target = target
        self.owner = owner
        self.permissions = permissions
        self.checkCancellation = checkCancellation
        self.progress = progress
    }

    /// Copies a directory's content into the directory `destination` (made when it does not exist), or a file to
    /// `destination`.
    func copy(_ item: CopySource, to destination: RawPath) throws {
        let parent = parentPath(destination)
        try target.ensureDirectory(parent, owner: owner, permissions: permissions.forNewDirectory)
        if item.status.kind == .directory {
            // As in BuildKit a directory that is made here has nothing of the source's own metadata, and one that was there
            // keeps its own: only the content is copied.
            try target.ensureDirectory(destination, owner: owner, permissions: permissions.forNewDirectory)
            let from = try openInRoot(source.root, item.path, [.directory], resolve: [.inRoot, .noSymlinks])
            let to = DestinationDirectory(destination, try openLayer(destination).shared())
            try copyContent(item.path, from.raw, to, RawPath(""), item.filter)
        } else {
            let from = try openInRoot(
                source.root,
                parentOrDot(item.path),
                [.directory],
                resolve: [.inRoot, .noSymlinks]
            )
            let to = try openLayer(parent)
            try copyEntry(
                item.path,
                item.path.lastComponent ?? item.path,
                item.status,
                in: from.raw,
                destination,
                destination.lastComponent ?? destination,
                to.raw
            )
        }
    }

    private func openLayer(_ path: RawPath) throws -> OwnedFD {
        try openInRoot(target.layer, path, [.directory], resolve: [.inRoot, .noSymlinks])
    }

    private func parentOrDot(_ path: RawPath) -> RawPath {
        let parent = parentPath(path)
        return parent.isEmpty ? RawPath(".") : parent
    }

    /// - Parameter shown: the path from the directory that the copy names, which its filter is about.
    private func copyContent(
        _ path: RawPath,
        _ from: CInt,
        _ destination: DestinationDirectory,
        _ shown: RawPath,
        _ filter: CopyFilter?
    ) throws {
        for name in try source.names(path, from) {
            try checkCancellation()
            let child = path.appending(name)
            try checkLength(child)
            let childShown = filter == nil ? shown : shown.appending(name)
            let verdict = filter?.verdict(childShown) ?? .copied
            if verdict == .leftOut { continue }
            guard let status = try statusIfPresent(at: from, name) else {
                noteChange(child)
                continue
            }
            let place = destination.path.appending(name)
            if status.kind == .directory {
                let made = try open(at: from, name, [.directory, .noFollow]).shared()
                let directory = DestinationDirectory(place) { [self] in
                    try makeCopy(child, status, made.raw, name, in: destination, isPassedThrough: verdict != .copied)
                }
                if verdict == .copied { _ = try directory.descriptor() }
                try copyContent(child, made.raw, directory, childShown, filter)
                if verdict == .copied { try copyMetadata(status, from: made.raw, to: directory.descriptor(), place) }
            } else if verdict == .copied {
                let to = try destination.descriptor()
                try copyEntry(child, name, status, in: from, place, name, to, isFresh: destination.isFresh)
            }
        }
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
        if !source.isUnchanged(path, status) { noteChange(path) }
        let to = try parent.descriptor()
        let place = parent.path.appending(name)
        let isNew = try target.makeOrTakeOver(place)
        let made = try open(at: to, name, [.directory, .noFollow]).shared()
        guard isPassedThrough else { return (made, isNew) }
        if isNew {
            try copyMetadata(status, from: from, to: made.raw, place)
        } else {
            try LinuxSystem.setPermissions(of: made.raw, status.permissions)
        }
        return (made, isNew)
    }

    /// Copies what is no directory.
    ///
    /// - Parameter isFresh: nothing can be in the way.
    private func copyEntry(
        _ path: RawPath,
        _ name: RawPath,
        _ status: FileStatus,
        in from: CInt,
        _ destination: RawPath,
        _ newName: RawPath,
        _ to: CInt,
        isFresh: Bool = false
    ) throws {
        if !source.isUnchanged(path, status) { noteChange(path) }
        if status.kind == .socket { return }
        if !isFresh { try makeRoom(destination, newName, to) }
        if status.links > 1, let first = links[LinkKey(device: status.device, inode: status.inode)] {
            try makeHardLink(from: target.layer, first, to: to, newName)
            return
        }
        switch status.kind {
        case .regular:
            try copyFile(path, name, status, in: from, newName, to)
        case .symlink:
            try makeSymlink(at: to, newName, target: try readLink(at: from, name))
            try restore(status, newName, to, setsPermissions: false)
        default:
            try makeSpecial(status, destination, newName, to)
            try restore(status, newName, to, setsPermissions: true)
        }
        if status.links > 1 {
            let key = LinkKey(device: status.device, inode: status.inode)
            links[key] = destination
            linkPlaces[destination] = key
        }
    }

    /// Removes a file of this layer that is in the way; a directory there, in the layer or below, is an error.
    private func makeRoom(_ destination: RawPath, _ name: RawPath, _ to: CInt) throws {
        guard let there = try target.status(destination) else { return }
        guard there.kind != .directory else {
            throw BuildOpsError(
                .conflict,
                "cannot replace the directory /\(destination) with a file",
                nextStep: "end the destination with a slash to copy into the directory"
            )
        }
        guard try statusIfPresent(at: to, name) != nil else { return }
        try removeFile(at: to, name)
        if let key = linkPlaces.removeValue(forKey: destination) { links[key] = nil }
    }

    private func copyFile(
        _ path: RawPath,
        _ name: RawPath,
        _ status: FileStatus,
        in from: CInt,
        _ newName: RawPath,
        _ to: CInt
    ) throws {
        let input = try open(at: from, name, [.readOnly, .noFollow, .nonBlocking])
        let output = try open(at: to, newName, [.writeOnly, .create, .exclusive], mode: 0o600)
        let isWhole = try copyBytes(input.raw, output.raw, status)
        if try !isWhole || !source.isUnchanged(path, LinuxSystem.status(of: input.raw)) { noteChange(path) }
        let (uid, gid) = ownership(status)
        try setOwner(of: output.raw, uid: uid, gid: gid)
        try setPermissions(of: output.raw, permissions.of(status))
        try copyExtendedAttributes(from: input.raw, to: output.raw)
        if let digest = source.requiredDigest(path), try contentDigest(at: to, newName) != digest { noteChange(path) }
        try setTimes(of: output.raw, status.modified)
    }

    private func contentDigest(at directory: CInt, _ name: RawPath) throws -> Digest {
        let copy = try open(at: directory, name, [.readOnly, .noFollow])
        return try BuildOps.contentDigest(of: copy.raw)
    }

    /// False when there were more or fewer bytes than there should be.
    private func copyBytes(_ input: CInt, _ output: CInt, _ status: FileStatus) throws -> Bool {
        if status.blocks * 512 < status.size, status.size > 1 << 16 {
            try copySparse(input, output, status.size)
            return true
        }
        var copied: Int64 = 0
        // More than that shows when the file's times are looked at again; of what has no size, nobody knows.
        while copied < status.size || status.size == 0 {
            let count = try copyRange(from: input, to: output, 8 << 20)
            if count == 0 { break }
            copied += Int64(count)
            progress(Int64(count))
            try checkCancellation()
        }
        return copied == status.size
    }

    private func noteChange(_ path: RawPath) {
        if changedSource == nil { changedSource = path }
    }

    /// Copies only what is not a hole, and makes the file as long as it was.
    private func copySparse(_ input: CInt, _ output: CInt, _ size: Int64) throws {
        for range in try dataRanges(input, size: size) {
            try seek(input, to: range.lowerBound)
            try seek(output, to: range.lowerBound)
            var left = Int(range.upperBound - range.lowerBound)
            while left > 0 {
                let count = try copyRange(from: input, to: output, min(left, 8 << 20))
                if count == 0 { break }
                left -= count
                progress(Int64(count))
                try checkCancellation()
            }
        }
        try setSize(output, size)
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

    private func ownership(_ status: FileStatus) -> (UInt32, UInt32) {
        if let owner { return owner }
        return source.keepsOwners ? (status.uid, status.gid) : (0, 0)
    }

    private func restore(_ status: FileStatus, _ name: RawPath, _ to: CInt, setsPermissions: Bool) throws {
        let (uid, gid) = ownership(status)
        try setOwner(at: to, name, uid: uid, gid: gid)
        if setsPermissions { try LinuxSystem.setPermissions(at: to, name, permissions.of(status)) }
        try LinuxSystem.setTimes(at: to, name, status.modified)
    }

    private func copyMetadata(_ status: FileStatus, from: CInt, to: CInt, _ path: RawPath) throws {
        let (uid, gid) = ownership(status)
        try setOwner(of: to, uid: uid, gid: gid)
        try LinuxSystem.setPermissions(of: to, permissions.of(status))
        try copyExtendedAttributes(from: from, to: to)
        target.setTime(path, status.modified)
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

    func descriptor() throws -> CInt {
        if let made { return made.raw }
        let (made, isFresh) = try make()
        self.made = made
        self.isFresh = isFresh
        return made.raw
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
