// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI

/// A time in the preferred form of RFC 9110, 5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
struct HTTPDate: Hashable, Sendable {
    /// Since 1970.
    let seconds: Int64

    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    init?(_ text: String) {
        let words = text.split(separator: " ")
        guard words.count == 6, words[5] == "GMT" || words[5] == "UTC", let day = Int64(words[1]),
            (1...31).contains(day), let month = Self.months.firstIndex(of: String(words[2])),
            let year = Int64(words[3]), (1...9999).contains(year)
        else { return nil }
        let clock = words[4].split(separator: ":").compactMap { Int64($0) }
        guard clock.count == 3, (0...23).contains(clock[0]), (0...59).contains(clock[1]), (0...60).contains(clock[2])
        else { return nil }
        seconds = Self.days(year, Int64(month) + 1, day) * 86400 + clock[0] * 3600 + clock[1] * 60 + clock[2]
    }

    /// Days since 1970-01-01 in the Gregorian calendar, counted in years that begin in March.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }
}

/// The last name of a URL's path, percent-decoded; empty when there is none.
func urlFileName(_ url: String) -> String {
    var rest = url.prefix { $0 != "?" && $0 != "#" }
    if let scheme = rest.firstRange(of: "://") { rest = rest[scheme.upperBound...] }
    guard let slash = rest.firstIndex(of: "/") else { return "" }
    return urlDecoded(String(rest[slash...])).split(separator: "/").last.map(String.init) ?? ""
}

/// A URL's host, without port and user.
func urlHost(_ url: String) -> String {
    let host = (URLAuthority(url)?.host ?? "").utf8
    if host.first == UInt8(ascii: "["), let end = host.firstIndex(of: UInt8(ascii: "]")) {
        return String(decoding: Array(host[..<end].dropFirst()), as: UTF8.self)
    }
    return String(decoding: Array(host.prefix { $0 != UInt8(ascii: ":") }), as: UTF8.self)
}

/// `filename` of a Content-Disposition header (RFC 6266); the form with a character set counts more.
func dispositionFileName(_ header: String) -> String? {
    var plain: String?
    for part in headerParameters(header) {
        switch part.name {
        case "filename*":
            let fields = part.value.split(separator: "'", maxSplits: 2, omittingEmptySubsequences: false)
            if fields.count == 3, fields[0].lowercased() == "utf-8" {
                return notDirectory(urlDecoded(String(fields[2])))
            }
        case "filename": plain = part.value
        default: break
        }
    }
    return plain.flatMap(notDirectory)
}

private func notDirectory(_ name: String) -> String? { name.isEmpty || name.hasSuffix("/") ? nil : name }

/// The parameters after a header's first value; quoted strings are taken out of their quotes.
private func headerParameters(_ header: String) -> [(name: String, value: String)] {
    var result: [(String, String)] = []
    var rest = Array(header.utf8)[...].drop { $0 != UInt8(ascii: ";") }
    while rest.first == UInt8(ascii: ";") {
        rest = rest.dropFirst().drop { $0 == 0x20 || $0 == 0x09 }
        let name = rest.prefix { $0 != UInt8(ascii: "=") && $0 != UInt8(ascii: ";") }
        rest = rest[name.endIndex...]
        guard rest.first == UInt8(ascii: "=") else { continue }
        rest.removeFirst()
        var value: [UInt8] = []
        if rest.first == UInt8(ascii: "\"") {
            rest.removeFirst()
            while let byte = rest.popFirst(), byte != UInt8(ascii: "\"") {
                if byte == UInt8(ascii: "\\"), let escaped = rest.popFirst() {
                    value.append(escaped)
                } else {
                    value.append(byte)
                }
            }
            rest = rest.drop { $0 != UInt8(ascii: ";") }
        } else {
            value = Array(rest.prefix { $0 != UInt8(ascii: ";") })
            rest = rest.dropFirst(value.count)
            while value.last == 0x20 || value.last == 0x09 { value.removeLast() }
        }
        result.append((String(decoding: name, as: UTF8.self).lowercased(), String(decoding: value, as: UTF8.self)))
    }
    return result
}

/// The name's last component, or `download` where it is none that a file can have.
func safeFileName(_ text: String) -> String {
    let trimmed = text.drop { $0.isWhitespace }
    let end = trimmed.lastIndex { !$0.isWhitespace }.map { trimmed.index(after: $0) } ?? trimmed.startIndex
    let name = trimmed[..<end].split(separator: "/").last.map(String.init) ?? ""
    let isUsable = !name.unicodeScalars.contains { $0.properties.generalCategory == .control }
    return name.isEmpty || name == "." || name == ".." || !isUsable || name.utf8.count > 255 ? "download" : name
}

/// Replaces `%XX`; what is no such escape stays.
func urlDecoded(_ text: String) -> String {
    var out: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "%"), rest.count >= 2,
            let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
        {
            out.append(value)
            rest = rest.dropFirst(2)
        } else {
            out.append(byte)
        }
    }
    return String(decoding: out, as: UTF8.self)
}
