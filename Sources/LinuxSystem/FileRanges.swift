// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux
import Glibc

/// Copies up to `length` bytes between the files' positions inside the kernel, shared where the file system can.
/// Returns 0 at the end of the input.
public func copyRange(from input: CInt, to output: CInt, _ length: Int) throws(SystemError) -> Int {
    while true {
        let count = galley_copy_file_range(input, output, length)
        if count >= 0 { return count }
        switch errno {
        case EINTR: continue
        case EXDEV, EINVAL, EOPNOTSUPP, ENOSYS: return try copyThroughBuffer(from: input, to: output, length)
        default: throw .last("copy_file_range")
        }
    }
}

/// Begins to bring a part of a file to the disk and does not wait for it: what a later sync waits for is less then.
public func writeBehind(_ fd: CInt, _ offset: Int64, _ length: Int64) {
    // Whoever needs it on disk syncs, and hears of errors there.
    _ = galley_write_behind(fd, offset, length)
}

private func copyThroughBuffer(from input: CInt, to output: CInt, _ length: Int) throws(SystemError) -> Int {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: min(length, 1 << 20), alignment: 64)
    defer { buffer.deallocate() }
    let count = try readBytes(input, into: buffer)
    try writeBytes(output, UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    return count
}

/// The parts of a file that are not holes, in order.
public func dataRanges(_ fd: CInt, size: Int64) throws(SystemError) -> [Range<Int64>] {
    // SEEK_DATA and SEEK_HOLE, which the Glibc module leaves out.
    let seekData: CInt = 3
    let seekHole: CInt = 4
    var ranges: [Range<Int64>] = []
    var position: Int64 = 0
    while position < size {
        let start = Int64(lseek(fd, off_t(position), seekData))
        if start < 0 {
            if errno == ENXIO { break }
            if errno == EINVAL { return [0..<size] }
            throw .last("lseek")
        }
        // The file grew since its size was read.
        if start >= size { break }
        let end = Int64(lseek(fd, off_t(start), seekHole))
        guard end >= 0 else { throw .last("lseek") }
        ranges.append(start..<min(max(end, start), size))
        position = end
    }
    return ranges
}

public func seek(_ fd: CInt, to offset: Int64) throws(SystemError) {
    guard lseek(fd, off_t(offset), SEEK_SET) >= 0 else { throw .last("lseek") }
}

public func setSize(_ fd: CInt, _ size: Int64) throws(SystemError) {
    guard ftruncate(fd, off_t(size)) == 0 else { throw .last("ftruncate") }
}

extension SystemError {
    /// The file system or the kernel does not let this attribute be set here.
    public var isAttributeRefusal: Bool { errno == ENOTSUP || errno == EPERM }
}
