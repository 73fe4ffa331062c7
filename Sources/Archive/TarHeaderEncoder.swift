// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// Turns an entry into its header blocks: one ustar header, before it a PAX header for what ustar cannot say.
struct TarHeaderEncoder {
    private let entry: TarEntry
    private var records = PaxRecords()
    private var block = [UInt8](repeating: 0, count: TarHeader.blockSize)

    /// Largest numbers of ustar's octal fields: eight bytes hold seven digits, twelve hold eleven.
    private static let smallLimit: Int64 = 0o7777777
    private static let largeLimit: Int64 = 0o77777777777

    private init(_ entry: TarEntry) { self.entry = entry }

    /// The blocks that announce an entry.
    static func encode(_ entry: TarEntry) throws(ArchiveError) -> [UInt8] {
        var encoder = TarHeaderEncoder(entry)
        return try encoder.encode()
    }

    private mutating func encode() throws(ArchiveError) -> [UInt8] {
        let metadata = entry.metadata
        var path = entry.path.bytes
        if metadata.isDirectory, path.last != slash { path.append(slash) }
        guard !path.isEmpty, path.count <= TarReader.pathLimit, !path.contains(0) else {
            throw ArchiveError(.misuse, "\"\(entry.path)\" cannot be a name in an archive")
        }
        encodePath(path)
        try encodeKind(metadata.kind)
        octal(Int64(metadata.mode), at: 100, width: 8)
        number(Int64(metadata.uid), at: 108, width: 8, key: "uid")
        number(Int64(metadata.gid), at: 116, width: 8, key: "gid")
        encodeTime(metadata.mtime)
        put("ustar\u{0}00", at: 257)
        name(entry.userName, at: 265, key: "uname")
        name(entry.groupName, at: 297, key: "gname")
        for attribute in metadata.xattrs { append(attribute) }
        seal()
        return records.records.isEmpty ? block : paxBlocks(for: path)
    }

    private mutating func encodePath(_ path: [UInt8]) {
        let isASCII = path.allSatisfy { $0 < 0x80 }
        if isASCII, path.count <= 100 { return put(path, at: 0) }
        if isASCII, let split = Self.splitIndex(path) {
            put(Array(path[..<split]), at: 345)
            return put(Array(path[(split + 1)...]), at: 0)
        }
        records.append("path", path)
        // For readers without PAX; cut, since ustar has nothing better.
        put(Array(path.map { $0 < 0x80 ? $0 : UInt8(ascii: "_") }.prefix(100)), at: 0)
    }

    /// Where ustar may split a path: a slash with at most 155 bytes before and 1 to 100 after it.
    private static func splitIndex(_ path: [UInt8]) -> Int? {
        guard path.count <= 256 else { return nil }
        let first = max(path.count - 101, 1)
        let last = min(155, path.count - 2)
        guard first <= last else { return nil }
        return path[first...last].firstIndex(of: slash)
    }

    private mutating func encodeKind(_ kind: EntryMetadata.Kind) throws(ArchiveError) {
        var size: Int64 = 0
        switch kind {
        case .file(let length):
            guard length >= 0 else { throw ArchiveError(.misuse, "\"\(entry.path)\" has a negative size") }
            size = length
            block[156] = UInt8(ascii: "0")
        case .hardLink(let target):
            block[156] = UInt8(ascii: "1")
            try encodeLink(target)
        case .symlink(let target):
            block[156] = UInt8(ascii: "2")
            try encodeLink(target)
        case .characterDevice(let major, let minor):
            block[156] = UInt8(ascii: "3")
            encodeDevice(major, minor)
        case .blockDevice(let major, let minor):
            block[156] = UInt8(ascii: "4")
            encodeDevice(major, minor)
        case .directory: block[156] = UInt8(ascii: "5")
        case .fifo: block[156] = UInt8(ascii: "6")
        }
        number(size, at: 124, width: 12, key: "size")
    }

    private mutating func encodeLink(_ target: RawPath) throws(ArchiveError) {
        guard !target.isEmpty, target.bytes.count <= TarReader.pathLimit, !target.bytes.contains(0) else {
            throw ArchiveError(.misuse, "\"\(target)\" cannot be a link target in an archive")
        }
        if target.bytes.count <= 100, target.bytes.allSatisfy({ $0 < 0x80 }) { return put(target.bytes, at: 157) }
        records.append("linkpath", target.bytes)
        put(Array(target.bytes.map { $0 < 0x80 ? $0 : UInt8(ascii: "_") }.prefix(100)), at: 157)
    }

    private mutating func encodeDevice(_ major: UInt32, _ minor: UInt32) {
        number(Int64(major), at: 329, width: 8, key: "SCHILY.devmajor")
        number(Int64(minor), at: 337, width: 8, key: "SCHILY.devminor")
    }

    private mutating func encodeTime(_ time: FileTime) {
        let fits = (0...Self.largeLimit).contains(time.seconds)
        octal(fits ? time.seconds : 0, at: 136, width: 12)
        if !fits || time.nanoseconds > 0 { records.append("mtime", TarNumber.formatTime(time)) }
    }

    private mutating func append(_ attribute: ExtendedAttribute) {
        var key = Array("SCHILY.xattr.".utf8)
        for byte in attribute.name.utf8 {
            switch byte {
            case UInt8(ascii: "="): key += "%3D".utf8
            case UInt8(ascii: "%"): key += "%25".utf8
            default: key.append(byte)
            }
        }
        records.append(key, attribute.value)
    }

    /// The PAX header's blocks, and those of the entry's own header; its name is what readers without PAX would create.
    private func paxBlocks(for path: [UInt8]) -> [UInt8] {
        let body = records.encoded()
        var header = TarHeaderEncoder(entry)
        var name = path[...]
        while name.last == slash { name.removeLast() }
        let base = name[(name.lastIndex(of: slash).map { $0 + 1 } ?? 0)...]
        header.put("PaxHeaders/", at: 0)
        for (index, byte) in base.prefix(80).enumerated() {
            header.block[11 + index] = byte < 0x80 ? byte : UInt8(ascii: "_")
        }
        header.octal(0o644, at: 100, width: 8)
        header.octal(0, at: 108, width: 8)
        header.octal(0, at: 116, width: 8)
        header.octal(Int64(body.count), at: 124, width: 12)
        header.octal(0, at: 136, width: 12)
        header.block[156] = UInt8(ascii: "x")
        header.put("ustar\u{0}00", at: 257)
        header.seal()
        let padding = TarReader.padding(Int64(body.count))
        header.block.reserveCapacity(2 * TarHeader.blockSize + body.count + padding)
        header.block += body
        header.block.append(contentsOf: repeatElement(0, count: padding))
        header.block += block
        return header.block
    }

    // MARK: - Fields

    private mutating func put(_ bytes: [UInt8], at offset: Int) {
        for (index, byte) in bytes.enumerated() { block[offset + index] = byte }
    }

    private mutating func put(_ text: StaticString, at offset: Int) {
        text.withUTF8Buffer { bytes in
            for (index, byte) in bytes.enumerated() { block[offset + index] = byte }
        }
    }

    private mutating func name(_ name: RawPath, at offset: Int, key: String) {
        guard name.bytes.count <= 31, name.bytes.allSatisfy({ $0 < 0x80 && $0 > 0 }) else {
            return records.append(key, name.bytes.filter { $0 > 0 })
        }
        put(name.bytes, at: offset)
    }

    private mutating func number(_ value: Int64, at offset: Int, width: Int, key: String) {
        let fits = value <= (width == 8 ? Self.smallLimit : Self.largeLimit)
        octal(fits ? value : 0, at: offset, width: width)
        if !fits { records.append(key, Array(String(value).utf8)) }
    }

    private mutating func octal(_ value: Int64, at offset: Int, width: Int) {
        var rest = value
        for index in stride(from: offset + width - 2, through: offset, by: -1) {
            block[index] = 0x30 | UInt8(truncatingIfNeeded: rest & 7)
            rest >>= 3
        }
        block[offset + width - 1] = 0
    }

    private mutating func seal() {
        let sum = block.withUnsafeBytes { TarHeader.checksums($0).unsigned }
        octal(sum, at: 148, width: 7)
        block[155] = 0x20
    }
}
