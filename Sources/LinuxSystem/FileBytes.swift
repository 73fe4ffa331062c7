// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux
import Glibc

/// Reads up to `buffer.count` bytes; 0 means the end.
public func readBytes(_ fd: CInt, into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
    while true {
        let count = read(fd, buffer.baseAddress, buffer.count)
        if count >= 0 { return count }
        if errno != EINTR { throw .last("read") }
    }
}

/// Writes all of `bytes`.
public func writeBytes(_ fd: CInt, _ bytes: UnsafeRawBufferPointer) throws(SystemError) {
    var offset = 0
    while offset < bytes.count {
        let count = write(fd, bytes.baseAddress?.advanced(by: offset), bytes.count - offset)
        if count >= 0 {
            offset += count
        } else if errno != EINTR {
            throw .last("write")
        }
    }
}

public func writeBytes(_ fd: CInt, _ bytes: some Collection<UInt8>) throws(SystemError) {
    let array = Array(bytes)
    var failure: SystemError?
    array.withUnsafeBytes { raw in
        do throws(SystemError) { try writeBytes(fd, raw) } catch { failure = error }
    }
    if let failure { throw failure }
}

/// The whole file, at most `limit` bytes; a longer one is an error (`EFBIG`).
public func readFile(
    at directory: CInt = workingDirectory,
    _ path: RawPath,
    limit: Int = 64 << 20
) throws(SystemError) -> [UInt8] {
    let fd = try open(at: directory, path, .readOnly)
    return try readAll(fd.raw, limit: limit, path: path.description)
}

public func readAll(_ fd: CInt, limit: Int = 64 << 20, path: String? = nil) throws(SystemError) -> [UInt8] {
    var bytes = [UInt8]()
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    defer { buffer.deallocate() }
    while true {
        let count = try readBytes(fd, into: buffer)
        if count == 0 { return bytes }
        bytes += buffer[..<count]
        if bytes.count > limit { throw SystemError(errno: EFBIG, operation: "read", path: path) }
    }
}

/// Writes a file beside `path` and renames it over: readers see the old or the new bytes, never a part.
public func replaceFile(
    at directory: CInt = workingDirectory,
    _ path: RawPath,
    _ bytes: some Collection<UInt8>,
    mode: UInt32 = 0o644
) throws(SystemError) {
    let temporary = RawPath(bytes: path.bytes + Array(".tmp-\(getpid())-\(UInt32.random(in: 0 ... .max))".utf8))
    do throws(SystemError) {
        let fd = try open(at: directory, temporary, [.writeOnly, .create, .exclusive], mode: mode)
        try writeBytes(fd.raw, bytes)
        try renameFile(at: directory, temporary, to: directory, path)
    } catch {
        try? removeFile(at: directory, temporary)
        throw error
    }
}

/// Hands over all bytes of the file from where it is read next.
public func readPieces(_ fd: CInt, _ take: (UnsafeRawBufferPointer) throws -> Void) throws {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    defer { buffer.deallocate() }
    while true {
        let count = try readBytes(fd, into: buffer)
        if count == 0 { return }
        try take(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
}
