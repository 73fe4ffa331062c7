// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc

/// A listening socket at `name` in an open directory. The directory's own path may be as long as it likes.
public func listenUnixSocket(at directory: CInt, _ name: RawPath) throws(SystemError) -> OwnedFD {
    let fd = try unixSocket()
    var address = try unixAddress(RawPath("/proc/self/fd/\(directory)").appending(name))
    let bound = withUnixAddress(&address) { bind(fd.raw, $0, $1) }
    guard bound == 0 else { throw .last("bind", name.description) }
    guard listen(fd.raw, 64) == 0 else { throw .last("listen", name.description) }
    return fd
}

/// Connects to the socket at `path`.
///
/// - Parameter goesOn: asked now and then while too many others wait to be accepted.
/// - Throws: `ETIMEDOUT` when there was no place within the time, or `goesOn` ended the waiting.
public func connectUnixSocket(
    _ path: RawPath,
    timeout: Duration = .seconds(10),
    while goesOn: () -> Bool = { true }
) throws(SystemError) -> OwnedFD {
    // A handle has a short name, however long the path is.
    let handle = try open(path, .pathOnly)
    let fd = try unixSocket()
    var address = try unixAddress(RawPath("/proc/self/fd/\(handle.raw)"))
    let deadline = ContinuousClock.now + timeout
    try setNonBlocking(fd.raw, true)
    while withUnixAddress(&address, { connect(fd.raw, $0, $1) }) != 0 {
        // A full queue can only be tried again: such a socket has nothing to poll for.
        guard errno == EAGAIN || errno == EINTR else { throw .last("connect", path.description) }
        guard goesOn(), ContinuousClock.now < deadline else {
            throw SystemError(errno: ETIMEDOUT, operation: "connect", path: path.description)
        }
        _ = poll(nil, 0, 20)
    }
    try setNonBlocking(fd.raw, false)
    return fd
}

/// Waits up to `milliseconds`, less when the listening socket is shut down meanwhile.
public func waitForShutDown(_ listener: CInt, milliseconds: CInt) {
    var request = pollfd(fd: listener, events: 0, revents: 0)
    _ = poll(&request, 1, milliseconds)
}

private func setNonBlocking(_ fd: CInt, _ isNonBlocking: Bool) throws(SystemError) {
    let flags = fcntl(fd, F_GETFL)
    let changed = isNonBlocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK
    guard flags >= 0, fcntl(fd, F_SETFL, changed) == 0 else { throw .last("fcntl") }
}

/// Waits for the next connection.
///
/// - Throws: `EINVAL` after the listening socket was shut down.
public func acceptUnixSocket(_ listener: CInt) throws(SystemError) -> OwnedFD {
    while true {
        let fd = accept(listener, nil, nil)
        if fd >= 0 {
            _ = fcntl(fd, F_SETFD, FD_CLOEXEC)
            return OwnedFD(owning: fd)
        }
        guard errno == EINTR || errno == ECONNABORTED else { throw .last("accept") }
    }
}

/// Ends all waiting on the socket, in both directions, on every thread.
public func shutDownSocket(_ fd: CInt) { _ = shutdown(fd, CInt(SHUT_RDWR)) }

/// Tells the peer that nothing more comes.
public func shutDownSocketWriting(_ fd: CInt) { _ = shutdown(fd, CInt(SHUT_WR)) }

private func unixSocket() throws(SystemError) -> OwnedFD {
    let fd = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard fd >= 0 else { throw .last("socket") }
    return OwnedFD(owning: fd)
}

private func unixAddress(_ path: RawPath) throws(SystemError) -> sockaddr_un {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let capacity = MemoryLayout.size(ofValue: address.sun_path)
    guard path.bytes.count < capacity else {
        throw SystemError(errno: ENAMETOOLONG, operation: "socket", path: path.description)
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.bytes) }
    return address
}

private func withUnixAddress(
    _ address: inout sockaddr_un,
    _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
) -> CInt {
    withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
}
