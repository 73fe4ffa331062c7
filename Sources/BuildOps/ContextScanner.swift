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
    private let checkCancellation: @Sendable () throws -> Void
    private var recall: DigestRecall
    private var directories: [RawPath: ContextDirectory] = [:]
    private let reading: ContextReading

    /// How many files were read.
    var hashedFiles: Int { reading.count }

    init(
        name: String = mainContextName,
        root: SharedFD,
        ignore: IgnoreMatcher,
        followPaths: [String],
        known: FileDigests,
        checkCancellation: @escaping @Sendable () throws -> Void = {}
    ) {
        self.name = name
        self.root = root
        self.ignore = ignore
        selection = PathSelection(followPaths)
        sawEverything = followPaths.isEmpty
        recall = DigestRecall(known)
        self.checkCancellation = checkCancellation
        reading = ContextReading(name, checkCancellation)
    }

    mutating func scan() throws -> ContextTree {
        try scanWhatIsSelected()
        if needsEverything {
            // A step reads through a symlink, which may lead anywhere in the context.
            selection = PathSelection([])
            directories = [:]
            try scanWhatIsSelected()
        }
        let ignore = ignore
        return ContextTree(name: name, root: root, directories: directories) { ignore.isIgnored($0.description) }
    }

    /// To be remembered for the next scan.
    func digestsToKeep(of tree: ContextTree) -> DigestsToKeep<NewDigests> {
        DigestsToKeep(recall, new: NewDigests(tree), sawEverything: sawEverything)
    }

    private mutating func scanWhatIsSelected() throws {
        let included = selection.isEverything
        try JobGroup.run { group in
            try scan(root, RawPath(""), included: included, group)
            try reading.flush(group)
        }
        takeDigests()
    }

    private mutating func takeDigests() {
        for found in reading.take() {
            directories[found.directory]?.setDigest(found.index, found.digest, isNew: found.isNew)
        }
    }

    /// What a directory has under a name, and how much of it is read.
    private struct Find {
        let name: RawPath
        let path: RawPath
        let status: FileStatus
        let match: PathSelection.Match
        let isIgnored: Bool
    }

    /// What is known of a directory that is being scanned.
    private struct Listing {
        var entries: ContextDirectory
        /// Files whose digests are not remembered.
        var unread: [ContextReading.File] = []
    }

    // One level of a tree takes one frame of this function, so that the deepest there can be fit on a thread's stack.
    /// - Parameter included: a directory above was named whole by a step.
    private mutating func scan(_ directory: SharedFD, _ path: RawPath, included: Bool, _ group: JobGroup) throws {
        let names = try readDirectory(directory.raw).map(\.name).sorted()
        var listing = Listing(
            entries: included
                ? ContextDirectory(count: names.count, nameBytes: names.reduce(0) { $0 + $1.bytes.count })
                : ContextDirectory()
        )
        for name in names {
            guard let find = try find(name, in: directory.raw, path, included: included) else { continue }
            var attributes: Digest?
            if find.status.kind == .directory, let below = try openDirectory(find, in: directory.raw) {
                try scan(below, find.path, included: find.match == .whole, group)
                attributes = try attributesDigest(of: below.raw)
            }
            try add(find, attributes, in: directory.raw, to: &listing)
        }
        try finish(listing, directory, path, group)
    }

    private mutating func finish(
        _ listing: Listing,
        _ directory: SharedFD,
        _ path: RawPath,
        _ group: JobGroup
    ) throws {
        directories[path] = listing.entries
        try reading.add(listing.unread, in: directory, path, group)
        if reading.isFull { takeDigests() }
    }

    /// Nil for what no step reads.
    private func find(_ name: RawPath, in directory: CInt, _ path: RawPath, included: Bool) throws -> Find? {
        try checkCancellation()
        try checkLength(name, in: path)
        let child = path.appending(name)
        let match = included ? PathSelection.Match.whole : selection.match(child)
        guard match != .none else { return nil }
        let isIgnored = !ignore.isEmpty && ignore.isIgnored(child.description)
        guard let status = try statusIfPresent(at: directory, name) else { return nil }
        if isIgnored, status.kind != .directory || ignore.canSkipDirectory(child.description) { return nil }
        return Find(name: name, path: child, status: status, match: match, isIgnored: isIgnored)
    }

    private mutating func add(
        _ find: Find,
        _ attributes: Digest?,
        in directory: CInt,
        to listing: inout Listing
    ) throws {
        let kind = find.status.kind
        // An ignored directory is there only to hold what an exception brought back.
        if find.isIgnored, directories[find.path]?.isEmpty ?? true {
            directories[find.path] = nil
            return
        }
        let isFollowed = kind == .symlink && selection.leadsThrough(find.path)
        if isFollowed { needsEverything = true }
        // On the way to what is read there are only directories and symlinks.
        if find.match == .above, kind != .directory, !isFollowed { return }
        var entry = ContextEntry(name: find.name, status: find.status)
        switch kind {
        case .directory: entry.digest = attributes
        case .symlink: entry.linkTarget = try readLink(at: directory, find.name)
        case .regular:
            entry.isSettled = isSettled(find.status)
            entry.digest = recall.digest(of: FileFingerprint(find.status))
            if entry.digest == nil {
                listing.unread.append(ContextReading.File(index: listing.entries.count, entry: entry))
            }
        default: break
        }
        listing.entries.append(entry)
    }

    /// Nil for what is gone by now.
    private func openDirectory(_ find: Find, in directory: CInt) throws -> SharedFD? {
        do throws(SystemError) {
            return try open(at: directory, find.name, [.directory, .noFollow]).shared()
        } catch {
            if error.isNotFound { return nil }
            throw BuildOpsError(
                .contextUnreadable,
                "cannot read the directory \"\(find.path)\" of the \(contextTitle(name)): \(error.reason)",
                nextStep: "make it readable, or add \"\(find.path)\" to .dockerignore"
            )
        }
    }

    /// Whether a file stood still for long enough before the scan.
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
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 128 << 10, alignment: 64)
    defer { buffer.deallocate() }
    return try contentDigest(of: fd, buffer)
}

/// As `contentDigest(of:)`, reading through `buffer`.
func contentDigest(of fd: CInt, _ buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Digest {
    var hasher = Digest.Hasher()
    while true {
        let count = try readBytes(fd, into: buffer)
        if count == 0 { break }
        hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
    return try contentDigest(hasher.finalize(), fd)
}

/// The same, of a file whose bytes have this digest.
func contentDigest(_ bytes: Digest, _ fd: CInt) throws(SystemError) -> Digest {
    guard let attributes = try attributesDigest(of: fd) else { return bytes }
    return Digest.sha256("\(bytes.hex) \(attributes.hex)")
}
