// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux

/// An empty file system in memory, attached nowhere: what is written there reaches no disk, and goes with the last use.
public func detachedMemoryTree() throws(SystemError) -> OwnedFD {
    let fd = galley_tmpfs_detached()
    guard fd >= 0 else { throw .last("mount tmpfs") }
    return OwnedFD(owning: fd)
}

/// An empty file in memory, without a name.
public func memoryFile(_ title: String) throws(SystemError) -> OwnedFD {
    let fd = galley_memory_file(title)
    guard fd >= 0 else { throw .last("memfd_create") }
    return OwnedFD(owning: fd)
}

/// A copy of a file in memory that nobody can change, whoever gets hold of it.
public func sealedCopy(of path: RawPath) throws(SystemError) -> OwnedFD {
    let source = try open(path, .readOnly)
    let copy = try memoryFile(path.lastComponent?.description ?? "")
    while try copyRange(from: source.raw, to: copy.raw, 8 << 20) > 0 {}
    guard galley_seal(copy.raw) == 0 else { throw .last("seal", path.description) }
    return copy
}
