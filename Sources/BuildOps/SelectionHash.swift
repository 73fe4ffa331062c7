// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import OCI

extension SourceTree {
    /// The digest of everything that `sources` hold: what a copy of them is made of.
    func digest(of sources: [CopySource], checkCancellation: @escaping () throws -> Void = {}) throws -> Digest {
        var hash = SelectionHash(source: self, checkCancellation: checkCancellation)
        for source in sources { try hash.add(source) }
        return hash.finalize()
    }
}

/// Hashes what a copy reads: names, kinds, modes, owners, targets, contents and extended attributes, but no times.
private struct SelectionHash<Source: SourceTree> {
    let source: Source
    let checkCancellation: () throws -> Void
    private var hash = ContentHash()
    private var links = HardLinks()
    /// Directories that count as soon as something below them does.
    private var waiting: [ContentRecord] = []

    init(source: Source, checkCancellation: @escaping () throws -> Void) {
        self.source = source
        self.checkCancellation = checkCancellation
    }

    mutating func finalize() -> Digest { hash.finalize() }

    mutating func add(_ item: CopySource) throws {
        hash.add(title: "source", item.name.bytes)
        if item.status.kind == .directory {
            let fd = try openInRoot(source.root, item.path, [.directory], resolve: [.inRoot, .noSymlinks])
            // Only what it holds is copied, so nothing of the directory itself counts.
            hash.add(title: "directory", [])
            try addContent(item.path, fd.raw, RawPath(""), item.filter)
        } else {
            let parent = parentPath(item.path)
            let fd = try openInRoot(source.root, parent, [.directory], resolve: [.inRoot, .noSymlinks])
            let name = item.path.lastComponent ?? item.path
            try addEntry(item.path, name, RawPath("."), item.status, nil, in: fd.raw)
        }
    }

    /// - Parameter shown: the path from the copied directory.
    private mutating func addContent(
        _ path: RawPath,
        _ directory: CInt,
        _ shown: RawPath,
        _ filter: CopyFilter?
    ) throws {
        let entries = try source.entries(path, directory)
        for index in 0..<entries.count {
            try checkCancellation()
            let entry = entries[index]
            try checkLength(entry.name, in: path)
            let childShown = shown.appending(entry.name)
            let verdict = filter?.verdict(childShown) ?? .copied
            if verdict == .leftOut { continue }
            let child = path.appending(entry.name)
            guard let status = try entry.context?.status ?? source.status(child) else { continue }
            if verdict == .passedThrough, status.kind != .directory { continue }
            guard status.kind == .directory else {
                flushWaiting()
                try addEntry(child, entry.name, childShown, status, entry.context, in: directory)
                continue
            }
            let fd = try open(at: directory, entry.name, [.directory, .noFollow])
            let record = ContentRecord(childShown, status, target: nil, digest: try attributesDigest(of: fd.raw))
            let waitingBefore = waiting.count
            waiting.append(record)
            if verdict == .copied { flushWaiting() }
            try addContent(child, fd.raw, childShown, filter)
            if waiting.count > waitingBefore { waiting.removeLast() }
        }
    }

    private mutating func flushWaiting() {
        for directory in waiting { add(directory) }
        waiting = []
    }

    /// Of no directory. A socket is never copied, and counts for nothing.
    ///
    /// - Parameter known: what the source tells of it, if it has that at hand.
    private mutating func addEntry(
        _ path: RawPath,
        _ name: RawPath,
        _ shown: RawPath,
        _ status: FileStatus,
        _ known: ContextEntry?,
        in directory: CInt
    ) throws {
        if status.kind == .socket { return }
        let target = status.kind == .symlink ? try known?.linkTarget ?? source.linkTarget(path) : nil
        let digest = status.kind == .regular ? try known?.digest ?? source.digest(path, name, in: directory) : nil
        add(ContentRecord(shown, status, target: target, digest: digest))
        if let first = links.first(of: status) { hash.addLink(to: first) }
    }

    private mutating func add(_ record: ContentRecord) {
        var record = record
        if !source.keepsOwners {
            record.uid = 0
            record.gid = 0
        }
        hash.add(record)
    }
}
