// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem

/// Writes a new file front to back, leaving holes where the data is zero for long.
struct SparseFileWriter {
    private let fd: CInt
    private var position: Int64 = 0
    /// Whether the file ends in a hole that nothing has written yet.
    private var endsInHole = false
    private(set) var bytesWritten: Int64 = 0

    /// Zeros are looked for in aligned pages; shorter runs than this are cheaper to write.
    private static let page = 4096
    private static let minimumHole = 16 * page

    init(_ fd: CInt) { self.fd = fd }

    mutating func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        guard bytes.count >= Self.minimumHole else { return try writeData(bytes) }
        var dataStart = 0
        var index = Int((Int64(Self.page) - position % Int64(Self.page)) % Int64(Self.page))
        while index + Self.page <= bytes.count {
            let zeros = Self.zeroPages(bytes, from: index)
            if zeros >= Self.minimumHole {
                try writeData(UnsafeRawBufferPointer(rebasing: bytes[dataStart..<index]))
                try hole(Int64(zeros))
                dataStart = index + zeros
            }
            index += max(zeros, Self.page)
        }
        try writeData(UnsafeRawBufferPointer(rebasing: bytes[dataStart...]))
    }

    mutating func hole(_ count: Int64) throws(SystemError) {
        guard count > 0 else { return }
        position += count
        guard lseek(fd, off_t(position), SEEK_SET) == off_t(position) else {
            throw SystemError(errno: errno, operation: "lseek")
        }
        endsInHole = true
    }

    mutating func finish() throws(SystemError) {
        guard endsInHole else { return }
        guard ftruncate(fd, off_t(position)) == 0 else { throw SystemError(errno: errno, operation: "ftruncate") }
    }

    private mutating func writeData(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        guard !bytes.isEmpty else { return }
        try writeBytes(fd, bytes)
        position += Int64(bytes.count)
        bytesWritten += Int64(bytes.count)
        endsInHole = false
    }

    /// Bytes of zero pages from `start` on.
    private static func zeroPages(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        var end = start
        while end + page <= bytes.count, isZero(base + end) { end += page }
        return end - start
    }

    private static func isZero(_ page: UnsafeRawPointer) -> Bool {
        // Most pages of real data differ in their first word.
        guard page.loadUnaligned(as: UInt64.self) == 0 else { return false }
        return memcmp(page, page + 8, self.page - 8) == 0
    }
}
