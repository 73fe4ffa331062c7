// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// The files that a copy has found, in portions that are each one thread's work.
final class CopyQueue {
    /// Where files are read and written.
    struct Directory: Sendable {
        let entries: SourceDirectory
        let path: RawPath
        let from: SharedFD
        let newPath: RawPath
        let to: SharedFD

        init(_ entries: SourceDirectory, _ path: RawPath, _ from: SharedFD, _ newPath: RawPath, _ to: SharedFD) {
            (self.entries, self.path, self.from) = (entries, path, from)
            (self.newPath, self.to) = (newPath, to)
        }
    }

    private struct Part: Sendable {
        let directory: Directory
        var indices: [Int]
    }

    /// Of a portion. Its directories are open until it is done.
    private static let (mostFiles, mostBytes, mostDirectories) = (64, Int64(8 << 20), 12)

    private let files: FileCopier
    private let group: JobGroup
    private let checkCancellation: @Sendable () throws -> Void
    private var parts: [Part] = []
    private var count = 0
    private var bytes: Int64 = 0

    init(_ files: FileCopier, _ group: JobGroup, _ checkCancellation: @escaping @Sendable () throws -> Void) {
        self.files = files
        self.group = group
        self.checkCancellation = checkCancellation
    }

    /// Adds a regular file, by its index among the directory's entries.
    func add(_ index: Int, _ size: Int64, of directory: Directory) throws {
        if let last = parts.indices.last, parts[last].directory.to === directory.to {
            parts[last].indices.append(index)
        } else {
            parts.append(Part(directory: directory, indices: [index]))
        }
        count += 1
        bytes += min(size, Self.mostBytes)
        if count >= Self.mostFiles || bytes >= Self.mostBytes || parts.count > Self.mostDirectories { try flush() }
    }

    /// What was added so far becomes a job.
    func flush() throws {
        if parts.isEmpty { return }
        let (parts, files, check) = (parts, files, checkCancellation)
        self.parts = []
        (count, bytes) = (0, 0)
        try group.add { try Self.copy(parts, files, check) }
    }

    private static func copy(_ parts: [Part], _ files: FileCopier, _ check: () throws -> Void) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: FileCopier.bufferSize, alignment: 64)
        defer { buffer.deallocate() }
        for part in parts {
            let directory = part.directory
            for index in part.indices {
                try check()
                let entry = directory.entries[index]
                let place = FileCopier.Place(
                    from: directory.from.raw,
                    directory: directory.path,
                    name: entry.name,
                    to: directory.to.raw,
                    newDirectory: directory.newPath,
                    newName: entry.name
                )
                try files.copy(place, entry.scanned, buffer)
            }
        }
    }
}
