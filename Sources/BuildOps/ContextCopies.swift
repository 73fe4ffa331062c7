// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import Snapshots

/// Parts of local directories as commands may see them: copies without what the ignore file takes out, owned by 0:0 as
/// a COPY would make them. Each is made once in a build, and gone with it.
actor ContextCopies {
    /// A directory that holds the copied tree, or one file under its name.
    struct Copy: Sendable {
        let pending: PendingSnapshot
        let status: FileStatus
        /// A file differed from what the scan saw.
        let sourceChanged: Bool
    }

    private struct Key: Hashable {
        var context: ObjectIdentifier
        var path: RawPath
    }

    private var copies: [Key: (context: ContextTree, memo: OnceTask<Copy>)] = [:]

    /// - Parameter path: without symlinks.
    func copy(_ path: RawPath, of context: ContextTree, _ snapshotter: any Snapshotter) async throws -> Copy {
        let key = Key(context: ObjectIdentifier(context), path: path)
        let memo = copies[key]?.memo ?? OnceTask()
        // Keeps the context too, whose address stands for it.
        copies[key] = (context, memo)
        return try await memo.value {
            try await cancellableBlocking { try Self.make(path, context, snapshotter, $0) }
        }
    }

    private static func make(
        _ path: RawPath,
        _ context: ContextTree,
        _ snapshotter: any Snapshotter,
        _ cancellation: CancellationFlag
    ) throws -> Copy {
        let source = ContextSource(context: context)
        guard let status = try source.status(path) else { throw source.missing(path.description) }
        let pending = try snapshotter.begin()
        let changed = try fill(pending.directory, from: source, path, status, cancellation)
        return Copy(pending: pending, status: status, sourceChanged: changed != nil)
    }
}

/// Copies what a directory of `source` holds, or a file under its name, into an empty directory.
///
/// - Returns: the first path that differed from what the source's scan saw.
func fill(
    _ directory: SharedFD,
    from source: any SourceTree,
    _ path: RawPath,
    _ status: FileStatus,
    _ cancellation: CancellationFlag
) throws -> RawPath? {
    let target = LayerTarget(layer: directory, base: directory)
    target.rootTime = status.modified
    let copier = TreeCopier(
        from: source,
        to: target,
        owner: nil,
        permissions: nil,
        checkCancellation: cancellation.check
    )
    let name = path.lastComponent ?? RawPath("")
    let isDirectory = status.kind == .directory
    try copier.copy(CopySource(path: path, name: name, status: status), to: isDirectory ? RawPath("") : name)
    if isDirectory {
        if source.keepsOwners { try setOwner(of: directory.raw, uid: status.uid, gid: status.gid) }
        try setPermissions(of: directory.raw, path.isEmpty && !source.keepsOwners ? 0o755 : status.permissions)
    }
    try target.finish()
    return copier.changedSource
}
