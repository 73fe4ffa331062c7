// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc

/// An advisory lock on a file (`flock`), released when this value goes away or its process dies.
public final class FileLock: Sendable {
    private let fd: SharedFD

    /// Blocks until the lock is had. The file is made when it does not exist.
    public init(_ path: RawPath, shared: Bool = false) throws(SystemError) {
        let fd = try open(path, [.readWrite, .create], mode: 0o600)
        while flock(fd.raw, shared ? LOCK_SH : LOCK_EX) != 0 {
            guard errno == EINTR else { throw .last("flock", path.description) }
        }
        self.fd = fd.shared()
    }

    /// Nil when somebody else has it.
    ///
    /// - Parameter creates: false leaves it an error (`ENOENT`) when the file does not exist.
    public init?(trying path: RawPath, shared: Bool = false, creates: Bool = true) throws(SystemError) {
        let fd = try open(path, creates ? [.readWrite, .create] : .readWrite, mode: 0o600)
        guard flock(fd.raw, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0 else {
            if errno == EWOULDBLOCK { return nil }
            throw .last("flock", path.description)
        }
        self.fd = fd.shared()
    }

    /// Blocks until the lock is had; nil when the file does not exist.
    public init?(ifPresent path: RawPath) throws(SystemError) {
        let fd: OwnedFD
        do throws(SystemError) {
            fd = try open(path, .readWrite)
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
        while flock(fd.raw, LOCK_EX) != 0 {
            guard errno == EINTR else { throw .last("flock", path.description) }
        }
        self.fd = fd.shared()
    }

    // Not by closing alone: a process that is started just now has a copy of the descriptor for a moment.
    deinit { flock(fd.raw, LOCK_UN) }

    /// Which file is locked: another one may have taken its name since.
    public var inode: UInt64? { try? status(of: fd.raw).inode }
}

/// Locks an open file for as long as it is open, without waiting; false when somebody else has it, or files cannot be locked.
public func lockFile(_ fd: CInt) -> Bool { flock(fd, LOCK_EX | LOCK_NB) == 0 }

/// Inodes of the files that somebody has locked with flock, without touching the locks. Processes that this one cannot
/// see may be missing.
public func lockedInodes() throws(SystemError) -> Set<UInt64> {
    // "1: FLOCK  ADVISORY  WRITE 708 00:19:22 0 EOF"; the waiting ones have an arrow. proc_locks(5).
    let text = String(decoding: try readFile("/proc/locks", limit: 16 << 20), as: UTF8.self)
    var inodes: Set<UInt64> = []
    for line in text.split(separator: "\n") {
        let words = line.split(separator: " ")
        guard words.count >= 6, words[1] == "FLOCK", let inode = words[5].split(separator: ":").last else { continue }
        if let inode = UInt64(inode) { inodes.insert(inode) }
    }
    return inodes
}
