// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem

/// The time of the newest regular file of a tar archive, compressed or not; nil for what is no archive, or has none.
func newestFile(inArchive file: CInt, _ cancellation: CancellationFlag) throws -> Int64? {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    defer { buffer.deallocate() }
    var count = try readBytes(file, into: buffer)
    guard let compression = Compression.detect(UnsafeRawBufferPointer(rebasing: buffer[..<count])) else { return nil }
    let newest = NewestFile()
    let decompressor = try Decompressor(compression) { try newest.read($0) }
    while count > 0 {
        try cancellation.check()
        try decompressor.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        count = try readBytes(file, into: buffer)
    }
    try decompressor.finish()
    return newest.time
}

private final class NewestFile {
    private struct Visitor: TarVisitor {
        var time: Int64?

        mutating func visitEntry(_ entry: TarEntry) {
            guard case .file = entry.metadata.kind else { return }
            time = max(time ?? .min, entry.metadata.mtime.seconds)
        }
        func visitData(_ bytes: UnsafeRawBufferPointer) {}
        func visitHole(_ count: Int64) {}
        func visitEnd() {}
    }

    private var reader = TarReader()
    private var visitor = Visitor()

    var time: Int64? { visitor.time }

    func read(_ bytes: UnsafeRawBufferPointer) throws { try reader.push(bytes, to: &visitor) }
}
