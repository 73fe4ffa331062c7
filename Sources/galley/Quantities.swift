// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc

/// Bytes in decimal units with three digits, like `12.3MB`: docker's sizes.
func humanSize(_ bytes: Int64) -> String {
    guard bytes >= 1000 else { return "\(max(0, bytes))B" }
    let units = ["kB", "MB", "GB", "TB", "PB", "EB"]
    var scale: Int64 = 1000
    for (index, unit) in units.enumerated() {
        // 999.5 of a unit would be printed as 1000 of it.
        if index == units.count - 1 || bytes < scale * 1000 - scale / 2 { return threeDigits(bytes, scale) + unit }
        scale *= 1000
    }
    return "\(bytes)B"
}

private func threeDigits(_ value: Int64, _ scale: Int64) -> String {
    var decimals = value / scale >= 100 ? 0 : value / scale >= 10 ? 1 : 2
    func scaled() -> Int64 {
        let power: Int128 = decimals == 0 ? 1 : decimals == 1 ? 10 : 100
        return Int64((Int128(value) * power + Int128(scale / 2)) / Int128(scale))
    }
    var number = scaled()
    if number >= 1000, decimals > 0 {
        decimals -= 1
        number = scaled()
    }
    guard decimals > 0 else { return String(number) }
    let power: Int64 = decimals == 1 ? 10 : 100
    var fraction = Substring(String(number % power + power).dropFirst())
    while fraction.hasSuffix("0") { fraction.removeLast() }
    return fraction.isEmpty ? String(number / power) : "\(number / power).\(fraction)"
}

/// How long ago, in docker's words: `3 minutes ago`.
func humanAge(seconds: Int64) -> String {
    func text() -> String {
        let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600)
        if seconds < 1 { return "Less than a second" }
        if seconds == 1 { return "1 second" }
        if seconds < 60 { return "\(seconds) seconds" }
        if minutes == 1 { return "About a minute" }
        if minutes < 60 { return "\(minutes) minutes" }
        if hours == 1 { return "About an hour" }
        if hours < 48 { return "\(hours) hours" }
        if hours < 24 * 7 * 2 { return "\(hours / 24) days" }
        if hours < 24 * 30 * 2 { return "\(hours / 24 / 7) weeks" }
        if hours < 24 * 365 * 2 { return "\(hours / 24 / 30) months" }
        return "\(seconds / 3600 / 24 / 365) years"
    }
    return text() + " ago"
}

/// A moment as RFC 3339 writes it, in seconds since 1970; nil for anything else.
func secondsSince1970(_ text: String) -> Int64? {
    let bytes = Array(text.utf8)
    func number(_ range: Range<Int>) -> Int64? {
        guard range.upperBound <= bytes.count else { return nil }
        var result: Int64 = 0
        for byte in bytes[range] {
            guard (0x30...0x39).contains(byte) else { return nil }
            result = result * 10 + Int64(byte - 0x30)
        }
        return result
    }
    guard bytes.count >= 20, bytes[4] == 0x2d, bytes[7] == 0x2d, bytes[10] | 0x20 == 0x74, bytes[13] == 0x3a,
        bytes[16] == 0x3a, let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
        let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19),
        (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 61
    else { return nil }
    var index = 19
    if bytes[index] == 0x2e {
        index += 1
        while index < bytes.count, (0x30...0x39).contains(bytes[index]) { index += 1 }
    }
    var offset: Int64 = 0
    switch bytes[index...].first {
    case 0x5a, 0x7a: guard index + 1 == bytes.count else { return nil }
    case 0x2b, 0x2d:
        guard bytes.count == index + 6, bytes[index + 3] == 0x3a, let hours = number(index + 1..<index + 3),
            let minutes = number(index + 4..<index + 6)
        else { return nil }
        offset = (hours * 3600 + minutes * 60) * (bytes[index] == 0x2b ? 1 : -1)
    default: return nil
    }
    // Days from civil: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let shifted = month <= 2 ? year - 1 : year
    let era = (shifted >= 0 ? shifted : shifted - 399) / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    let days = era * 146_097 + dayOfEra - 719_468
    return days * 86400 + hour * 3600 + minute * 60 + second - offset
}

/// The wall clock.
func currentSeconds() -> Int64 { Int64(time(nil)) }
