// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileSyntax
import LinuxSystem
import OCI

/// One thing that a COPY or ADD copies.
struct CopySource {
    /// Where it is, symlinks followed.
    var path: RawPath
    /// The name it gets inside a destination directory.
    var name: RawPath
    var status: FileStatus
}

extension SourceTree {
    /// What a copy's source path names: one entry, or those that its wildcards match, in byte order.
    func sources(of copy: FileCopy) throws -> [CopySource] {
        let pattern = try checkedPath(copy.source)
        guard copy.allowsWildcards, GlobPattern.hasWildcard(copy.source) else {
            return [try source(pattern)]
        }
        var prefix = RawPath("")
        var rest = pattern.components[...]
        while let first = rest.first, !GlobPattern.hasWildcard(first.description) {
            prefix = prefix.appending(first)
            rest.removeFirst()
        }
        let globs: [GlobPattern]
        do {
            globs = try rest.map { try GlobPattern($0.description) }
        } catch {
            throw BuildOpsError(.invalidRequest, "\"\(copy.source)\" is not a valid pattern: \(error)")
        }
        let start = try resolve(prefix)
        guard try status(start)?.kind == .directory else { return [] }
        var matches: [RawPath] = []
        try match(globs[...], start, &matches)
        return try matches.map(source)
    }

    private func match(_ globs: ArraySlice<GlobPattern>, _ directory: RawPath, _ matches: inout [RawPath]) throws {
        guard let glob = globs.first else { return }
        let fd = try openInRoot(root, directory, [.directory], resolve: [.inRoot, .noSymlinks])
        for name in try names(directory, fd.raw) where glob.matches(name.description) {
            let path = directory.appending(name)
            if globs.count == 1 {
                matches.append(path)
            } else if try status(path)?.kind == .directory {
                try match(globs.dropFirst(), path, &matches)
            }
        }
    }

    private func source(_ path: RawPath) throws -> CopySource {
        let resolved = try resolve(path)
        guard let status = try status(resolved) else { throw missing(path.description) }
        return CopySource(path: resolved, name: path.lastComponent ?? RawPath(""), status: status)
    }

    func resolve(_ path: RawPath) throws -> RawPath {
        try resolveLinks(path) { candidate in
            guard try status(candidate)?.kind == .symlink else { return nil }
            return try linkTarget(candidate)
        }
    }

    /// The digest of everything that `sources` hold: what a copy of them is made of.
    func digest(of sources: [CopySource], checkCancellation: () throws -> Void = {}) throws -> Digest {
        var hasher = Digest.Hasher()
        for source in sources {
            hasher.update("source \(source.name.bytes.count):")
            hasher.update(source.name.bytes)
            if source.status.kind == .directory {
                let fd = try openInRoot(root, source.path, [.directory], resolve: [.inRoot, .noSymlinks])
                // Only what it holds is copied, so nothing of the directory itself counts.
                hasher.update("directory\n")
                try hash(source.path, fd.raw, RawPath(""), &hasher, checkCancellation)
            } else {
                let fd = try openInRoot(root, parentPath(source.path), [.directory], resolve: [.inRoot, .noSymlinks])
                try hash(
                    source.path,
                    source.path.lastComponent ?? source.path,
                    RawPath("."),
                    source.status,
                    in: fd.raw,
                    &hasher
                )
            }
        }
        return hasher.finalize()
    }

    private func hash(
        _ path: RawPath,
        _ directory: CInt,
        _ shown: RawPath,
        _ hasher: inout Digest.Hasher,
        _ checkCancellation: () throws -> Void
    ) throws {
        for name in try names(path, directory) {
            try checkCancellation()
            let child = path.appending(name)
            try checkLength(child)
            guard let status = try status(child) else { continue }
            try hash(child, name, shown.appending(name), status, in: directory, &hasher)
            if status.kind == .directory {
                let fd = try open(at: directory, name, [.directory, .noFollow])
                try hash(child, fd.raw, shown.appending(name), &hasher, checkCancellation)
            }
        }
    }

    private func hash(
        _ path: RawPath,
        _ name: RawPath,
        _ shown: RawPath,
        _ status: FileStatus,
        in directory: CInt,
        _ hasher: inout Digest.Hasher
    ) throws {
        let target = status.kind == .symlink ? try linkTarget(path) : nil
        let digest = status.kind == .regular ? try digest(path, name, in: directory) : nil
        record(shown, status, target: target, digest: digest).hash(into: &hasher)
    }

    private func record(
        _ path: RawPath,
        _ status: FileStatus,
        target: RawPath?,
        digest: Digest?
    ) -> ContentRecord {
        var record = ContentRecord(path, status, target: target, digest: digest)
        if !keepsOwners {
            record.uid = 0
            record.gid = 0
        }
        return record
    }
}

/// Bounds how deep a tree is: reading one takes stack and a descriptor for each level.
func checkLength(_ path: RawPath) throws {
    // The kernel's PATH_MAX.
    guard path.bytes.count < 4096 else {
        throw BuildOpsError(.invalidRequest, "the path \"\(RawPath(bytes: path.bytes.prefix(200)))…\" is too long")
    }
}
