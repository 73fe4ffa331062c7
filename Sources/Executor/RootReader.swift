// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem

/// The root file system of a container before it runs, read as the container would read it: symlinks stay inside.
struct RootReader: Sendable {
    let root: SharedFD

    init(_ tree: RootTree) throws {
        switch tree {
        case .mount(let mount): root = mount
        case .directory(let path): root = try open(path, [.directory, .pathOnly]).shared()
        }
    }

    /// The status of what `path` leads to; nil when it leads nowhere.
    func status(_ path: String) throws(SystemError) -> FileStatus? {
        do {
            let handle = try openInRoot(root.raw, RawPath(path), .pathOnly)
            return try LinuxSystem.status(of: handle.raw)
        } catch {
            if error.isNotFound || error.errno == ELOOP { return nil }
            throw error
        }
    }

    /// The regular file at `path`, at most `limit` bytes; nil when there is none.
    func regularFile(_ path: String, limit: Int) throws(SystemError) -> [UInt8]? {
        let handle: OwnedFD
        do {
            handle = try openInRoot(root.raw, RawPath(path), .pathOnly)
        } catch {
            if error.isNotFound || error.errno == ELOOP { return nil }
            throw error
        }
        // Looked at before it is opened: opening a device or a fifo of an unknown image has effects.
        guard try LinuxSystem.status(of: handle.raw).kind == .regular else { return nil }
        let file = try open(RawPath("/proc/self/fd/\(handle.raw)"), .readOnly)
        return try readAll(file.raw, limit: limit, path: path)
    }

    /// The first bytes of the regular file at `path`; nil when there is none.
    func head(_ path: String, count: Int) throws(SystemError) -> [UInt8]? {
        guard try status(path)?.kind == .regular else { return nil }
        let file = try openInRoot(root.raw, RawPath(path), [.readOnly, .nonBlocking])
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        defer { buffer.deallocate() }
        return Array(buffer[..<(try readBytes(file.raw, into: buffer))])
    }

    /// The paths, deepest first, that making a mount point at `path` will add to the tree.
    func missing(_ path: String) throws(SystemError) -> [String] {
        var parts = RawPath(path).components.map(\.description)
        var absent = [String]()
        while !parts.isEmpty {
            let candidate = "/" + parts.joined(separator: "/")
            if try status(candidate) != nil { break }
            absent.append(candidate)
            parts.removeLast()
        }
        return absent
    }

    /// Removes what is empty; anything else, and what is not there, is left alone.
    func removeIfEmpty(_ path: String) {
        guard let name = RawPath(path).lastComponent else { return }
        let parent = RawPath(path).components.dropLast().map(\.description).joined(separator: "/")
        guard let directory = try? openInRoot(root.raw, RawPath(parent), [.directory]) else { return }
        removeEmpty(at: directory.raw, name)
    }
}

/// Removes an empty directory or an empty regular file.
func removeEmpty(at directory: CInt, _ name: RawPath) {
    guard let status = try? LinuxSystem.status(at: directory, name) else { return }
    switch status.kind {
    case .directory: try? removeDirectory(at: directory, name)
    case .regular where status.size == 0 && status.links == 1: try? removeFile(at: directory, name)
    default: break
    }
}
