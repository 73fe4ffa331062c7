// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
public import LinuxSystem

/// A place in the root file system that a mount covers while a process runs.
public struct MountPointStub: Hashable, Sendable {
    /// Absolute.
    public var path: String
    public var isDirectory: Bool

    public init(path: String, isDirectory: Bool) {
        self.path = path
        self.isDirectory = isDirectory
    }
}

/// All mount points that a process of this kind needs.
public func mountPointStubs(for spec: ProcessSpec) -> [MountPointStub] {
    let standard = [
        MountPointStub(path: "/proc", isDirectory: true),
        MountPointStub(path: "/sys", isDirectory: true),
        MountPointStub(path: "/dev", isDirectory: true),
        MountPointStub(path: "/etc/hosts", isDirectory: false),
        MountPointStub(path: "/etc/resolv.conf", isDirectory: false),
    ]
    return standard
        + spec.mounts.map { MountPointStub(path: $0.target, isDirectory: $0.source.isDirectory) }
        .filter { !standard.contains($0) }
}

/// Fills an empty directory with the mount points, to be the lowest layer of an overlay: no runtime then makes them in
/// the layer that is kept.
public func makeStubLayer(in directory: CInt, stubs: [MountPointStub]) throws(SystemError) {
    for stub in stubs {
        let components = RawPath(stub.path).components
        guard !components.contains("..") else {
            throw SystemError(errno: EINVAL, operation: "make mount point", path: stub.path)
        }
        var parent = try openInRoot(directory, ".", [.directory])
        for (index, name) in components.enumerated() {
            let isLast = index == components.count - 1
            if isLast, !stub.isDirectory {
                if try statusIfPresent(at: parent.raw, name) == nil {
                    let file = try open(at: parent.raw, name, [.writeOnly, .create, .exclusive], mode: 0o644)
                    // Whatever umask this process has: where the image lacks the name, its users see this one.
                    try setPermissions(of: file.raw, 0o644)
                }
            } else {
                do {
                    try makeDirectory(at: parent.raw, name)
                    try setPermissions(at: parent.raw, name, 0o755)
                } catch {
                    guard error.errno == EEXIST else { throw error }
                }
                parent = try open(at: parent.raw, name, [.directory, .noFollow])
            }
        }
    }
}

/// Removes the mount points that the runtime made in an overlay's upper directory, which was empty before the run, all
/// the same (a whiteout hid the stub layer). Only what is empty goes; directories above stay.
public func removeStubs(fromUpper directory: CInt, stubs: [MountPointStub]) {
    // Longest first: a mount point may lie in another.
    for stub in stubs.sorted(by: { $0.path.utf8.count > $1.path.utf8.count }) {
        let components = RawPath(stub.path).components
        guard let name = components.last, !components.contains("..") else { continue }
        let parent = RawPath(components.dropLast().map(\.description).joined(separator: "/"))
        guard let handle = try? openInRoot(directory, parent, [.directory], resolve: [.inRoot, .noSymlinks]) else {
            continue
        }
        removeEmpty(at: handle.raw, name)
    }
}

extension ExecutorMount.Source {
    var isDirectory: Bool {
        func isDirectory(_ status: FileStatus?) -> Bool { status.map { $0.kind == .directory } ?? true }
        return switch self {
        case .tmpfs: true
        case .subtree(_, _, let isDirectory): isDirectory
        case .path(let path, _): isDirectory(try? status(at: workingDirectory, path, following: true))
        case .descriptor(let fd), .mount(let fd): isDirectory(try? status(of: fd.raw))
        }
    }
}
