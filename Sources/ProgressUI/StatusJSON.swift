// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
import Solver

/// JSON text built piece by piece.
struct JSONText: Sendable {
    private(set) var bytes: [UInt8] = []
    private var needsComma = false

    var count: Int { bytes.count }

    /// An object of what `fill` adds.
    static func object(_ fill: (inout JSONText) -> Void) -> JSONText {
        var text = JSONText()
        text.bytes.append(UInt8(ascii: "{"))
        fill(&text)
        text.bytes.append(UInt8(ascii: "}"))
        return text
    }

    mutating func add(_ key: String, string value: String) {
        begin(key)
        appendQuoted(value)
    }

    mutating func add(_ key: String, number value: Int64) {
        begin(key)
        bytes += String(value).utf8
    }

    mutating func add(_ key: String, true value: Bool) {
        begin(key)
        bytes += (value ? "true" : "false").utf8
    }

    mutating func add(_ key: String, time: EventTime) {
        begin(key)
        bytes.append(UInt8(ascii: "\""))
        bytes += rfc3339(time).utf8
        bytes.append(UInt8(ascii: "\""))
    }

    /// Bytes in base64, as Go writes them.
    mutating func add(_ key: String, data: some Collection<UInt8>) {
        begin(key)
        appendBase64(data)
    }

    mutating func add(_ key: String, array: [JSONText]) {
        begin(key)
        bytes.append(UInt8(ascii: "["))
        for (index, element) in array.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes += element.bytes
        }
        bytes.append(UInt8(ascii: "]"))
    }

    static func string(_ value: String) -> JSONText {
        var text = JSONText()
        text.appendQuoted(value)
        return text
    }

    static func data(_ value: some Collection<UInt8>) -> JSONText {
        var text = JSONText()
        text.appendBase64(value)
        return text
    }

    private mutating func begin(_ key: String) {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
        needsComma = true
        appendQuoted(key)
        bytes.append(UInt8(ascii: ":"))
    }

    private mutating func appendQuoted(_ value: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case 0x0A: bytes += "\\n".utf8
            case 0x0D: bytes += "\\r".utf8
            case 0x09: bytes += "\\t".utf8
            case 0..<0x20, 0x7F: bytes += ((byte < 16 ? "\\u000" : "\\u00") + String(byte, radix: 16)).utf8
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func appendBase64(_ data: some Collection<UInt8>) {
        bytes.reserveCapacity(bytes.count + data.count / 3 * 4 + 8)
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        bytes.append(UInt8(ascii: "\""))
        var group: UInt32 = 0
        var filled = 0
        func digit(_ shift: UInt32) -> UInt8 { alphabet[Int(group >> shift & 63)] }
        for byte in data {
            group = group << 8 | UInt32(byte)
            filled += 1
            if filled == 3 {
                for shift: UInt32 in [18, 12, 6, 0] { bytes.append(digit(shift)) }
                group = 0
                filled = 0
            }
        }
        if filled > 0 {
            group <<= UInt32(8 * (3 - filled))
            bytes += [digit(18), digit(12), filled == 2 ? digit(6) : UInt8(ascii: "="), UInt8(ascii: "=")]
        }
        bytes.append(UInt8(ascii: "\""))
    }
}

/// A time in UTC as RFC 3339 with as many decimals as needed, like Go's `RFC3339Nano`.
func rfc3339(_ time: EventTime) -> String {
    let second: Int64 = 1_000_000_000
    let seconds = (time.nanoseconds / second) - (time.nanoseconds % second < 0 ? 1 : 0)
    let fraction = time.nanoseconds - seconds * second
    let day = (seconds / 86400) - (seconds % 86400 < 0 ? 1 : 0)
    let inDay = seconds - day * 86400
    let (year, month, date) = civilDate(day)
    var text = "\(digits(year, 4))-\(digits(month, 2))-\(digits(date, 2))T"
    text += "\(digits(inDay / 3600, 2)):\(digits(inDay / 60 % 60, 2)):\(digits(inDay % 60, 2))"
    if fraction > 0 {
        var decimals = digits(fraction, 9)
        while decimals.hasSuffix("0") { decimals.removeLast() }
        text += "." + decimals
    }
    return text + "Z"
}

/// The proleptic Gregorian date, `days` after 1970-01-01.
///
/// Years are counted from March, so that the leap day is the last of its year, and in eras of 400 years (146,097 days).
private func civilDate(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let inEra = shifted - era * 146_097
    let year = (inEra - inEra / 1460 + inEra / 36524 - inEra / 146_096) / 365
    let inYear = inEra - (365 * year + year / 4 - year / 100)
    let fromMarch = (5 * inYear + 2) / 153
    let month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9
    return (year + era * 400 + (month <= 2 ? 1 : 0), month, inYear - (153 * fromMarch + 2) / 5 + 1)
}

private func digits(_ value: Int64, _ count: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
}
