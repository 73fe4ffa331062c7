// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import Synchronization

/// Tells a blocking thread that the task it works for was cancelled.
public final class CancellationFlag: Sendable {
    private let flag = Atomic(false)

    public init() {}

    fileprivate func set() { flag.store(true, ordering: .relaxed) }

    /// Throws `CancellationError` once the task was cancelled.
    public func check() throws {
        if flag.load(ordering: .relaxed) { throw CancellationError() }
    }
}

/// Runs `body` on a blocking thread; it should check the flag now and then.
public func cancellableBlocking<R: Sendable>(
    _ body: @escaping @Sendable (CancellationFlag) throws -> R
) async throws -> R {
    let flag = CancellationFlag()
    return try await withTaskCancellationHandler {
        try await blocking { try body(flag) }
    } onCancel: {
        flag.set()
    }
}

/// Blocks until `fd` has bytes or ends, in small portions so that it ends with the task.
public func waitForBytes(_ fd: CInt, _ cancellation: CancellationFlag) throws {
    var request = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
    repeat { try cancellation.check() } while poll(&request, 1, 100) == 0
    try cancellation.check()
}

/// The whole file, at most `limit` bytes; a longer one is an error (`EFBIG`). It may be a pipe, or a fifo that nobody
/// writes to yet.
public func readFile(_ path: RawPath, limit: Int, _ cancellation: CancellationFlag) throws -> [UInt8] {
    // Opening a fifo would wait for its writer, which cannot be interrupted.
    let fd = try open(path, [.readOnly, .nonBlocking])
    var bytes: [UInt8] = []
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    defer { buffer.deallocate() }
    while true {
        try waitForBytes(fd.raw, cancellation)
        do throws(SystemError) {
            let count = try readBytes(fd.raw, into: buffer)
            if count == 0 { return bytes }
            bytes += buffer[..<count]
        } catch {
            if error.errno != EAGAIN { throw error }
        }
        if bytes.count > limit { throw SystemError(errno: EFBIG, operation: "read", path: path.description) }
    }
}
