// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// The lock on a file that goes with what it protects; nil when somebody else has it, or had it until just now.
func namedLock(_ file: RawPath, shared: Bool = false) throws -> FileLock? {
    guard let lock = try FileLock(trying: file, shared: shared) else { return nil }
    // Whoever removed what it protects may have taken the file away before it was locked here.
    return try statusIfPresent(at: workingDirectory, file)?.inode == lock.inode ? lock : nil
}
