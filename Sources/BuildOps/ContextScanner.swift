// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import DockerfileSyntax
import Glibc
import LinuxSystem
import OCI

/// Reads a directory that steps copy from: one `stat` for a file that was read before, its bytes only when it changed.
struct ContextScanner {
    /// Times closer to the scan than this are not trusted: the file may change again within one tick of its clock.
    private static let clockGranularity: UInt32 = 20_000_000

    private let name: String
    private let root: SharedFD
    private let ignore: IgnoreMatcher
    private var selection: PathSelection
    private var needsEverything = false
    private let sawEverything: Bool
    private let started = FileTime.now
    private let checkCancellation: () throws -> Void
    private var recall: DigestRecall
    private(set) var hashedFiles = 0
    private var directories: [RawPath: ContextDirectory] = [:]

    init(
        name: String = mainContextName,
        root: SharedFD,
        ignore: IgnoreMatcher,
        followPaths: [String],
        known: FileDigests,
        checkCancellation: @escaping () throws -> Void = {}
    ) {
        self.name = name
        self.root = root
        self.ignore = ignore
        selection = PathSelection(followPaths)
        sawEverything = followPaths.isEmpty
        recall = DigestRecall(known)
        self.checkCancellation = checkCancellation
    }

    mutating func scan() throws -> ContextTree {
        try scan(root.raw, RawPath(""), included: selection.isEverything)
        if needsEverything {
            // A step reads through a symlink, which may lead anywhere in the context.
            selection = PathSelection([])
            directories = [:]
            try scan(root.raw, RawPath(""), included: true)
        }
        let ignore = ignore
        return ContextTree(name: name, root: root, directories: directories) { ignore.isIgnored($0.description) }
    }

    /// To be remembered for the next scan.
    func digestsToKeep(of tree: ContextTree) -> DigestsToKeep<NewDigests> {
        DigestsToKeep(recall, new: NewDigests(tree), sawEverything: sawEverything)
    }

    /// - Parameter included: a directory above was named whole by a step.
    private mutating func scan(_ directory: CInt, _ path: RawPath, included: Bool) throws {
        let names = try readDirectory(directory).map(\.name).sorted()
        var entries =
            included
            ? ContextDirectory(count: names.count, nameBytes: names.reduce(0) { $0 + $1.bytes.count })
            : ContextDirectory()
        for name in names {
            try checkCancellation()
            let child = path.appending(name)
            try checkLength(child)
            let match = included ? PathSelection.Match.whole : selection.match(child)
            guard match != .none else { continue }
            let text = child.description
            let ignored = ignore.isIgnored(text)
            guard let status = try statusIfPresent(at: directory, name) else { continue }
            var attributes: Digest?
            if status.kind == .directory {
                if ignored, ignore.canSkipDirectory(text) { continue }
                attributes = try scanDirectory(name, in: directory, child, included: match == .whole)
                // An ignored directory is there only to hold what an exception brought back.
                if ignored, directories[child]?.isEmpty ?? true {
                    directories[child] = nil
                    continue
                }
            } else if ignored {
                continue
            }
            let isFollowed = status.kind == .symlink && selection.leadsThrough(child)
            if isFollowed { needsEverything = true }
            // On the way to what is read there are only directories and symlinks.
            if match == .above, status.kind != .directory, !isFollowed { continue }
            var entry = try entry(name, status, in: directory, child)
            if let attributes { entry.digest = attributes }
            entries.append(entry)
        }
        directories[path] = entries
    }

    /// Returns the digest of its attributes.
    private mutating func scanDirectory(
        _ name: RawPath,
        in directory: CInt,
        _ path: RawPath,
        included: Bool
    ) throws -> Digest? {
        let fd: OwnedFD
        do throws(SystemError) {
            fd = try open(at: directory, name, [.directory, .noFollow])
        } catch {
            if error.isNotFound { return nil }
            throw BuildOpsError(
                .contextUnreadable,
                "cannot read the directory \"\(path)\" of the \(contextTitle(self.name)): \(error.reason)",
                nextStep: "make it readable, or add \"\(path)\" to .dockerignore"
            )
        }
        try scan(fd.raw, path, included: included)
        return try attributesDigest(of: fd.raw)
    }

    private mutating func entry(
        _ name: RawPath,
        _ status: FileStatus,
        in directory: CInt,
        _ path: RawPath
    ) throws -> ContextEntry {
        var entry = ContextEntry(name: name, status: status)
        switch status.kind {
        case .symlink: entry.linkTarget = try readLink(at: directory, name)
        case .regular:
            (entry.digest, entry.isNew) = try digest(name, status, in: directory, path)
            entry.isSettled = isSettled(status)
        default: break
        }
        return entry
    }

    /// Returns also whether the digest is not remembered yet, and may be.
    private mutating func digest(
        _ name: RawPath,
        _ status: FileStatus,
        in directory: CInt,
        _ path: RawPath
    ) throws -> (Digest, isNew: Bool) {
        let fingerprint = FileFingerprint(status)
        if let digest = recall.digest(of: fingerprint) { return (digest, isNew: false) }
        do throws(SystemError) {
            // It may be a fifo by now, which must not be waited for.
            let fd = try open(at: directory, name, [.readOnly, .noFollow, .nonBlocking])
            guard try LinuxSystem.status(of: fd.raw).kind == .regular else {
                throw SystemError(errno: ESTALE, operation: "read", path: path.description)
            }
            let digest = try contentDigest(of: fd.raw)
            hashedFiles += 1
            // Only a file that stood still while it was read, and for long enough before, is remembered.
            let after = FileFingerprint(try LinuxSystem.status(of: fd.raw))
            return (digest, isNew: after == fingerprint && isSettled(status))
        } catch {
            throw BuildOpsError(
                .contextUnreadable,
                "cannot read \"\(path)\" of the \(contextTitle(self.name)): \(error.reason)",
                nextStep: "make it readable, or add \"\(path)\" to .dockerignore"
            )
        }
    }

    private func isSettled(_ status: FileStatus) -> Bool {
        // A file system may tell any time at all, so nothing is computed with it.
        var limit = started
        if limit.nanoseconds < Self.clockGranularity {
            limit.seconds -= 1
            limit.nanoseconds += 1_000_000_000
        }
        limit.nanoseconds -= Self.clockGranularity
        return status.changed < limit
    }
}

/// The name that the directory given on the command line has among the build's local directories.
let mainContextName = "context"

/// What messages call a local directory of the build.
func contextTitle(_ name: String) -> String { name == mainContextName ? "build context" : "build context \"\(name)\"" }

extension FileFingerprint {
    init(_ status: FileStatus) {
        self.init(
            device: status.device,
            inode: status.inode,
            size: status.size,
            modifiedSeconds: status.modified.seconds,
            modifiedNanoseconds: status.modified.nanoseconds,
            changedSeconds: status.changed.seconds,
            changedNanoseconds: status.changed.nanoseconds
        )
    }
}

/// The digest of a file's bytes, and of its extended attributes if it has any that a copy keeps.
func contentDigest(of fd: CInt) throws(SystemError) -> Digest {
    var hasher = Digest.Hasher()
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)
    defer { buffer.deallocate() }
    while true {
        let count = try readBytes(fd, into: buffer)
        if count == 0 { break }
        hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
    guard let attributes = try attributesDigest(of: fd) else { return hasher.finalize() }
    return Digest.sha256("\(hasher.finalize().hex) \(attributes.hex)")
}
