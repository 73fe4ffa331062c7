// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import LinuxSystem
import OCI

/// What a copy reads from: a stage's merged tree, or the build context as it was scanned. Paths have no leading slash,
/// no `.` or `..`, and are relative to the tree's root.
protocol SourceTree: Sendable {
    var root: CInt { get }
    /// True for a tree whose files keep their owners when they are copied.
    var keepsOwners: Bool { get }
    /// The entry itself, not what a symlink leads to; `path` has no symlink before its last component.
    func status(_ path: RawPath) throws -> FileStatus?
    func linkTarget(_ path: RawPath) throws -> RawPath
    /// Names in byte order; `directory` is open.
    func names(_ path: RawPath, _ directory: CInt) throws -> [RawPath]
    /// What a copy finds in the open `directory`, names in byte order.
    func entries(_ path: RawPath, _ directory: CInt) throws -> SourceDirectory
    /// Digest of a regular file's bytes and attributes.
    func digest(_ path: RawPath, _ name: RawPath, in directory: CInt) throws -> Digest
    /// Whether what lies at `path` now is what `digest` and the step's key were made of.
    func isUnchanged(_ path: RawPath, _ status: FileStatus) -> Bool
    /// What a copy of the file at `path` is compared with; nil for a tree that never changes.
    func scannedFile(_ path: RawPath) -> ScannedFile?
    /// What to say when there is nothing at `path`.
    func missing(_ path: String) -> BuildOpsError
}

/// Layers of a stage or an image, mounted read-only.
struct StageSource: SourceTree {
    let tree: MergedRoot
    let keepsOwners = true

    var root: CInt { tree.root }

    func status(_ path: RawPath) throws -> FileStatus? {
        if path.isEmpty { return try LinuxSystem.status(of: root) }
        return try statusIfPresent(at: root, path)
    }

    func linkTarget(_ path: RawPath) throws -> RawPath { try readLink(at: root, path) }

    func isUnchanged(_ path: RawPath, _ status: FileStatus) -> Bool { true }
    func scannedFile(_ path: RawPath) -> ScannedFile? { nil }

    func names(_ path: RawPath, _ directory: CInt) throws -> [RawPath] {
        try readDirectory(directory).map(\.name).sorted()
    }

    func entries(_ path: RawPath, _ directory: CInt) throws -> SourceDirectory {
        .listed(try readDirectory(directory).sorted { $0.name < $1.name })
    }

    func digest(_ path: RawPath, _ name: RawPath, in directory: CInt) throws -> Digest {
        let fd = try open(at: directory, name, [.readOnly, .noFollow])
        return try contentDigest(of: fd.raw)
    }

    func missing(_ path: String) -> BuildOpsError {
        BuildOpsError(
            .sourceMissing,
            "\"\(path)\": not found",
            nextStep: "nothing is there in the stage or image that is copied from; check the path in its last step"
        )
    }
}

/// The build context.
struct ContextSource: SourceTree {
    let context: ContextTree
    let keepsOwners = false

    var root: CInt { context.root.raw }

    func status(_ path: RawPath) throws -> FileStatus? {
        if path.isEmpty { return try LinuxSystem.status(of: root) }
        return context.entry(path)?.status
    }

    func linkTarget(_ path: RawPath) throws -> RawPath {
        context.entry(path)?.linkTarget ?? RawPath("")
    }

    func isUnchanged(_ path: RawPath, _ status: FileStatus) -> Bool {
        guard let entry = context.entry(path) else { return false }
        // A directory's times and size change with names that no step reads.
        if entry.status.kind == .directory {
            return status.kind == .directory && status.permissions == entry.status.permissions
        }
        return ScannedFile(entry).isUnchanged(status)
    }

    func scannedFile(_ path: RawPath) -> ScannedFile? { context.entry(path).map { ScannedFile($0) } }

    func names(_ path: RawPath, _ directory: CInt) throws -> [RawPath] {
        context.directories[path]?.map(\.name) ?? []
    }

    func entries(_ path: RawPath, _ directory: CInt) throws -> SourceDirectory {
        .scanned(context.directories[path] ?? ContextDirectory())
    }

    func digest(_ path: RawPath, _ name: RawPath, in directory: CInt) throws -> Digest {
        guard let digest = context.entry(path)?.digest else { throw missing(path.description) }
        return digest
    }

    func missing(_ path: String) -> BuildOpsError {
        let relative = RawPath(path).components.reduce(RawPath("")) { $0.appending($1) }
        if (try? statusIfPresent(at: root, relative)) != nil, context.isIgnored(relative) {
            return BuildOpsError(
                .sourceIgnored,
                "\"\(path)\": not found: it is in the \(contextTitle(context.name)) but .dockerignore excludes it",
                nextStep: "add a line \"!\(relative)\" to .dockerignore, or do not copy it"
            )
        }
        return BuildOpsError(
            .sourceMissing,
            "\"\(path)\": not found in the \(contextTitle(context.name))",
            nextStep: context.name == mainContextName
                ? "paths are relative to the context directory given on the command line, not to the Dockerfile"
                : "paths are relative to the directory that --build-context \(context.name)= names"
        )
    }
}

/// What a scan of the context saw of a file, and a copy of it must find again.
struct ScannedFile: Sendable {
    private let status: FileStatus
    /// The digest that the copy must have; nil when the status is proof enough.
    let requiredDigest: Digest?

    init(_ entry: ContextEntry) {
        status = entry.status
        requiredDigest = entry.isSettled ? nil : entry.digest
    }

    func isUnchanged(_ status: FileStatus) -> Bool {
        status.kind == self.status.kind && FileFingerprint(status) == FileFingerprint(self.status)
    }
}

/// The content of a directory that is copied. Entries are made when they are asked for: there may be very many.
enum SourceDirectory: Sendable {
    case scanned(ContextDirectory)
    case listed([DirectoryEntry])

    struct Entry {
        var name: RawPath
        /// Nil when only `stat` tells.
        var kind: FileKind?
        /// What the scan of a context saw.
        var context: ContextEntry?

        var scanned: ScannedFile? { context.map { ScannedFile($0) } }
        /// Bytes, as far as known.
        var size: Int64 { context?.status.size ?? 0 }
    }

    var count: Int {
        switch self {
        case .scanned(let entries): entries.count
        case .listed(let entries): entries.count
        }
    }

    subscript(index: Int) -> Entry {
        switch self {
        case .scanned(let entries):
            let entry = entries[index]
            return Entry(name: entry.name, kind: entry.status.kind, context: entry)
        case .listed(let entries):
            return Entry(name: entries[index].name, kind: entries[index].kind, context: nil)
        }
    }
}

/// An open root directory of layers.
struct MergedRoot: Sendable {
    let owner: any Sendable
    let root: CInt
}
