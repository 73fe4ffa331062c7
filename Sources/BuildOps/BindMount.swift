// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Executor
import LinuxSystem
import Snapshots

/// Where a bind mount's files come from.
enum BindSource: Sendable {
    case layers([SnapshotID])
    /// With the path that was copied.
    case copy(ContextCopies.Copy, RawPath)
}

/// A part of another step's tree as a mount. The tree itself is never written to.
struct BindMount: Sendable {
    /// Where something else is mounted, inside.
    struct Place: Sendable {
        var path: RawPath
        var isDirectory: Bool
    }

    private let source: BindSource
    private let path: RawPath
    private let isReadOnly: Bool
    /// A read-only tree must have them already.
    private let places: [Place]

    init(
        _ source: BindSource,
        path: RawPath,
        isReadOnly: Bool,
        places: [Place]
    ) {
        self.source = source
        self.path = path
        self.isReadOnly = isReadOnly
        self.places = places
    }

    /// The mount's source, and what must live as long as it is used.
    func tree(_ snapshotter: any Snapshotter) throws -> (ExecutorMount.Source, [any Sendable]) {
        switch source {
        case .layers(let layers): try tree(of: layers, snapshotter)
        case .copy(let copy, let resolved): try tree(of: copy, resolved, snapshotter)
        }
    }

    private func tree(
        of layers: [SnapshotID],
        _ snapshotter: any Snapshotter
    ) throws -> (ExecutorMount.Source, [any Sendable]) {
        let merged = try snapshotter.readTree(layers)
        let stage = StageSource(tree: MergedRoot(owner: merged, root: merged.root.raw))
        let resolved = try stage.resolve(path)
        guard let status = try stage.status(resolved) else { throw missing }
        let isDirectory = status.kind == .directory
        let needsPlaces = isReadOnly && isDirectory && !places.isEmpty
        // A tree without layers is no mount that could be attached.
        guard !isReadOnly || needsPlaces || layers.isEmpty else {
            return (.subtree(of: merged.root, path: resolved, isDirectory: isDirectory), [merged])
        }
        let changes = try snapshotter.begin()
        let tree = try snapshotter.writableTree(layers, changes: changes, stubs: nil)
        if needsPlaces { try makePlaces(in: changes, over: merged.root, below: resolved) }
        return (.subtree(of: tree.root, path: resolved, isDirectory: isDirectory), [tree, changes])
    }

    private func tree(
        of copy: ContextCopies.Copy,
        _ resolved: RawPath,
        _ snapshotter: any Snapshotter
    ) throws -> (ExecutorMount.Source, [any Sendable]) {
        let isDirectory = copy.status.kind == .directory
        let inside = isDirectory ? RawPath("") : resolved.lastComponent ?? RawPath("")
        let needsPlaces = isReadOnly && isDirectory && !places.isEmpty
        guard !isReadOnly || needsPlaces else {
            let path = copy.pending.directoryPath
            return (.path(isDirectory ? path : path.appending(inside), recursive: false), [copy.pending])
        }
        let changes = try snapshotter.begin()
        let tree = try snapshotter.writableTree([], changes: changes, stubs: copy.pending.directoryPath)
        // The merged root shows what the directory for changes has.
        let root = try status(of: copy.pending.directory.raw)
        try setPermissions(of: changes.directory.raw, root.permissions)
        if needsPlaces { try makePlaces(in: changes, over: copy.pending.directory, below: RawPath("")) }
        try setTimes(of: changes.directory.raw, root.modified)
        return (.subtree(of: tree.root, path: inside, isDirectory: isDirectory), [tree, changes, copy.pending])
    }

    private func makePlaces(in changes: PendingSnapshot, over base: SharedFD, below path: RawPath) throws {
        let target = LayerTarget(layer: changes.directory, base: base)
        target.keepsTimesBelow = true
        for place in places {
            let path = try target.resolve(path.appending(place.path))
            if try target.status(path) != nil { continue }
            if place.isDirectory {
                try target.ensureDirectory(path, owner: nil)
            } else {
                try target.ensureDirectory(parentPath(path), owner: nil)
                _ = try open(at: changes.directory.raw, path, [.writeOnly, .create, .exclusive], mode: 0o644)
            }
        }
        try target.finish()
    }

    private var missing: BuildOpsError {
        BuildOpsError(
            .sourceMissing,
            "\"/\(path.components.reduce(RawPath("")) { $0.appending($1) })\": not found",
            nextStep: "nothing is there in the stage or image that is mounted from; check the mount's source"
        )
    }
}
