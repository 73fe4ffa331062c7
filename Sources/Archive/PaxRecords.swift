// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// PAX extended header records (POSIX pax, "pax Extended Header").
struct PaxRecords {
    struct Record: Hashable {
        var key: [UInt8]
        var value: [UInt8]
    }

    /// In the order of the archive; a later one of the same key wins, except for the sparse 0.0 pairs.
    var records: [Record] = []

    /// Most bytes that an extended header, or all global ones together, may have; as Go's archive/tar.
    static let limit = 1 << 20

    init() {}

    init(parsing bytes: [UInt8]) throws(ArchiveError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            // GNU tar pads with NULs after the last record in some archives.
            if rest.first == 0, rest.allSatisfy({ $0 == 0 }) { break }
            records.append(try Self.next(&rest))
        }
    }

    /// `"%d %s=%s\n"`, the number counting the whole record.
    private static func next(_ rest: inout ArraySlice<UInt8>) throws(ArchiveError) -> Record {
        let malformed = ArchiveError(.malformed, "an extended header has a malformed record")
        guard let space = rest.prefix(12).firstIndex(of: 0x20),
            let length = TarNumber.parseDecimal(rest[rest.startIndex..<space]),
            length > 0, length <= rest.count
        else { throw malformed }
        let end = rest.startIndex + Int(length)
        guard space + 1 < end, rest[end - 1] == 0x0a else { throw malformed }
        let body = rest[(space + 1)..<(end - 1)]
        guard let equals = body.firstIndex(of: UInt8(ascii: "=")), equals > body.startIndex else { throw malformed }
        rest = rest[end...]
        return Record(key: Array(body[..<equals]), value: Array(body[(equals + 1)...]))
    }

    /// Takes over the records of a later global header: same keys are replaced, empty values delete (POSIX).
    mutating func merge(_ later: PaxRecords) throws(ArchiveError) {
        for record in later.records {
            records.removeAll { $0.key == record.key }
            if !record.value.isEmpty { records.append(record) }
        }
        let size = records.reduce(0) { $0 + $1.key.count + $1.value.count }
        guard size <= Self.limit else { throw ArchiveError(.tooLarge, "global extended headers are over 1 MiB") }
    }

    mutating func append(_ key: String, _ value: [UInt8]) { append(Array(key.utf8), value) }
    mutating func append(_ key: [UInt8], _ value: [UInt8]) { records.append(Record(key: key, value: value)) }

    /// The bytes of an extended header, records sorted by key.
    func encoded() -> [UInt8] {
        var out = [UInt8]()
        for record in records.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            let body = record.key.count + record.value.count + 3
            var length = body + String(body).utf8.count
            if body + String(length).utf8.count != length { length += 1 }
            out += String(length).utf8
            out.append(0x20)
            out += record.key
            out.append(UInt8(ascii: "="))
            out += record.value
            out.append(0x0a)
        }
        return out
    }
}
