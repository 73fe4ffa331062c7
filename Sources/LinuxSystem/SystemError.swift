// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc

/// A system call that failed: which one, on what, and the error number.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    public let errno: Int32
    /// The call, like `openat`.
    public let operation: String
    /// What it was called on, when there is a path.
    public let path: String?

    public init(errno: Int32, operation: String, path: String? = nil) {
        self.errno = errno
        self.operation = operation
        self.path = path
    }

    /// The calling thread's current `errno`; call it right after the failure.
    static func last(_ operation: String, _ path: @autoclosure () -> String? = nil) -> SystemError {
        let number = Glibc.errno
        return SystemError(errno: number, operation: operation, path: path())
    }

    /// The kernel's text, like "No such file or directory".
    public var reason: String { String(cString: strerror(errno)) }

    public var description: String {
        path.map { "\(operation) \($0): \(reason)" } ?? "\(operation): \(reason)"
    }

    /// Whether the disk, or the caller's share of it, is full.
    public var isDiskFull: Bool { errno == ENOSPC || errno == EDQUOT }
    public var isNotFound: Bool { errno == ENOENT || errno == ENOTDIR }
}
