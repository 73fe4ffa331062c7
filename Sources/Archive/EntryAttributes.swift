// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// An entry's attributes while header, long names and PAX records are laid over each other.
struct EntryAttributes {
    var path: [UInt8]
    var linkTarget: [UInt8]
    var header: TarHeader
    var size: Int64
    var uid: Int64
    var gid: Int64
    var mtime: FileTime
    var userName: [UInt8]
    var groupName: [UInt8]
    var deviceMajor: Int64
    var deviceMinor: Int64
    private var xattrs: [ExtendedAttribute] = []
    private var encodedXattrs: [ExtendedAttribute] = []

    // GNU.sparse.*
    private var sparseName: [UInt8]?
    private var sparseMap: SparseMap?
    private var sparseSize: Int64?
    private var sparseMajor: Int64 = 0
    private var sparseMinor: Int64 = 0
    private var sparseOffset: Int64?

    init(_ header: TarHeader) {
        self.header = header
        path = header.name
        linkTarget = header.linkName
        size = header.size
        uid = header.uid
        gid = header.gid
        mtime = FileTime(seconds: header.mtime)
        userName = header.userName
        groupName = header.groupName
        deviceMajor = header.deviceMajor
        deviceMinor = header.deviceMinor
    }

    /// Whether the data begins with a PAX 1.0 sparse map.
    var sparseLines: Bool { sparseMajor == 1 && sparseMinor == 0 && sparseSize != nil }

    mutating func apply(_ records: PaxRecords, global: Bool) throws(ArchiveError) {
        for record in records.records {
            let key = String(decoding: record.key, as: UTF8.self)
            // An empty value takes back what a global header said: the ustar header decides again.
            if record.value.isEmpty, !key.hasPrefix(Self.schilyXattr) { continue }
            if global, Self.perFile.contains(key) || key.hasPrefix("GNU.sparse.") { continue }
            do {
                try apply(key, record.value)
            } catch {
                throw ArchiveError(error.code, "\"\(RawPath(bytes: path))\": \(error.message)")
            }
        }
    }

    private static let perFile: Set<String> = ["path", "linkpath", "size"]
    private static let schilyXattr = "SCHILY.xattr."
    private static let libarchiveXattr = "LIBARCHIVE.xattr."

    private mutating func apply(_ key: String, _ value: [UInt8]) throws(ArchiveError) {
        switch key {
        case "path": path = try Self.text(key, value)
        case "linkpath": linkTarget = try Self.text(key, value)
        case "size": size = try Self.number(key, value)
        case "uid": uid = try Self.number(key, value)
        case "gid": gid = try Self.number(key, value)
        case "uname": userName = try Self.text(key, value)
        case "gname": groupName = try Self.text(key, value)
        case "SCHILY.devmajor": deviceMajor = try Self.number(key, value)
        case "SCHILY.devminor": deviceMinor = try Self.number(key, value)
        case "mtime":
            guard let time = TarNumber.parseTime(value) else { throw Self.malformed(key) }
            mtime = time
        default:
            if key.hasPrefix(Self.schilyXattr) {
                let name = Self.decodeGNU(key.dropFirst(Self.schilyXattr.count))
                xattrs.append(ExtendedAttribute(name: name, value: value))
            } else if key.hasPrefix(Self.libarchiveXattr) {
                try applyLibarchive(key, value)
            } else if key.hasPrefix("GNU.sparse.") {
                try applySparse(key, value)
            }
        }
    }

    private mutating func applyLibarchive(_ key: String, _ value: [UInt8]) throws(ArchiveError) {
        guard let name = TextEncoding.percentDecoded(key.dropFirst(Self.libarchiveXattr.count)),
            let bytes = TextEncoding.base64Decoded(value)
        else { throw Self.malformed(key) }
        encodedXattrs.append(ExtendedAttribute(name: name, value: bytes))
    }

    private mutating func applySparse(_ key: String, _ value: [UInt8]) throws(ArchiveError) {
        switch key {
        case "GNU.sparse.name": sparseName = try Self.text(key, value)
        case "GNU.sparse.major": sparseMajor = try Self.number(key, value)
        case "GNU.sparse.minor": sparseMinor = try Self.number(key, value)
        case "GNU.sparse.size", "GNU.sparse.realsize": sparseSize = try Self.number(key, value)
        case "GNU.sparse.map":
            var map = SparseMap()
            try map.parseList(value)
            sparseMap = map
        case "GNU.sparse.offset": sparseOffset = try Self.number(key, value)
        case "GNU.sparse.numbytes":
            guard let offset = sparseOffset else { throw Self.malformed(key) }
            if sparseMap == nil { sparseMap = SparseMap() }
            try sparseMap?.append(offset: offset, length: Self.number(key, value))
            sparseOffset = nil
        default: break
        }
    }

    /// Decides what the entry is, and what of `current` its data needs.
    mutating func resolve(into current: inout CurrentEntry) throws(ArchiveError) -> EntryMetadata.Kind {
        let name = RawPath(bytes: path)
        guard size >= 0 else { throw ArchiveError(.malformed, "\"\(name)\" has a negative size") }
        switch header.typeflag {
        case 0, UInt8(ascii: "0"), UInt8(ascii: "7"), UInt8(ascii: "S"):
            return try resolveFile(into: &current)
        case UInt8(ascii: "1"): return .hardLink(target: RawPath(bytes: linkTarget))
        case UInt8(ascii: "2"): return .symlink(target: RawPath(bytes: linkTarget))
        case UInt8(ascii: "3"): return .characterDevice(major: try device(deviceMajor), minor: try device(deviceMinor))
        case UInt8(ascii: "4"): return .blockDevice(major: try device(deviceMajor), minor: try device(deviceMinor))
        case UInt8(ascii: "5"): return .directory
        case UInt8(ascii: "6"): return .fifo
        default:
            let type = String(decoding: [header.typeflag], as: UTF8.self)
            throw ArchiveError(.unsupported, "\"\(name)\" is an entry of the unknown type \"\(type)\"")
        }
    }

    private mutating func resolveFile(into current: inout CurrentEntry) throws(ArchiveError) -> EntryMetadata.Kind {
        current.stored = size
        if let map = header.sparse {
            current.map = map
            current.isSparse = true
        } else if sparseLines || sparseMap != nil {
            current.map = sparseMap ?? SparseMap()
            current.map.realSize = sparseSize ?? size
            current.isSparse = true
        }
        if current.isSparse, let sparseName { path = sparseName }
        // v7 has no directories: a trailing slash tells, and Go's reader takes it so in every format.
        guard path.last != slash else {
            current.discards = true
            current.isSparse = false
            return .directory
        }
        guard current.map.realSize >= 0 else {
            throw ArchiveError(.malformed, "\"\(RawPath(bytes: path))\" has a negative size")
        }
        return .file(size: current.isSparse ? current.map.realSize : size)
    }

    private func device(_ number: Int64) throws(ArchiveError) -> UInt32 {
        guard let value = UInt32(exactly: number) else {
            throw ArchiveError(.malformed, "\"\(RawPath(bytes: path))\" has the impossible device number \(number)")
        }
        return value
    }

    /// The entry, with what Linux cannot represent refused.
    func entry(_ kind: EntryMetadata.Kind) throws(ArchiveError) -> TarEntry {
        let name = RawPath(bytes: path)
        guard path.count <= TarReader.pathLimit, linkTarget.count <= TarReader.pathLimit else {
            throw ArchiveError(.tooLarge, "a name is over \(TarReader.pathLimit) bytes long")
        }
        guard let uid = UInt32(exactly: uid), let gid = UInt32(exactly: gid), uid != .max, gid != .max else {
            throw ArchiveError(.malformed, "\"\(name)\" has an impossible owner \(uid):\(gid)")
        }
        var attributes = xattrs
        for extra in encodedXattrs where !attributes.contains(where: { $0.name == extra.name }) {
            attributes.append(extra)
        }
        let metadata = EntryMetadata(
            kind,
            mode: UInt32(truncatingIfNeeded: header.mode & 0o7777),
            uid: uid,
            gid: gid,
            mtime: mtime,
            xattrs: attributes
        )
        return TarEntry(
            path: name,
            metadata: metadata,
            userName: RawPath(bytes: userName),
            groupName: RawPath(bytes: groupName)
        )
    }

    // MARK: - Values

    private static func malformed(_ key: String) -> ArchiveError {
        ArchiveError(.malformed, "the extended header's \(key) is malformed")
    }

    private static func number(_ key: String, _ value: [UInt8]) throws(ArchiveError) -> Int64 {
        guard let number = TarNumber.parseDecimal(value), number >= 0 || key == "uid" || key == "gid" else {
            throw malformed(key)
        }
        return number
    }

    private static func text(_ key: String, _ value: [UInt8]) throws(ArchiveError) -> [UInt8] {
        guard !value.contains(0) else { throw malformed(key) }
        return value
    }

    /// GNU tar writes `=` and `%` of an attribute's name as `%3D` and `%25`.
    private static func decodeGNU(_ name: some StringProtocol) -> String {
        guard name.utf8.contains(UInt8(ascii: "%")) else { return String(name) }
        return TextEncoding.percentDecoded(name, only: [0x3d, 0x25]) ?? String(name)
    }
}
