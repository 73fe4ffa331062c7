// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem

/// Opens the directories that entries go into, making those that the archive never described.
///
/// Every resolution is the kernel's, with the tree as root: symlinks in the tree are followed inside it. Descriptors are
/// kept, since archives list a directory's files together; `forget` drops them when a name on the way may have changed.
final class ParentDirectories {
    /// Called for a directory that is made because something below it is; the descriptor is open for reading.
    typealias DidImply = (_ path: RawPath, _ fd: CInt, _ replacedWhiteout: Bool) throws -> Void

    let root: CInt
    private var open: [RawPath: SharedFD] = [:]
    /// No longer to be found, but perhaps still used by the entry at hand.
    private var retired: [SharedFD] = []
    var didImply: DidImply?

    private static let cacheLimit = 64
    /// As the kernel's own limit.
    private static let symlinkLimit = 40

    init(root: CInt) { self.root = root }

    func forget() {
        retired += open.values
        open.removeAll(keepingCapacity: true)
    }

    /// Closes what was forgotten: no descriptor of the entry before is used any more.
    func beginEntry() {
        if !retired.isEmpty { retired.removeAll(keepingCapacity: true) }
    }

    /// A descriptor of the directory, made when missing; valid until `beginEntry`.
    func descriptor(_ path: RawPath) throws -> CInt {
        try descriptor(path, symlinks: 0)
    }

    private func descriptor(_ path: RawPath, symlinks: Int) throws -> CInt {
        if path.isEmpty { return root }
        if let known = open[path] { return known.raw }
        do throws(SystemError) {
            return try remember(path, openInRoot(root, path, [.directory, .pathOnly]).shared())
        } catch {
            switch error.errno {
            case ENOENT, ENOTDIR: return try make(path, symlinks: symlinks)
            case ELOOP: throw ArchiveError(.unsafePath, "\"\(path)\" leads through too many symlinks")
            default: throw error
            }
        }
    }

    /// The directory without making anything; nil when there is none.
    func existing(_ path: RawPath) throws -> CInt? {
        if path.isEmpty { return root }
        if let known = open[path] { return known.raw }
        do throws(SystemError) {
            return try remember(path, openInRoot(root, path, [.directory, .pathOnly]).shared())
        } catch {
            if error.isNotFound || error.errno == ELOOP { return nil }
            throw error
        }
    }

    private func remember(_ path: RawPath, _ fd: SharedFD) -> CInt {
        if open.count >= Self.cacheLimit { forget() }
        open[path] = fd
        return fd.raw
    }

    private func make(_ path: RawPath, symlinks: Int) throws -> CInt {
        let (parentPath, name) = path.splitParent()
        let parent = try descriptor(parentPath, symlinks: symlinks)
        let existing = try statusIfPresent(at: parent, name)
        switch existing?.kind {
        case nil: break
        case .symlink?:
            guard symlinks < Self.symlinkLimit else {
                throw ArchiveError(.unsafePath, "\"\(path)\" leads through too many symlinks")
            }
            let target = try readLink(at: parent, name)
            return try descriptor(Self.resolve(target, from: parentPath), symlinks: symlinks + 1)
        case .directory?: return try remember(path, openInRoot(root, path, [.directory, .pathOnly]).shared())
        default:
            guard existing?.isWhiteout == true else {
                throw ArchiveError(.conflict, "\"\(path)\" is not a directory, but the archive has files below it")
            }
            try removeFile(at: parent, name)
        }
        try makeDirectory(at: parent, name, mode: 0o755)
        let fd = try LinuxSystem.open(at: parent, name, [.directory, .noFollow])
        try didImply?(path, fd.raw, existing != nil)
        return remember(path, fd.shared())
    }

    /// Where a symlink that dangles in this tree points, seen from the tree's root. Only a guess at the name: opening it
    /// is again the kernel's to confine.
    private static func resolve(_ target: RawPath, from directory: RawPath) -> RawPath {
        var components = target.bytes.first == slash ? [] : directory.components
        for component in target.components {
            if component == ".." { _ = components.popLast() } else { components.append(component) }
        }
        return RawPath(bytes: Array(components.map(\.bytes).joined(separator: [slash])))
    }
}
