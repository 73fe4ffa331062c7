// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc

/// An advisory lock on a file (`flock`), released when this value goes away or its process dies.
public struct FileLock: ~Copyable, Sendable {
    private let fd: OwnedFD

    /// Blocks until the lock is had. The file is made when it does not exist.
    public init(_ path: RawPath, shared: Bool = false) throws(SystemError) {
        let fd = try open(path, [.readWrite, .create], mode: 0o600)
        while flock(fd.raw, shared ? LOCK_SH : LOCK_EX) != 0 {
            guard errno == EINTR else { throw .last("flock", path.description) }
        }
        self.fd = fd
    }

    /// Nil when somebody else has it.
    public init?(trying path: RawPath) throws(SystemError) {
        let fd = try open(path, [.readWrite, .create], mode: 0o600)
        guard flock(fd.raw, LOCK_EX | LOCK_NB) == 0 else {
            if errno == EWOULDBLOCK { return nil }
            throw .last("flock", path.description)
        }
        self.fd = fd
    }
}
