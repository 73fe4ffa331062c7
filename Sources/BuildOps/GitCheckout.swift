// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Content
import LinuxSystem
import OCI
import Snapshots

/// Writes a commit that a mirror has into a new layer.
///
/// The repository may be hostile: git itself refuses names like `.git` and never writes through a symlink, no hook and no
/// filter is configured, and what is done here afterwards follows no symlink either.
struct GitCheckout {
    private let source: GitSource
    private let commit: GitCommit
    private let mirror: GitMirror
    private let git: GitProgram
    private let keepsGitDirectory: Bool

    init(
        _ source: GitSource,
        _ commit: GitCommit,
        _ mirror: GitMirror,
        _ git: GitProgram,
        keepsGitDirectory: Bool
    ) {
        self.source = source
        self.commit = commit
        self.mirror = mirror
        self.git = git
        self.keepsGitDirectory = keepsGitDirectory
    }

    func run() async throws -> PendingSnapshot {
        let environment = source.environment
        let scratch = try environment.root.makeTemporaryDirectory("git")
        do {
            let layer = try await blocking {
                let layer = try environment.snapshotter.begin()
                try environment.snapshotter.copyRootMetadata(from: [], to: layer)
                return layer
            }
            try await fill(layer, scratch)
            try await blocking { try removeTree(scratch) }
            return layer
        } catch {
            try? await blocking { try removeTree(scratch) }
            throw error
        }
    }

    private func fill(_ layer: PendingSnapshot, _ scratch: RawPath) async throws {
        let subdirectory = source.op.subdirectory
        let tree = subdirectory == nil ? layer.directoryPath : scratch.appending("tree")
        if subdirectory != nil { try await blocking { try makeDirectory(tree, mode: 0o755) } }
        if keepsGitDirectory {
            try await clone(into: tree)
        } else {
            try await checkOut(into: tree, repository: scratch.appending("repository"))
        }
        let time = try await modificationTime()
        let keeps = keepsGitDirectory
        try await cancellableBlocking { cancellation in
            let root = try open(tree, [.directory])
            if let subdirectory {
                try Self.moveContent(of: RawPath(subdirectory), in: root.raw, to: layer.directory.raw)
            }
            try Self.tidy(layer.directory.raw, keepsGitDirectory: keeps, time, isTop: true, cancellation)
            try setPermissions(of: layer.directory.raw, 0o755)
            try setTimes(of: layer.directory.raw, time ?? FileTime(seconds: 0))
        }
    }

    // MARK: Repositories

    /// The files alone. The repository lies elsewhere and shares the mirror's objects.
    private func checkOut(into tree: RawPath, repository: RawPath) async throws {
        try await git.run(["init", "--quiet", "--bare", "--template="] + objectFormat + [repository.description])
        let mirror = mirror.path
        try await blocking {
            try makeDirectories(repository.appending("objects/info"))
            let objects = mirror.appending("objects").description
            try replaceFile(repository.appending("objects/info/alternates"), "\(objects)\n".utf8)
            if let shallow = try? readFile(mirror.appending("shallow")) {
                try replaceFile(repository.appending("shallow"), shallow)
            }
        }
        var inside = git
        inside.set("GIT_DIR", repository.description)
        inside.set("GIT_WORK_TREE", tree.description)
        try await inside.run(["config", "remote.origin.url", source.remote])
        try await inside.run(["checkout", "--quiet", "--force", "--detach", "\(commit.object)^{commit}"], in: tree)
        try await updateSubmodules(inside, tree)
    }

    /// The files and a repository of their own, as a shallow clone has it.
    private func clone(into tree: RawPath) async throws {
        var local = git
        local.set("GIT_CONFIG_COUNT", nil)
        local.set("GIT_ALLOW_PROTOCOL", "file")
        try await local.run(["init", "--quiet", "--template="] + objectFormat + [tree.description])
        let name = commit.reference.flatMap { $0.hasPrefix("refs/") ? ":\($0)" : nil } ?? ""
        try await local.run(
            [
                "fetch", "--quiet", "--depth=1", "--no-tags", "--update-head-ok", "--", "file://\(mirror.path)",
                "\(mirror.name(of: commit.object))\(name)",
            ],
            in: tree
        )
        try await local.run(["checkout", "--quiet", "--force", "--detach", "FETCH_HEAD"], in: tree)
        try await local.run(["remote", "add", "origin", withoutPassword(source.remote)], in: tree)
        try await blocking { try removeTree(tree.appending(".git/FETCH_HEAD")) }
        try await updateSubmodules(git, tree)
    }

    private func updateSubmodules(_ git: GitProgram, _ tree: RawPath) async throws {
        guard source.op.fetchesSubmodules else { return }
        let hasSome = try await blocking {
            try statusIfPresent(at: workingDirectory, tree.appending(".gitmodules"))?.kind == .regular
        }
        guard hasSome else { return }
        try await git.run(["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"], in: tree)
    }

    private var objectFormat: [String] { commit.object.utf8.count == 64 ? ["--object-format=sha256"] : [] }

    private func modificationTime() async throws -> FileTime? {
        guard source.op.modificationTime == .commit else { return nil }
        var quiet = git
        quiet.log = nil
        return FileTime(seconds: try await mirror.time(of: commit.object, quiet))
    }

    // MARK: Files

    private static func moveContent(of path: RawPath, in root: CInt, to layer: CInt) throws {
        let directory: OwnedFD
        do throws(SystemError) {
            directory = try openInRoot(root, path, [.directory], resolve: [.inRoot, .noSymlinks])
        } catch {
            throw BuildOpsError(
                .sourceMissing,
                "the repository has no directory \"\(path)\": \(error.reason)",
                nextStep: "check what follows the colon in #ref:directory; a symlink is not followed there"
            )
        }
        for entry in try readDirectory(directory.raw) {
            try renameFile(at: directory.raw, entry.name, to: layer, entry.name)
        }
    }

    /// Gives everything the modes that git knows, whatever this process's umask, and `time`. Removes the files by which
    /// submodules find their repositories, where those are not kept.
    private static func tidy(
        _ directory: CInt,
        keepsGitDirectory: Bool,
        _ time: FileTime?,
        isTop: Bool,
        _ cancellation: CancellationFlag
    ) throws {
        for entry in try readDirectory(directory) {
            try cancellation.check()
            if entry.name == ".git", !keepsGitDirectory {
                try removeTree(at: directory, entry.name)
                continue
            }
            let found = try status(at: directory, entry.name)
            switch found.kind {
            case .directory:
                let child = try open(at: directory, entry.name, [.directory, .noFollow])
                try tidy(child.raw, keepsGitDirectory: keepsGitDirectory, time, isTop: false, cancellation)
                try setPermissions(of: child.raw, 0o755)
                if let time { try setTimes(of: child.raw, time) }
                continue
            case .regular:
                let write: UInt32 = found.permissions & 0o200
                let execute: UInt32 = found.permissions & 0o100 == 0 ? 0 : 0o111
                try setPermissions(at: directory, entry.name, 0o444 | write | execute)
            default: break
            }
            if let time { try setTimes(at: directory, entry.name, time) }
        }
    }
}
