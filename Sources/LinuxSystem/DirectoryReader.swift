// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux
import Glibc

/// One name of a directory, in the order the kernel returns them.
public struct DirectoryEntry: Hashable, Sendable {
    public let name: RawPath
    public let inode: UInt64
    /// Nil when the file system does not tell; ask `status(at:)` then.
    public let kind: FileKind?
}

/// All names of an open directory except `.` and `..`; the directory is read from its start.
public func readDirectory(_ fd: CInt) throws(SystemError) -> [DirectoryEntry] {
    guard lseek(fd, 0, SEEK_SET) >= 0 else { throw .last("lseek") }
    var entries = [DirectoryEntry]()
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 8)
    defer { buffer.deallocate() }
    while true {
        let count = galley_getdents(fd, buffer.baseAddress, buffer.count)
        guard count >= 0 else { throw .last("getdents") }
        if count == 0 { return entries }
        // struct linux_dirent64: u64 inode, s64 offset, u16 length, u8 type, name with NUL. getdents64(2).
        var offset = 0
        while offset < count {
            let inode = buffer.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            let length = Int(buffer.loadUnaligned(fromByteOffset: offset + 16, as: UInt16.self))
            let type = buffer[offset + 18]
            let name = buffer[(offset + 19)..<(offset + length)].prefix { $0 != 0 }
            offset += length
            if name.elementsEqual([0x2e]) || name.elementsEqual([0x2e, 0x2e]) { continue }
            entries.append(DirectoryEntry(name: RawPath(bytes: name), inode: inode, kind: kind(type)))
        }
    }
}

private func kind(_ type: UInt8) -> FileKind? {
    switch Int(type) {
    case DT_REG: .regular
    case DT_DIR: .directory
    case DT_LNK: .symlink
    case DT_CHR: .characterDevice
    case DT_BLK: .blockDevice
    case DT_FIFO: .fifo
    case DT_SOCK: .socket
    default: nil
    }
}
