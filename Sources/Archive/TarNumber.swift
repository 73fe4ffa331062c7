// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// The numbers of tar headers and PAX records.
enum TarNumber {
    /// A header field: octal text, or base 256 when the first bit is set (GNU tar, star).
    static func parse(_ field: Slice<UnsafeRawBufferPointer>) throws(ArchiveError) -> Int64 {
        guard let first = field.first else { return 0 }
        if first & 0x80 != 0 { return try parseBinary(field) }
        return try parseOctal(field)
    }

    private static func parseOctal(_ field: Slice<UnsafeRawBufferPointer>) throws(ArchiveError) -> Int64 {
        func isPadding(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0 }
        guard let start = field.firstIndex(where: { !isPadding($0) }) else { return 0 }
        var value: Int64 = 0
        var index = start
        while index < field.endIndex, !isPadding(field[index]) {
            let digit = field[index]
            guard (0x30...0x37).contains(digit) else {
                throw ArchiveError(.malformed, "a numeric header field is not octal")
            }
            // Twelve octal digits are 36 bits: no overflow.
            value = value << 3 | Int64(digit & 7)
            index += 1
        }
        guard field[index...].allSatisfy(isPadding) else {
            throw ArchiveError(.malformed, "a numeric header field has text after its number")
        }
        return value
    }

    /// Two's complement, big endian, with the first bit taken as the marker.
    private static func parseBinary(_ field: Slice<UnsafeRawBufferPointer>) throws(ArchiveError) -> Int64 {
        let negative = field[field.startIndex] & 0x40 != 0
        let invert: UInt8 = negative ? 0xff : 0
        var value: UInt64 = 0
        for (position, raw) in field.enumerated() {
            var byte = raw ^ invert
            if position == 0 { byte &= 0x7f }
            guard value >> 56 == 0 else { throw ArchiveError(.tooLarge, "a binary header field is over 63 bits") }
            value = value << 8 | UInt64(byte)
        }
        guard value >> 63 == 0 else { throw ArchiveError(.tooLarge, "a binary header field is over 63 bits") }
        return negative ? ~Int64(value) : Int64(value)
    }

    /// A PAX integer: decimal digits with an optional sign.
    static func parseDecimal(_ text: some Collection<UInt8>) -> Int64? {
        var digits = text[...]
        let negative = digits.first == UInt8(ascii: "-")
        if negative { digits = digits.dropFirst() }
        guard !digits.isEmpty else { return nil }
        var value: Int64 = 0
        for digit in digits {
            guard (0x30...0x39).contains(digit) else { return nil }
            let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = scaled.addingReportingOverflow(Int64(digit & 15))
            guard !overflow, !carry else { return nil }
            value = sum
        }
        return negative ? -value : value
    }

    /// A PAX time: decimal seconds with an optional fraction, of which nanoseconds are kept.
    static func parseTime(_ text: some Collection<UInt8>) -> FileTime? {
        let parts = Array(text).split(separator: dot, maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, let seconds = parseDecimal(whole) else { return nil }
        var nanoseconds: UInt32 = 0
        if parts.count == 2 {
            guard parts[1].allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            for position in 0..<9 {
                let digit = position < parts[1].count ? parts[1][parts[1].startIndex + position] & 15 : 0
                nanoseconds = nanoseconds * 10 + UInt32(digit)
            }
        }
        guard whole.first == UInt8(ascii: "-"), nanoseconds > 0 else {
            return FileTime(seconds: seconds, nanoseconds: nanoseconds)
        }
        guard seconds > Int64.min else { return nil }
        return FileTime(seconds: seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds)
    }

    /// The inverse of `parseTime`, without trailing zeros.
    static func formatTime(_ time: FileTime) -> [UInt8] {
        guard time.nanoseconds > 0 else { return Array(String(time.seconds).utf8) }
        var seconds = time.seconds
        var nanoseconds = time.nanoseconds
        var text = ""
        if seconds < 0 {
            seconds += 1
            nanoseconds = 1_000_000_000 - nanoseconds
            text = seconds == 0 ? "-" : ""
        }
        let digits = String(nanoseconds)
        var fraction = Array((String(repeating: "0", count: 9 - digits.utf8.count) + digits).utf8)
        while fraction.last == 0x30 { fraction.removeLast() }
        return Array((text + String(seconds) + ".").utf8) + fraction
    }
}
