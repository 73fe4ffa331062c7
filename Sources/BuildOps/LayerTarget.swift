// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// A layer that is being written, over a base that is only read: answers what is at a path, and makes directories.
///
/// Paths are as in `SourceTree`. A directory that has no source to take its time from gets that of the newest thing that
/// the step puts into it: neither the clock nor what a command left below has a part in it, so that equal inputs give equal
/// layers.
final class LayerTarget {
    var layer: CInt { layerRoot.raw }
    /// Root of the merged layers below.
    var base: CInt { baseRoot.raw }
    let layerRoot: SharedFD
    private let baseRoot: SharedFD
    /// Directories of the layer and the times they get at the end.
    private var directoryTimes: [RawPath: FileTime] = [:]
    /// Directories whose time comes from what is in them.
    private var derived: Set<RawPath> = []
    /// Whether directories that are there below keep their time instead: for a view of a tree, which is no layer.
    var keepsTimesBelow = false
    /// The least that a derived time can be.
    var leastTime = FileTime(seconds: 0)

    init(layer: SharedFD, base: SharedFD) {
        layerRoot = layer
        baseRoot = base
    }

    /// What a later step would see at `path`, which has no symlink before its last component.
    func status(_ path: RawPath) throws -> FileStatus? {
        if path.isEmpty { return try LinuxSystem.status(of: layer) }
        if let own = try statusIfPresent(at: layer, path) { return own }
        // Something of this layer that is no directory hides what the base has below that path.
        var parent = path
        while let slash = parent.bytes.lastIndex(of: 0x2f) {
            parent = RawPath(bytes: parent.bytes[..<slash])
            if let own = try statusIfPresent(at: layer, parent) {
                if own.kind != .directory { return nil }
                break
            }
        }
        return try statusIfPresent(at: base, path)
    }

    /// `path` with all symlinks followed in the tree as it will be.
    func resolve(_ path: RawPath) throws -> RawPath {
        try resolveLinks(path) { candidate in
            guard try status(candidate)?.kind == .symlink else { return nil }
            if let own = try statusIfPresent(at: layer, candidate), own.kind == .symlink {
                return try readLink(at: layer, candidate)
            }
            return try readLink(at: base, candidate)
        }
    }

    /// Makes `path` a directory of the layer, with its parents. One that exists below is taken over with its metadata.
    ///
    /// - Parameters:
    ///   - owner, permissions: of directories that exist nowhere yet.
    func ensureDirectory(_ path: RawPath, owner: (uid: UInt32, gid: UInt32)?, permissions: UInt32 = 0o755) throws {
        if path.isEmpty { return }
        if let own = try statusIfPresent(at: layer, path) {
            guard own.kind == .directory else { throw notDirectory(path) }
            return
        }
        let parent = parentPath(path)
        try ensureDirectory(parent, owner: owner, permissions: permissions)
        let below = try statusIfPresent(at: base, path)
        if let below {
            guard below.kind == .directory else { throw notDirectory(path) }
            try takeOver(path, below)
        } else {
            try makeDirectory(at: layer, path, mode: 0o700)
            try setOwner(at: layer, path, uid: owner?.uid ?? 0, gid: owner?.gid ?? 0)
            try setPermissions(at: layer, path, permissions)
            derive(path)
        }
    }

    /// Makes an empty directory where none is in the layer yet and returns whether the base had none either.
    func makeOrTakeOver(_ path: RawPath) throws -> Bool {
        if let own = try statusIfPresent(at: layer, path) {
            guard own.kind == .directory else { throw notDirectory(path) }
            return false
        }
        guard let below = try statusIfPresent(at: base, path) else {
            try makeDirectory(at: layer, path, mode: 0o700)
            return true
        }
        guard below.kind == .directory else { throw notDirectory(path) }
        try takeOver(path, below)
        return false
    }

    /// The directory gets the time at the end.
    func setTime(_ path: RawPath, _ time: FileTime) { directoryTimes[path] = time }

    /// The directory's time comes from what is in it, unless a source says it.
    func derive(_ path: RawPath) { if !path.isEmpty { derived.insert(path) } }

    /// Sets the directories' times, which every change below them has moved. Deepest first.
    func finish() throws {
        for path in derived.union(directoryTimes.keys).sorted(by: { $0.bytes.count > $1.bytes.count }) {
            guard let time = try directoryTimes[path] ?? newestEntry(path) else { continue }
            if path.isEmpty { try setTimes(of: layer, time) } else { try setTimes(at: layer, path, time) }
        }
        if directoryTimes[RawPath("")] == nil, let time = rootTime { try setTimes(of: layer, time) }
    }

    /// The time the root directory had before anything was written.
    var rootTime: FileTime?

    private func takeOver(_ path: RawPath, _ status: FileStatus) throws {
        try makeDirectory(at: layer, path, mode: 0o700)
        try setOwner(at: layer, path, uid: status.uid, gid: status.gid)
        try setPermissions(at: layer, path, status.permissions)
        let from = try openInRoot(base, path, [.directory], resolve: [.inRoot, .noSymlinks])
        let to = try openInRoot(layer, path, [.directory], resolve: [.inRoot, .noSymlinks])
        try copyExtendedAttributes(from: from.raw, to: to.raw)
        if keepsTimesBelow { setTime(path, status.modified) } else { derive(path) }
    }

    /// Nil for what is no directory of the layer in the end.
    private func newestEntry(_ path: RawPath) throws -> FileTime? {
        guard try statusIfPresent(at: layer, path)?.kind == .directory else { return nil }
        let directory = try openInRoot(layer, path, [.directory], resolve: [.inRoot, .noSymlinks])
        return max(leastTime, try newestTime(in: directory.raw))
    }

    private func notDirectory(_ path: RawPath) -> BuildOpsError {
        BuildOpsError(
            .conflict,
            "cannot copy to non-directory: /\(path)",
            nextStep: "something that is no directory is already there in the image; choose another destination"
        )
    }
}

/// Of what is directly in the directory.
func newestTime(in directory: CInt) throws -> FileTime {
    var newest = FileTime(seconds: 0)
    for entry in try readDirectory(directory) {
        newest = max(newest, try status(at: directory, entry.name).modified)
    }
    return newest
}

func parentPath(_ path: RawPath) -> RawPath {
    guard let slash = path.bytes.lastIndex(of: 0x2f) else { return RawPath("") }
    return RawPath(bytes: path.bytes[..<slash])
}
