// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import BuildCache
import BuildDefinition
import LinuxSystem
import OCI
import Snapshots
import Solver

/// Makes the layer of a COPY, ADD or WORKDIR.
struct FileStep {
    struct Result {
        /// Those of the base, and the one that was made.
        var layers: [SnapshotID]
        /// A source changed while it was copied.
        var sourceChanged: Bool
    }

    private let op: FileOp
    private let environment: StepEnvironment
    /// Nobody is going to read the layer's tree in this build.
    private let isUnread: Bool

    init(_ op: FileOp, _ environment: StepEnvironment, isUnread: Bool = false) {
        self.op = op
        self.environment = environment
        self.isUnread = isUnread
    }

    // MARK: Content

    /// The digest of all that the copies read; nil when a former input cannot tell any more.
    func contentDigest(_ inputs: [StepValue]) async throws -> Digest? {
        var hasher = Digest.Hasher()
        for action in op.actions {
            guard case .copy(let copy) = action else { continue }
            guard let digest = try await selectionDigest(copy, inputs[copy.input]) else { return nil }
            hasher.update(digest.hex)
        }
        return hasher.finalize()
    }

    /// The digest of what a mount of the copy's source shows: all that a copy would read, and the directory itself.
    func mountDigest(_ copy: FileCopy, _ input: StepValue) async throws -> Digest? {
        guard let content = try await selectionDigest(copy, input) else { return nil }
        return try await remembered("mount", copy, input) { source, _ in
            var hash = ContentHash()
            hash.add(title: "content", content.bytes)
            for item in try source.sources(of: copy) where item.status.kind == .directory {
                let directory = try openInRoot(source.root, item.path, [.directory], resolve: [.inRoot, .noSymlinks])
                let attributes = try attributesDigest(of: directory.raw)
                var record = ContentRecord(RawPath("."), item.status, target: nil, digest: attributes)
                if !source.keepsOwners {
                    (record.uid, record.gid) = (0, 0)
                    // Of the context's root nothing is shown: `fill` gives it a mode of its own.
                    if item.path.isEmpty { (record.permissions, record.digest) = (0o755, nil) }
                }
                hash.add(record)
            }
            return hash.finalize()
        }
    }

    private func selectionDigest(_ copy: FileCopy, _ input: StepValue) async throws -> Digest? {
        try await remembered("copy", copy, input) { source, cancellation in
            try source.digest(of: source.sources(of: copy), checkCancellation: cancellation.check)
        }
    }

    /// What was computed once of an input; nil for a directory of a former build of which nothing is remembered.
    private func remembered(
        _ purpose: String,
        _ copy: FileCopy,
        _ input: StepValue,
        _ compute: @escaping @Sendable (any SourceTree, CancellationFlag) throws -> Digest
    ) async throws -> Digest? {
        let key = selectionKey(purpose, copy, input)
        let memory = environment.selectionDigests
        if let met = memory.recall(key) { return met }
        if let known = try await blocking({ try memory.load(key) }) { return known }
        if case .formerDirectory = input.content { return nil }
        let source = try await environment.source(input)
        return try await cancellableBlocking { cancellation in
            let digest = try compute(source, cancellation)
            try memory.save(key, digest)
            return digest
        }
    }

    /// What decides which files a copy reads.
    private func selectionKey(_ purpose: String, _ copy: FileCopy, _ input: StepValue) -> Digest {
        var encoder = CanonicalEncoder()
        encoder.append("purpose", purpose)
        encoder.append("input", input.name)
        encoder.append("source", copy.source)
        encoder.append("wildcards", copy.allowsWildcards)
        encoder.append("parents", copy.parentsPivot)
        encoder.append("exclude", copy.excludePatterns)
        // Of what is hashed: digests of other forms are not compared with these.
        encoder.append("form", 3)
        return Digest.sha256(encoder.bytes)
    }

    // MARK: Running

    func run(_ inputs: [StepValue]) async throws -> Result {
        let base = op.hasBase ? try await inputs[0].layers() : []
        var sources: [Int: any SourceTree] = [:]
        for case .copy(let copy) in op.actions where sources[copy.input] == nil {
            sources[copy.input] = try await environment.source(inputs[copy.input])
        }
        let opened = sources
        return try await cancellableBlocking { cancellation in
            if isUnread, let packed = try packBlocking(base, opened, cancellation) { return packed }
            return try runBlocking(base, opened, cancellation)
        }
    }

    /// Makes the layer an archive; nil when it must be made as files, or may as well be.
    private func packBlocking(
        _ base: [SnapshotID],
        _ sources: [Int: any SourceTree],
        _ cancellation: CancellationFlag
    ) throws -> Result? {
        guard op.actions.count == 1, case .copy(let copy)? = op.actions.first, !copy.unpacksArchives,
            let source = sources[copy.input]
        else { return nil }
        let items = try source.sources(of: copy)
        guard items.count == 1, let item = items.first, item.status.kind == .directory, item.filter == nil else {
            return nil
        }
        guard try LayerPacker.isWorthwhile(item, of: source) else { return nil }
        let (pending, target) = try begin(base)
        let packer = LayerPacker(
            from: source,
            to: target,
            owner: try copy.owner.map { try owners(target).owner($0.text) },
            permissions: copy.permissions,
            checkCancellation: cancellation.check
        )
        do {
            let destination = try target.resolve(try checkedPath(copy.destination))
            let packed = try packer.pack(item, to: destination, pending.makeArchive())
            let layer = try environment.snapshotter.publish(pending, packed: packed)
            return Result(layers: base + [layer], sourceChanged: false)
        } catch is LayerPacker.NotPackable {
            pending.discard()
            return nil
        }
    }

    /// A layer on top of the base.
    private func begin(_ base: [SnapshotID]) throws -> (PendingSnapshot, LayerTarget) {
        let snapshotter = environment.snapshotter
        let pending = try snapshotter.begin()
        let tree = try snapshotter.readTree(base)
        try snapshotter.copyRootMetadata(from: base, to: pending)
        let target = LayerTarget(layer: pending.directory, base: tree.root)
        target.rootTime = try status(of: pending.directory.raw).modified
        if let bottom = base.first {
            // About when the base image was made; what commands made since is no part of it.
            let directory = try snapshotter.layerDirectory(bottom)
            target.leastTime = try newestTime(in: directory.raw)
        }
        return (pending, target)
    }

    private func runBlocking(
        _ base: [SnapshotID],
        _ sources: [Int: any SourceTree],
        _ cancellation: CancellationFlag
    ) throws -> Result {
        let (pending, target) = try begin(base)
        var changed = false
        for action in op.actions {
            switch action {
            case .makeDirectory(let make):
                try makeDirectory(make, target)
            case .makeFile(let make):
                try makeFile(make, target)
            case .copy(let copy):
                guard let source = sources[copy.input] else { preconditionFailure("every copied input was opened") }
                changed = try self.copy(copy, source, target, base, pending, cancellation) || changed
            }
        }
        try target.finish()
        return Result(layers: base + [try environment.snapshotter.publish(pending)], sourceChanged: changed)
    }

    private func makeDirectory(_ make: FileMakeDirectory, _ target: LayerTarget) throws {
        let owner = try make.owner.map { try owners(target).owner($0.text) }
        let path = try target.resolve(try checkedPath(make.path))
        if let there = try target.status(path), there.kind == .directory { return }
        try target.ensureDirectory(path, owner: owner, permissions: make.permissions)
    }

    private func owners(_ target: LayerTarget) -> OwnerLookup {
        OwnerLookup(root: target.base, hasImage: op.hasBase)
    }

    private func makeFile(_ make: FileMakeFile, _ target: LayerTarget) throws {
        let path = try target.resolve(try checkedPath(make.path))
        if let there = try target.status(path), there.kind == .directory {
            throw BuildOpsError(.conflict, "cannot replace the directory /\(path) with a file")
        }
        let parent = parentPath(path)
        try target.ensureDirectory(parent, owner: nil)
        let directory = try openInRoot(target.layer, parent, [.directory], resolve: [.inRoot, .noSymlinks])
        let name = path.lastComponent ?? path
        if try statusIfPresent(at: directory.raw, name) != nil { try removeFile(at: directory.raw, name) }
        let fd = try LinuxSystem.open(at: directory.raw, name, [.writeOnly, .create, .exclusive], mode: 0o600)
        try writeBytes(fd.raw, make.content)
        try setOwner(of: fd.raw, uid: 0, gid: 0)
        try setPermissions(of: fd.raw, make.permissions)
        // Text of the Dockerfile has no time of its own.
        try setTimes(of: fd.raw, target.leastTime)
    }

    private func copy(
        _ copy: FileCopy,
        _ source: any SourceTree,
        _ target: LayerTarget,
        _ base: [SnapshotID],
        _ pending: PendingSnapshot,
        _ cancellation: CancellationFlag
    ) throws -> Bool {
        let items = try source.sources(of: copy)
        let owner = try copy.owner.map { try owners(target).owner($0.text) }
        let copier = TreeCopier(
            from: source,
            to: target,
            owner: owner,
            permissions: copy.permissions,
            checkCancellation: cancellation.check
        )
        let written = try checkedPath(copy.destination)
        let endsInSlash =
            copy.destinationIsDirectory || items.count > 1 || written.bytes.last == UInt8(ascii: "/")
            || written.bytes.suffix(2) == Array("/.".utf8)
        let destination = try target.resolve(written)
        var unpackedChanged = false
        for item in items {
            if copy.unpacksArchives, item.status.kind == .regular,
                let compression = try ArchiveSource(source, item).compression()
            {
                // As in BuildKit --chmod is not about what an archive brings, nor about where it goes.
                try target.ensureDirectory(destination, owner: owner)
                let isUnchanged = try ArchiveSource(source, item).unpack(
                    compression,
                    into: destination,
                    base: base,
                    pending: pending,
                    target: target,
                    environment: environment,
                    owner: owner,
                    cancellation: cancellation
                )
                if !isUnchanged { unpackedChanged = true }
                continue
            }
            var path = destination
            if item.status.kind != .directory {
                let isDirectory = try target.status(destination)?.kind == .directory
                if endsInSlash || isDirectory || destination.isEmpty { path = destination.appending(item.name) }
            }
            try copier.copy(item, to: path)
        }
        return copier.changedSource != nil || unpackedChanged
    }
}

/// A path of the Dockerfile; one with a NUL inside would mean another file to the kernel.
func checkedPath(_ text: String) throws -> RawPath {
    let path = RawPath(text)
    guard !path.containsNUL else {
        throw BuildOpsError(.invalidRequest, "the path \"\(text.replacing("\0", with: "\\0"))\" holds a NUL byte")
    }
    return path
}
