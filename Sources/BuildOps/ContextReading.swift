// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import Glibc
import LinuxSystem
import OCI
import Synchronization

/// Reads the files of a context whose digests are not remembered, in portions that are each one thread's work.
final class ContextReading {
    struct File: Sendable {
        /// Of the entry in its directory.
        let index: Int
        let entry: ContextEntry
    }

    /// The digest of a file that was read.
    struct Found: Sendable {
        let directory: RawPath
        let index: Int
        let digest: Digest
        /// It may be remembered: the file stood still while it was read, and for long enough before.
        let isNew: Bool
    }

    private struct Part: Sendable {
        let directory: SharedFD
        let path: RawPath
        let files: ArraySlice<File>
    }

    /// Shared by the threads.
    private final class Results: Sendable {
        let found = Mutex([Found]())
    }

    /// Of a portion. Its directories are open until it is done.
    private static let (mostFiles, mostBytes, mostDirectories) = (64, Int64(8 << 20), 12)

    private let contextName: String
    private let checkCancellation: @Sendable () throws -> Void
    private let results = Results()
    private var parts: [Part] = []
    private var waiting = 0
    private var bytes: Int64 = 0
    /// How many files were read, or will be.
    private(set) var count = 0

    init(_ contextName: String, _ checkCancellation: @escaping @Sendable () throws -> Void) {
        self.contextName = contextName
        self.checkCancellation = checkCancellation
    }

    /// What was found since the last call.
    func take() -> [Found] {
        results.found.withLock { found in
            defer { found = [] }
            return found
        }
    }

    /// There is so much to take that it would better be taken.
    var isFull: Bool { results.found.withLock { $0.count > 4096 } }

    /// Adds regular files of one directory.
    func add(_ files: [File], in directory: SharedFD, _ path: RawPath, _ group: JobGroup) throws {
        var rest = files[...]
        while !rest.isEmpty {
            var count = 0
            for file in rest {
                count += 1
                bytes += min(file.entry.status.size, Self.mostBytes)
                if waiting + count >= Self.mostFiles || bytes >= Self.mostBytes { break }
            }
            parts.append(Part(directory: directory, path: path, files: rest.prefix(count)))
            rest = rest.dropFirst(count)
            waiting += count
            self.count += count
            if waiting >= Self.mostFiles || bytes >= Self.mostBytes || parts.count >= Self.mostDirectories {
                try flush(group)
            }
        }
    }

    /// What was added so far becomes a job.
    func flush(_ group: JobGroup) throws {
        if parts.isEmpty { return }
        let reader = Reader(contextName: contextName, checkCancellation: checkCancellation)
        let (parts, results) = (parts, results)
        self.parts = []
        (waiting, bytes) = (0, 0)
        try group.add {
            let found = try reader.read(parts)
            results.found.withLock { $0 += found }
        }
    }

    /// What one thread does.
    private struct Reader: Sendable {
        let contextName: String
        let checkCancellation: @Sendable () throws -> Void

        func read(_ parts: [Part]) throws -> [Found] {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: FileCopier.bufferSize, alignment: 64)
            defer { buffer.deallocate() }
            var found: [Found] = []
            for part in parts {
                for file in part.files {
                    try checkCancellation()
                    let (digest, isUnchanged) = try read(file.entry, in: part, buffer)
                    let isNew = isUnchanged && file.entry.isSettled
                    found.append(Found(directory: part.path, index: file.index, digest: digest, isNew: isNew))
                }
            }
            return found
        }

        /// Returns also whether the file is still what it was when it was found.
        private func read(
            _ entry: ContextEntry,
            in part: Part,
            _ buffer: UnsafeMutableRawBufferPointer
        ) throws -> (Digest, isUnchanged: Bool) {
            do throws(SystemError) {
                // It may be a fifo by now, which must not be waited for.
                let fd = try open(at: part.directory.raw, entry.name, [.readOnly, .noFollow, .nonBlocking])
                if let digest = try digestAtOnce(fd.raw, entry.status, buffer) { return (digest, true) }
                guard try status(of: fd.raw).kind == .regular else {
                    throw SystemError(errno: ESTALE, operation: "read", path: entry.name.description)
                }
                try seek(fd.raw, to: 0)
                let digest = try contentDigest(of: fd.raw, buffer)
                let after = FileFingerprint(try status(of: fd.raw))
                return (digest, after == FileFingerprint(entry.status))
            } catch {
                let path = part.path.appending(entry.name)
                throw BuildOpsError(
                    .contextUnreadable,
                    "cannot read \"\(path)\" of the \(contextTitle(contextName)): \(error.reason)",
                    nextStep: "make it readable, or add \"\(path)\" to .dockerignore"
                )
            }
        }

        /// The digest of a file that is read with one call and did not change; nil for others.
        private func digestAtOnce(
            _ fd: CInt,
            _ seen: FileStatus,
            _ buffer: UnsafeMutableRawBufferPointer
        ) throws(SystemError) -> Digest? {
            guard seen.size > 0, seen.size < buffer.count else { return nil }
            let count = try readBytes(fd, into: buffer)
            guard count == seen.size else { return nil }
            var hasher = Digest.Hasher()
            hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            let digest = try contentDigest(hasher.finalize(), fd)
            let after = try status(of: fd)
            return after.kind == .regular && FileFingerprint(after) == FileFingerprint(seen) ? digest : nil
        }
    }
}
