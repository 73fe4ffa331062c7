// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux
import Glibc

/// A file descriptor that is closed when it goes out of scope.
public struct OwnedFD: ~Copyable, Sendable {
    public let raw: CInt

    public init(owning raw: CInt) { self.raw = raw }

    deinit { if raw >= 0 { close(raw) } }

    /// The number, which the caller must now close.
    public consuming func release() -> CInt {
        let number = raw
        discard self
        return number
    }

    public consuming func shared() -> SharedFD { SharedFD(self) }

    /// A second descriptor of the same open file, close-on-exec.
    public func duplicate() throws(SystemError) -> OwnedFD {
        let copy = fcntl(raw, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw .last("dup") }
        return OwnedFD(owning: copy)
    }
}

/// A descriptor with several owners, closed when the last is gone.
public final class SharedFD: Sendable {
    public let raw: CInt
    private let closing: @Sendable (consuming OwnedFD) -> Void

    /// - Parameter closing: gets the descriptor when the last owner is gone.
    public init(
        _ owned: consuming OwnedFD,
        closing: @escaping @Sendable (consuming OwnedFD) -> Void = { _ = consume $0 }
    ) {
        raw = owned.release()
        self.closing = closing
    }

    deinit { closing(OwnedFD(owning: raw)) }
}

/// A pipe, both ends close-on-exec.
public func makePipe() throws(SystemError) -> (read: SharedFD, write: SharedFD) {
    var ends: [CInt] = [-1, -1]
    guard galley_pipe(&ends) == 0 else { throw .last("pipe") }
    return (OwnedFD(owning: ends[0]).shared(), OwnedFD(owning: ends[1]).shared())
}
