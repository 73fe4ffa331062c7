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
