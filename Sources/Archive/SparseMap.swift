// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Where the stored bytes of a sparse file belong.
struct SparseMap {
    struct Region: Equatable {
        var offset: Int64
        var length: Int64
    }

    private(set) var regions: [Region] = []
    var realSize: Int64 = 0

    /// Most regions that a map may have.
    static let limit = 1 << 19

    mutating func append(offset: Int64, length: Int64) throws(ArchiveError) {
        guard regions.count < Self.limit else {
            throw ArchiveError(.tooLarge, "a sparse map has over \(Self.limit) regions")
        }
        regions.append(Region(offset: offset, length: length))
    }

    /// Checks that regions ascend without overlap, end within the file, and hold exactly `stored` bytes.
    func validate(stored: Int64) throws(ArchiveError) {
        var end: Int64 = 0
        var total: Int64 = 0
        for region in regions {
            let (next, overflow) = region.offset.addingReportingOverflow(region.length)
            guard region.offset >= end, region.length >= 0, !overflow, next <= realSize else {
                throw ArchiveError(.malformed, "a sparse map is out of order or outside its file")
            }
            end = next
            total += region.length
        }
        guard total == stored else {
            throw ArchiveError(.malformed, "a sparse map describes \(total) bytes where \(stored) are stored")
        }
    }

    /// PAX sparse 0.1: `offset,length,offset,length...`.
    mutating func parseList(_ text: [UInt8]) throws(ArchiveError) {
        guard !text.isEmpty else { return }
        let numbers = text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        guard numbers.count % 2 == 0 else { throw ArchiveError(.malformed, "a sparse map has an odd number of fields") }
        for index in stride(from: 0, to: numbers.count, by: 2) {
            guard let offset = TarNumber.parseDecimal(numbers[index]),
                let length = TarNumber.parseDecimal(numbers[index + 1])
            else { throw ArchiveError(.malformed, "a sparse map has a field that is not a number") }
            try append(offset: offset, length: length)
        }
    }
}

/// PAX sparse 1.0: the map is decimal lines at the start of the data, padded to a block.
struct SparseLineParser {
    private var wanted: Int64?
    private var offset: Int64?
    private var number: Int64 = 0
    private var digits = 0

    /// Takes the next block of the map; returns true when the map is complete.
    mutating func feed(_ block: [UInt8], into map: inout SparseMap) throws(ArchiveError) -> Bool {
        for byte in block {
            guard byte != 0x0a else {
                guard digits > 0 else { throw ArchiveError(.malformed, "a sparse map has an empty line") }
                if try line(into: &map) { return true }
                continue
            }
            guard (0x30...0x39).contains(byte), digits < 18 else {
                throw ArchiveError(.malformed, "a sparse map has a line that is not a number")
            }
            number = number * 10 + Int64(byte & 15)
            digits += 1
        }
        return false
    }

    private mutating func line(into map: inout SparseMap) throws(ArchiveError) -> Bool {
        let value = number
        number = 0
        digits = 0
        guard let left = wanted else {
            guard value <= SparseMap.limit else {
                throw ArchiveError(.tooLarge, "a sparse map has over \(SparseMap.limit) regions")
            }
            wanted = value
            return value == 0
        }
        guard let start = offset else {
            offset = value
            return false
        }
        try map.append(offset: start, length: value)
        offset = nil
        wanted = left - 1
        return left == 1
    }
}
