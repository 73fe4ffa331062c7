// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem

/// Fits a layer that was unpacked alone to the layers below it, so that it becomes what unpacking on top of them makes.
struct LayerCompletion {
    let layer: SharedFD
    /// The merged lower layers.
    let lower: SharedFD
    let flavour: OverlayFlavour
    /// Directories of the layer that its archive does not describe and that were not compared with the lower ones yet.
    private var implied: Set<RawPath> = []
    /// Times of directories that this work changes, to be set when it is done.
    private var times: [RawPath: FileTime] = [:]

    private static let symlinkLimit = 40

    init(layer: SharedFD, lower: SharedFD, flavour: OverlayFlavour) {
        self.layer = layer
        self.lower = lower
        self.flavour = flavour
    }

    // MARK: Directories

    /// Gives directories that the archive only implied the metadata that they have below. Where a lower layer has a
    /// symlink instead, their content moves to where it leads.
    mutating func settle(_ directories: [RawPath]) throws {
        implied = Set(directories)
        var queue = directories
        var next = 0
        while next < queue.count {
            let path = queue[next]
            next += 1
            guard implied.contains(path), let below = try lowerEntry(path) else { continue }
            let status = try status(of: below.raw)
            switch status.kind {
            case .directory: try inherit(path, from: below, status)
            case .symlink:
                let target = try resolve(path)
                try makeDirectories(target)
                try move(path, into: target)
                queue = queue.map { Self.rebase($0, from: path, to: target) }
                implied = Set(implied.compactMap { $0 == path ? nil : Self.rebase($0, from: path, to: target) })
            default:
                throw SnapshotError(
                    .badLayer,
                    "the layer has files below \"\(path)\", which is not a directory in the layers below it"
                )
            }
        }
        implied = []
    }

    /// Sets the times of the directories that were written into.
    func restoreTimes() throws {
        for (path, time) in times {
            guard let directory = try layerDirectory(path) else { continue }
            try setTimes(of: directory.raw, time)
        }
    }

    private mutating func inherit(_ path: RawPath, from below: SharedFD, _ status: FileStatus) throws {
        guard let directory = try layerDirectory(path) else { return }
        try setOwner(of: directory.raw, uid: status.uid, gid: status.gid)
        try setPermissions(of: directory.raw, status.permissions)
        try copyAttributes(from: below, to: directory)
        times[path] = status.modified
        try setTimes(of: directory.raw, status.modified)
    }

    func copyAttributes(from source: SharedFD, to file: SharedFD) throws {
        for name in try extendedAttributeNames(at: source.raw, "") where !name.contains(".overlay.") {
            guard let value = try extendedAttribute(at: source.raw, "", name) else { continue }
            try setExtendedAttribute(of: file.raw, name, value)
        }
    }

    /// Makes the directory in the layer, with what is missing above it, as the lower layers have it.
    mutating func makeDirectories(_ path: RawPath) throws {
        var current = RawPath("")
        for name in path.components {
            let parent = current
            current = current.appending(name)
            let existing = try layerEntry(current).map { try status(of: $0.raw) }
            if existing?.kind == .directory { continue }
            guard existing == nil || existing?.isWhiteout == true, let directory = try layerDirectory(parent) else {
                throw SnapshotError(.badLayer, "the layer has files below \"\(current)\", which is not a directory")
            }
            let below = try existing == nil ? lowerEntry(current) : nil
            let inherited = try below.map { try status(of: $0.raw) }
            guard inherited == nil || inherited?.kind == .directory else {
                throw SnapshotError(.badLayer, "the layer has files below \"\(current)\", which is not a directory")
            }
            try touch(parent)
            if existing != nil { try removeFile(at: directory.raw, name) }
            try makeDirectory(at: directory.raw, name)
            try setPermissions(at: directory.raw, name, 0o755)
            if existing != nil { try setOpaque(directory, name) }
            times[current] = FileTime(seconds: 0)
            if let below, let inherited { try inherit(current, from: below, inherited) }
        }
    }

    /// Moves what is in a directory of the layer into another one; of two files with one name the other's stays.
    private mutating func move(_ path: RawPath, into target: RawPath) throws {
        guard let source = try layerDirectory(path), let destination = try layerDirectory(target) else { return }
        try touch(target)
        if try extendedAttribute(of: source.raw, flavour.opaqueAttribute) != nil { try setOpaque(destination, "") }
        for entry in try readDirectory(source.raw) {
            let moved = try status(at: source.raw, entry.name)
            let existing = try statusIfPresent(at: destination.raw, entry.name)
            switch (moved.kind, existing) {
            case (_, nil): break
            case (.directory, let existing?) where existing.kind == .directory:
                try move(path.appending(entry.name), into: target.appending(entry.name))
                continue
            case (_, let existing?) where existing.isWhiteout:
                if moved.kind == .directory { try setOpaque(source, entry.name) }
                try removeFile(at: destination.raw, entry.name)
            default:
                try removeTree(at: source.raw, entry.name)
                continue
            }
            try renameFile(at: source.raw, entry.name, to: destination.raw, entry.name)
        }
        let (parent, name) = path.parentAndName
        guard let directory = try layerDirectory(parent) else { return }
        try touch(parent)
        try removeDirectory(at: directory.raw, name)
    }

    private func setOpaque(_ directory: SharedFD, _ name: RawPath) throws {
        try setExtendedAttribute(at: directory.raw, name, flavour.opaqueAttribute, [UInt8(ascii: "y")])
    }

    /// Remembers a directory's time before it is written into.
    mutating func touch(_ path: RawPath) throws {
        guard times[path] == nil, let directory = try layerDirectory(path) else { return }
        times[path] = try status(of: directory.raw).modified
    }

    private static func rebase(_ path: RawPath, from old: RawPath, to new: RawPath) -> RawPath {
        guard path.bytes.starts(with: old.bytes + [UInt8(ascii: "/")]) else { return path }
        return new.appending(RawPath(bytes: path.bytes.dropFirst(old.bytes.count + 1)))
    }

    // MARK: Looking up

    /// What the layer itself has at `path`; no symlink is followed.
    func layerEntry(_ path: RawPath) throws -> SharedFD? { try entry(layer, path) }

    func layerDirectory(_ path: RawPath) throws -> SharedFD? {
        try optional { () throws(SystemError) in
            try openInRoot(layer.raw, path, [.directory, .noFollow], resolve: [.inRoot, .noSymlinks]).shared()
        }
    }

    /// What shows through from below at `path`, were the layer to have nothing there. No symlink is followed.
    func lowerEntry(_ path: RawPath) throws -> SharedFD? {
        var current = RawPath("")
        for name in path.components {
            guard let above = try layerEntry(current) else { break }
            if try status(of: above.raw).kind != .directory { return nil }
            if try extendedAttribute(at: above.raw, "", flavour.opaqueAttribute) != nil { return nil }
            current = current.appending(name)
        }
        return try entry(lower, path)
    }

    /// The path without symlinks, as seen from the layer on top of the lower ones; what does not exist is kept.
    func resolve(_ path: RawPath) throws -> RawPath {
        var left = Array(path.components.reversed())
        var resolved: [RawPath] = []
        var links = 0
        while let name = left.popLast() {
            if name == ".." {
                _ = resolved.popLast()
                continue
            }
            let here = RawPath(bytes: (resolved + [name]).map(\.bytes).joined(separator: [UInt8(ascii: "/")]))
            guard let target = try linkTarget(here) else {
                resolved.append(name)
                continue
            }
            links += 1
            guard links <= Self.symlinkLimit else {
                throw SnapshotError(.badLayer, "\"\(path)\" leads through too many symlinks")
            }
            if target.bytes.first == UInt8(ascii: "/") { resolved = [] }
            left += target.components.reversed()
        }
        return RawPath(bytes: resolved.map(\.bytes).joined(separator: [UInt8(ascii: "/")]))
    }

    private func linkTarget(_ path: RawPath) throws -> RawPath? {
        if !implied.contains(path), let own = try layerEntry(path) {
            return try status(of: own.raw).kind == .symlink ? readLink(at: own.raw, "") : nil
        }
        guard let below = try lowerEntry(path), try status(of: below.raw).kind == .symlink else { return nil }
        return try readLink(at: below.raw, "")
    }

    private func entry(_ root: SharedFD, _ path: RawPath) throws -> SharedFD? {
        try optional { () throws(SystemError) in
            try openInRoot(root.raw, path, [.pathOnly, .noFollow], resolve: [.inRoot, .noSymlinks]).shared()
        }
    }

    private func optional(_ body: () throws(SystemError) -> SharedFD) throws -> SharedFD? {
        do throws(SystemError) {
            return try body()
        } catch {
            if error.isNotFound || error.errno == ELOOP { return nil }
            throw error
        }
    }
}

extension RawPath {
    /// A path relative to a root, split before its last name; the parent of a single name is empty.
    var parentAndName: (parent: RawPath, name: RawPath) {
        guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return ("", self) }
        return (RawPath(bytes: bytes[..<slash]), RawPath(bytes: bytes[(slash + 1)...]))
    }
}
