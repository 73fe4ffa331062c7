// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import LinuxSystem
import OCI
import Snapshots

/// All that the layer of a COPY, ADD or WORKDIR owes to what lies below it: the directories on the way to its
/// destination, what of its own names is there already, and the numbers of the owners it names. Where two bases agree in
/// that, the layer made on one is the layer for the other.
///
/// Times count for nothing here, as everywhere in the cache.
struct CopyFootprint {
    private let op: FileOp
    private let environment: StepEnvironment

    init(_ op: FileOp, _ environment: StepEnvironment) {
        self.op = op
        self.environment = environment
    }

    /// Nil when no bound is known for what the step reads of its base.
    func digest(_ inputs: [StepValue]) async throws -> Digest? { try await digest(of: inputs[0], inputs) }

    /// The digest as it would be on `base`.
    func digest(of base: StepValue, _ inputs: [StepValue]) async throws -> Digest? {
        guard isBounded else { return nil }
        let tree = try await environment.source(base)
        var sources: [Int: any SourceTree] = [:]
        for case .copy(let copy) in op.actions where sources[copy.input] == nil {
            sources[copy.input] = try await environment.source(inputs[copy.input])
        }
        return try await cancellableBlocking { [op, sources] cancellation in
            var reader = FootprintReader(base: tree, checkCancellation: cancellation.check)
            for action in op.actions { try reader.add(action, sources) }
            return reader.finalize()
        }
    }

    /// False where a later action could go through what an earlier one made, and for archives, which may hold anything.
    private var isBounded: Bool {
        let places = op.actions.map { action in
            switch action {
            case .copy(let copy): copy.destination
            case .makeDirectory(let make): make.path
            case .makeFile(let make): parentPath(RawPath(make.path)).description
            }
        }
        guard op.hasBase, Set(places).count == 1 else { return false }
        return op.actions.allSatisfy { action in
            guard case .copy(let copy) = action else { return true }
            return copy.input != 0 && !copy.unpacksArchives && copy.parentsPivot == nil
        }
    }
}

private struct FootprintReader {
    let base: any SourceTree
    let checkCancellation: () throws -> Void
    private var hasher = Digest.Hasher()

    init(base: any SourceTree, checkCancellation: @escaping () throws -> Void) {
        self.base = base
        self.checkCancellation = checkCancellation
    }

    mutating func finalize() -> Digest { hasher.finalize() }

    mutating func add(_ action: FileAction, _ sources: [Int: any SourceTree]) throws {
        switch action {
        case .makeDirectory(let make):
            try addOwner(make.owner)
            try addWay(to: try base.resolve(try checkedPath(make.path)))
        case .makeFile(let make):
            try addWay(to: try base.resolve(try checkedPath(make.path)))
        case .copy(let copy):
            guard let source = sources[copy.input] else { preconditionFailure("every copied input was opened") }
            try addOwner(copy.owner)
            let destination = try base.resolve(try checkedPath(copy.destination))
            try addWay(to: destination)
            for item in try source.sources(of: copy) {
                if item.status.kind == .directory {
                    try addCommon(source, item.path, destination)
                } else {
                    try addEntry(destination.appending(item.name))
                }
            }
        }
    }

    private mutating func addOwner(_ owner: FileOwner?) throws {
        guard let owner else { return }
        let (uid, gid) = try OwnerLookup(root: base.root).owner(owner.text)
        hasher.update("owner \(uid) \(gid)\n")
    }

    /// The root and every directory down to `path`, and what is at `path`.
    private mutating func addWay(to path: RawPath) throws {
        var place = RawPath("")
        try addEntry(place)
        for name in path.components {
            place = place.appending(name)
            try addEntry(place)
        }
    }

    /// What a directory's copy meets in the base: of each name that both have, what it is.
    private mutating func addCommon(_ source: any SourceTree, _ path: RawPath, _ place: RawPath) throws {
        guard try base.status(place)?.kind == .directory else { return }
        let there = try openInRoot(
            base.root,
            place.isEmpty ? "." : place,
            [.directory],
            resolve: [.inRoot, .noSymlinks]
        )
        let known = Set(try base.names(place, there.raw))
        if known.isEmpty { return }
        let from = try openInRoot(
            source.root,
            path.isEmpty ? "." : path,
            [.directory],
            resolve: [.inRoot, .noSymlinks]
        )
        for name in try source.names(path, from.raw) where known.contains(name) {
            try checkCancellation()
            let child = path.appending(name)
            try checkLength(child)
            try addEntry(place.appending(name))
            if try source.status(child)?.kind == .directory { try addCommon(source, child, place.appending(name)) }
        }
    }

    private mutating func addEntry(_ path: RawPath) throws {
        hasher.update("\(path.bytes.count):")
        hasher.update(path.bytes)
        guard let status = try base.status(path) else { return hasher.update(" nothing\n") }
        guard status.kind == .directory else {
            // It will be replaced, or be in the way: nothing else of it matters.
            return hasher.update(" no directory\n")
        }
        hasher.update(" \(status.permissions) \(status.uid) \(status.gid)\n")
        let fd = try openInRoot(base.root, path.isEmpty ? "." : path, [.directory], resolve: [.inRoot, .noSymlinks])
        hasher.update("attributes \(try attributesDigest(of: fd.raw)?.hex ?? "")\n")
    }
}

extension FileOp {
    /// Whether copies of different content are different layers, always: what an archive holds, how a mode is changed and
    /// under which name a pattern found a file can make the same of both.
    var showsAllItReads: Bool {
        actions.allSatisfy { action in
            guard case .copy(let copy) = action else { return true }
            return !copy.unpacksArchives && copy.permissions == nil
                && (!copy.allowsWildcards || copy.destinationIsDirectory)
        }
    }
}
