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
public func connectUnixSocket(_ path: RawPath) throws(SystemError) -> OwnedFD {
    // A handle has a short name, however long the path is.
    let handle = try open(path, .pathOnly)
    let fd = try unixSocket()
    var address = try unixAddress(RawPath("/proc/self/fd/\(handle.raw)"))
    let connected = withUnixAddress(&address) { connect(fd.raw, $0, $1) }
    guard connected == 0 else { throw .last("connect", path.description) }
    return fd
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
