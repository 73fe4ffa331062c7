// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// One 512-byte header block, decoded but not interpreted.
struct TarHeader {
    static let blockSize = 512

    enum Format { case v7, ustar, gnu, star }

    var format: Format
    var typeflag: UInt8
    var name: [UInt8]
    var linkName: [UInt8]
    var mode: Int64
    var uid: Int64
    var gid: Int64
    var size: Int64
    var mtime: Int64
    var userName: [UInt8] = []
    var groupName: [UInt8] = []
    var deviceMajor: Int64 = 0
    var deviceMinor: Int64 = 0
    /// Of an old GNU sparse header.
    var sparse: SparseMap?
    var sparseContinues = false

    /// Decodes a block that is not all zeros.
    init(_ block: UnsafeRawBufferPointer) throws(ArchiveError) {
        try Self.verifyChecksum(block)
        format = Self.format(of: block)
        typeflag = block[156]
        name = Self.text(block[0..<100])
        linkName = Self.text(block[157..<257])
        mode = try TarNumber.parse(block[100..<108])
        uid = try TarNumber.parse(block[108..<116])
        gid = try TarNumber.parse(block[116..<124])
        size = try TarNumber.parse(block[124..<136])
        mtime = try TarNumber.parse(block[136..<148])
        guard format != .v7 else { return }
        userName = Self.text(block[265..<297])
        groupName = Self.text(block[297..<329])
        if typeflag == UInt8(ascii: "3") || typeflag == UInt8(ascii: "4") {
            deviceMajor = try TarNumber.parse(block[329..<337])
            deviceMinor = try TarNumber.parse(block[337..<345])
        }
        switch format {
        case .ustar: prepend(Self.text(block[345..<500]))
        case .star: prepend(Self.text(block[345..<476]))
        case .gnu where typeflag == UInt8(ascii: "S"):
            var map = SparseMap()
            map.realSize = try TarNumber.parse(block[483..<495])
            _ = try Self.appendRegions(block[386..<482], to: &map)
            sparse = map
            sparseContinues = block[482] != 0
        case .gnu, .v7: break
        }
    }

    private mutating func prepend(_ prefix: [UInt8]) {
        if !prefix.isEmpty { name = prefix + [slash] + name }
    }

    private static func format(of block: UnsafeRawBufferPointer) -> Format {
        guard block[257..<262].elementsEqual("ustar".utf8) else { return .v7 }
        if block[262] == 0x20, block[263] == 0x20 { return .gnu }
        guard block[262] == 0 else { return .v7 }
        return block[508..<512].elementsEqual([0x74, 0x61, 0x72, 0]) ? .star : .ustar
    }

    /// The field up to its first NUL.
    private static func text(_ field: Slice<UnsafeRawBufferPointer>) -> [UInt8] {
        Array(field.prefix { $0 != 0 })
    }

    /// The sum of all bytes with the checksum field as spaces; some old writers summed signed bytes.
    private static func verifyChecksum(_ block: UnsafeRawBufferPointer) throws(ArchiveError) {
        let stored = try TarNumber.parse(block[148..<156])
        let (unsigned, signed) = checksums(block)
        guard stored == unsigned || stored == signed else {
            throw ArchiveError(.checksum, "not a tar header: its checksum does not match")
        }
    }

    static func checksums(_ block: UnsafeRawBufferPointer) -> (unsigned: Int64, signed: Int64) {
        var unsigned = 0
        var high = 0
        for index in 0..<blockSize {
            let byte = Int(block[index])
            unsigned &+= byte
            high &+= byte >> 7
        }
        for index in 148..<156 {
            unsigned &-= Int(block[index])
            high &-= Int(block[index]) >> 7
        }
        unsigned += 8 * 0x20
        return (Int64(unsigned), Int64(unsigned - 256 * high))
    }

    /// Reads old GNU sparse pairs; false when an empty pair ended them.
    private static func appendRegions(
        _ field: Slice<UnsafeRawBufferPointer>,
        to map: inout SparseMap
    ) throws(ArchiveError) -> Bool {
        var start = field.startIndex
        while start + 24 <= field.endIndex {
            let pair = UnsafeRawBufferPointer(rebasing: field)[
                (start - field.startIndex)..<(start - field.startIndex + 24)
            ]
            if pair.first == 0 { return false }
            let middle = pair.startIndex + 12
            let offset = try TarNumber.parse(pair[pair.startIndex..<middle])
            let length = try TarNumber.parse(pair[middle..<pair.endIndex])
            try map.append(offset: offset, length: length)
            start += 24
        }
        return true
    }

    /// Adds an extension block of an old GNU sparse header; returns whether another follows.
    static func parseSparseExtension(
        _ block: UnsafeRawBufferPointer,
        into map: inout SparseMap
    ) throws(ArchiveError) -> Bool {
        _ = try appendRegions(block[0..<504], to: &map)
        return block[504] != 0
    }
}
