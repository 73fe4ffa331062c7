// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Glibc
import LinuxSystem
import OCI
import Synchronization

/// Copies the files of one COPY into a layer; several threads may do so at once.
final class FileCopier: Sendable {
    /// Where a file is read and written: names in open directories, whose paths are those from the roots.
    struct Place {
        var from: CInt
        var directory: RawPath
        var name: RawPath
        var to: CInt
        var newDirectory: RawPath
        var newName: RawPath

        var path: RawPath { directory.appending(name) }
        var destination: RawPath { newDirectory.appending(newName) }
    }

    private struct Links {
        /// Where each file with several names was copied to.
        var first: [HardLinks.Identity: RawPath] = [:]
        /// The same by place, for a copy that something else replaces.
        var places: [RawPath: HardLinks.Identity] = [:]
    }

    /// Files up to this many bytes go through a buffer: that takes fewer and cheaper calls.
    static let bufferSize = 128 << 10

    private let layer: SharedFD
    let owner: (uid: UInt32, gid: UInt32)?
    private let keepsOwners: Bool
    private let permissions: FilePermissions?
    private let checkCancellation: @Sendable () throws -> Void
    private let links = Mutex(Links())
    private let changed = Mutex(RawPath?.none)

    init(
        layer: SharedFD,
        owner: (uid: UInt32, gid: UInt32)?,
        keepsOwners: Bool,
        permissions: FilePermissions?,
        checkCancellation: @escaping @Sendable () throws -> Void
    ) {
        self.layer = layer
        self.owner = owner
        self.keepsOwners = keepsOwners
        self.permissions = permissions
        self.checkCancellation = checkCancellation
    }

    /// A file that differed from what the scan saw, the first by its path: the result must not be remembered under the
    /// scan's digest.
    var changedSource: RawPath? { changed.withLock { $0 } }

    func noteChange(_ path: RawPath) {
        changed.withLock { first in first = first.map { min($0, path) } ?? path }
    }

    func ownership(_ status: FileStatus) -> (UInt32, UInt32) {
        if let owner { return owner }
        return keepsOwners ? (status.uid, status.gid) : (0, 0)
    }

    // MARK: Files with several names

    /// Copies what has this status with `copy`, or makes it another name of the copy that was made of it before.
    func copyOrLink(_ status: FileStatus, _ place: Place, _ copy: () throws -> Void) throws {
        guard status.links > 1 else { return try copy() }
        let key = HardLinks.Identity(status)
        // Whoever comes with another name meanwhile waits until there is something to link to.
        try links.withLock { links in
            if let first = links.first[key] {
                return try makeHardLink(from: layer.raw, first, to: place.to, place.newName)
            }
            try copy()
            let destination = place.destination
            links.first[key] = destination
            links.places[destination] = key
        }
    }

    /// What was copied to `destination` is gone.
    func forgetLink(_ destination: RawPath) {
        links.withLock { links in
            if let key = links.places.removeValue(forKey: destination) { links.first[key] = nil }
        }
    }

    // MARK: Regular files

    /// Copies a regular file to where nothing is. What is none any more, or gone, is a change and is left out.
    ///
    func copy(_ place: Place, _ scanned: ScannedFile?) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bufferSize, alignment: 64)
        defer { buffer.deallocate() }
        try copy(place, scanned, buffer)
    }

    /// As `copy(_:_:)`, with a buffer of `bufferSize` bytes.
    func copy(_ place: Place, _ scanned: ScannedFile?, _ buffer: UnsafeMutableRawBufferPointer) throws {
        guard let input = try openSource(place) else { return noteChange(place.path) }
        let status = try status(of: input.raw)
        guard status.kind == .regular else { return noteChange(place.path) }
        try copyOrLink(status, place) { try copy(input.raw, status, place, scanned, buffer) }
    }

    /// Nil for what is gone, or is something else by now.
    private func openSource(_ place: Place) throws -> OwnedFD? {
        do throws(SystemError) {
            // It may be a fifo, which must not be waited for.
            return try open(at: place.from, place.name, [.readOnly, .noFollow, .nonBlocking])
        } catch {
            guard error.isNotFound || [ELOOP, ENXIO, ENODEV].contains(error.errno) else { throw error }
            return nil
        }
    }

    private func copy(
        _ input: CInt,
        _ status: FileStatus,
        _ place: Place,
        _ scanned: ScannedFile?,
        _ buffer: UnsafeMutableRawBufferPointer
    ) throws {
        let mode = permissions.of(status)
        let output = try open(at: place.to, place.newName, [.writeOnly, .create, .exclusive], mode: mode & 0o777)
        let length = try copyBytes(input, output.raw, status, buffer)
        if let scanned {
            let after = try LinuxSystem.status(of: input)
            if length != status.size || !scanned.isUnchanged(after) { noteChange(place.path) }
        }
        let made = try LinuxSystem.status(of: output.raw)
        let (uid, gid) = ownership(status)
        if (made.uid, made.gid) != (uid, gid) { try setOwner(of: output.raw, uid: uid, gid: gid) }
        // The process's umask took something away; the three high bits are never there at first.
        if made.permissions != mode { try setPermissions(of: output.raw, mode) }
        try copyExtendedAttributes(from: input, to: output.raw)
        if let required = scanned?.requiredDigest {
            let isInBuffer = status.size <= buffer.count && length <= buffer.count
            let digest =
                isInBuffer
                ? try contentDigest(Self.sha256(buffer, Int(length)), output.raw)
                : try copyDigest(at: place.to, place.newName, buffer)
            if digest != required { noteChange(place.path) }
        }
        try setTimes(of: output.raw, status.modified)
    }

    private static func sha256(_ buffer: UnsafeMutableRawBufferPointer, _ length: Int) -> Digest {
        var hasher = Digest.Hasher()
        hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<length]))
        return hasher.finalize()
    }

    private func copyDigest(
        at directory: CInt,
        _ name: RawPath,
        _ buffer: UnsafeMutableRawBufferPointer
    ) throws -> Digest {
        let copy = try open(at: directory, name, [.readOnly, .noFollow])
        return try BuildOps.contentDigest(of: copy.raw, buffer)
    }

    /// Returns how many bytes there were. If no more than `buffer` holds, they are in it.
    private func copyBytes(
        _ input: CInt,
        _ output: CInt,
        _ status: FileStatus,
        _ buffer: UnsafeMutableRawBufferPointer
    ) throws -> Int64 {
        if status.blocks * 512 < status.size, status.size > buffer.count {
            try copySparse(input, output, status.size)
            return status.size
        }
        // More than its size shows when the file's times are looked at again; of what has no size, nobody knows.
        var copied: Int64 = 0
        if status.size <= buffer.count {
            copied = Int64(try read(input, into: buffer, until: status.size == 0 ? buffer.count : Int(status.size)))
            try writeBytes(output, UnsafeRawBufferPointer(rebasing: buffer[..<Int(copied)]))
            guard copied == buffer.count else { return copied }
        }
        while copied < status.size || status.size == 0 {
            let count = try copyRange(from: input, to: output, 8 << 20)
            if count == 0 { break }
            writeBehind(output, copied, Int64(count))
            copied += Int64(count)
            try checkCancellation()
        }
        return copied
    }

    private func read(_ input: CInt, into buffer: UnsafeMutableRawBufferPointer, until wanted: Int) throws -> Int {
        var length = 0
        while length < wanted {
            let count = try readBytes(input, into: UnsafeMutableRawBufferPointer(rebasing: buffer[length..<wanted]))
            if count == 0 { break }
            length += count
        }
        return length
    }

    /// Copies only what is not a hole, and makes the file as long as it was.
    private func copySparse(_ input: CInt, _ output: CInt, _ size: Int64) throws {
        for range in try dataRanges(input, size: size) {
            try seek(input, to: range.lowerBound)
            try seek(output, to: range.lowerBound)
            var left = Int(range.upperBound - range.lowerBound)
            while left > 0 {
                let count = try copyRange(from: input, to: output, min(left, 8 << 20))
                if count == 0 { break }
                left -= count
                try checkCancellation()
            }
        }
        try setSize(output, size)
    }
}
