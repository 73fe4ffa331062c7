// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileSyntax
import LinuxSystem

/// One thing that a COPY or ADD copies.
struct CopySource {
    /// Where it is, symlinks followed.
    var path: RawPath
    /// The name it gets inside a destination directory.
    var name: RawPath
    var status: FileStatus
    /// What of a directory is copied; nil is everything.
    var filter: CopyFilter?
}

private struct FoundEntry {
    var path: RawPath
    var name: RawPath
    var status: FileStatus
    /// A wildcard found it.
    var isMatch: Bool
}

extension SourceTree {
    /// What a copy's source path names: one entry, or those that its wildcards match, in byte order.
    func sources(of copy: FileCopy) throws -> [CopySource] {
        if let pivot = copy.parentsPivot { return try sources(of: copy, pivot: pivot) }
        let filter = try CopyFilter(excluding: copy.excludePatterns)
        return try entries(copy.source, allowsWildcards: copy.allowsWildcards).compactMap { entry in
            // A directory that is named gives what it holds; a file that was only matched can be excluded by its name.
            if entry.isMatch, entry.status.kind != .directory, filter?.excludes(entry.name) == true { return nil }
            return CopySource(path: entry.path, name: entry.name, status: entry.status, filter: filter)
        }
    }

    /// With `--parents` each directory that the pivot names gives what the rest of the path matches in it. No symlink
    /// is followed there.
    private func sources(of copy: FileCopy, pivot: String) throws -> [CopySource] {
        let pivotPath = try checkedPath(pivot)
        let components = try checkedPath(copy.source).components
        guard components.starts(with: pivotPath.components) else {
            throw BuildOpsError(
                .invalidRequest,
                "\"\(copy.source)\" is not below \"\(pivot)\"",
                nextStep: "do not lead out of the directory before \"/./\" with \"..\""
            )
        }
        let rest = components.dropFirst(pivotPath.components.count)
        let pattern = rest.reduce(RawPath("")) { $0.appending($1) }
        let filter = try CopyFilter(wanted: pattern.description, excluding: copy.excludePatterns)
        let isLiteral = !copy.allowsWildcards || !GlobPattern.hasWildcard(copy.source)
        let entries = try entries(pivot, allowsWildcards: copy.allowsWildcards)
        if isLiteral, let first = entries.first {
            guard first.status.kind == .directory, try exists(first.path, pattern) else { throw missing(copy.source) }
        }
        return entries.filter { $0.status.kind == .directory }
            .map { CopySource(path: $0.path, name: $0.name, status: $0.status, filter: filter) }
    }

    /// Whether something is at `path` below a directory, without following symlinks.
    private func exists(_ directory: RawPath, _ path: RawPath) throws -> Bool {
        var place = directory
        for component in path.components {
            guard try status(place)?.kind == .directory else { return false }
            place = place.appending(component)
        }
        return try status(place) != nil
    }

    private func entries(_ source: String, allowsWildcards: Bool) throws -> [FoundEntry] {
        let pattern = try checkedPath(source)
        guard allowsWildcards, GlobPattern.hasWildcard(source) else {
            return [try entry(pattern, isMatch: false)]
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
            throw BuildOpsError(.invalidRequest, "\"\(source)\" is not a valid pattern: \(error)")
        }
        let start = try resolve(prefix)
        guard try status(start)?.kind == .directory else { return [] }
        var matches: [RawPath] = []
        try match(globs[...], start, &matches)
        return try matches.map { try entry($0, isMatch: true) }
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

    private func entry(_ path: RawPath, isMatch: Bool) throws -> FoundEntry {
        let resolved = try resolve(path)
        guard let status = try status(resolved) else { throw missing(path.description) }
        return FoundEntry(
            path: resolved,
            name: path.lastComponent ?? RawPath(""),
            status: status,
            isMatch: isMatch
        )
    }

    func resolve(_ path: RawPath) throws -> RawPath {
        try resolveLinks(path) { candidate in
            guard try status(candidate)?.kind == .symlink else { return nil }
            return try linkTarget(candidate)
        }
    }
}

/// Bounds how deep a tree is: reading one takes stack and a descriptor for each level.
func checkLength(_ path: RawPath) throws {
    try checkLength(path, in: RawPath(""))
}

/// Of a name in a directory.
func checkLength(_ name: RawPath, in directory: RawPath) throws {
    // The kernel's PATH_MAX.
    guard directory.bytes.count + 1 + name.bytes.count <= 4096 else {
        let path = directory.appending(name)
        throw BuildOpsError(.invalidRequest, "the path \"\(RawPath(bytes: path.bytes.prefix(200)))…\" is too long")
    }
}
