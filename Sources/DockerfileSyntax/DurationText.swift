// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Durations as HEALTHCHECK writes them, in Go's notation: `1h30m`, `1.5s`, `250ms`.
enum DurationText {
    /// Nanoseconds, nil when the text is no duration or too long for 64 bits.
    static func nanoseconds(_ text: String) -> Int64? {
        var rest = text.utf8[...]
        var isNegative = false
        if let sign = rest.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") {
            isNegative = sign == UInt8(ascii: "-")
            rest = rest.dropFirst()
        }
        if rest.elementsEqual("0".utf8) { return 0 }
        if rest.isEmpty { return nil }
        var total: Int64 = 0
        while !rest.isEmpty {
            let whole = rest.prefix(while: isDigit)
            rest = rest.dropFirst(whole.count)
            var fraction = rest.prefix(0)
            if rest.first == UInt8(ascii: ".") {
                rest = rest.dropFirst()
                fraction = rest.prefix(while: isDigit)
                rest = rest.dropFirst(fraction.count)
            }
            if whole.isEmpty && fraction.isEmpty { return nil }
            let unitText = rest.prefix { !isDigit($0) && $0 != UInt8(ascii: ".") }
            rest = rest.dropFirst(unitText.count)
            guard let unit = units[String(decoding: unitText, as: UTF8.self)],
                let count = whole.isEmpty ? 0 : Int64(String(decoding: whole, as: UTF8.self))
            else { return nil }
            let (part, overflow) = count.multipliedReportingOverflow(by: unit)
            let (sum, overflow2) = total.addingReportingOverflow(part)
            // Below a nanosecond nothing counts.
            var scale = unit
            var small: Int64 = 0
            for digit in fraction {
                scale /= 10
                small += Int64(digit - 0x30) * scale
            }
            let (withFraction, overflow3) = sum.addingReportingOverflow(small)
            if overflow || overflow2 || overflow3 { return nil }
            total = withFraction
        }
        return isNegative ? -total : total
    }

    /// What is wrong with a text that is no duration, in Go's words.
    static func problem(of text: String) -> String {
        var rest = text.utf8[...]
        if rest.first == UInt8(ascii: "-") || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
        while let first = rest.first, isDigit(first) || first == UInt8(ascii: ".") {
            let number = rest.prefix { isDigit($0) }
            rest = rest.dropFirst(number.count)
            if rest.first == UInt8(ascii: ".") { rest = rest.dropFirst().drop { isDigit($0) } }
            let unit = rest.prefix { !isDigit($0) && $0 != UInt8(ascii: ".") }
            let name = String(decoding: unit, as: UTF8.self)
            if unit.isEmpty { return "missing unit in duration" }
            if units[name] == nil { return "unknown unit \"\(name)\" in duration" }
            rest = rest.dropFirst(unit.count)
        }
        return "invalid duration"
    }

    private static let units: [String: Int64] = [
        "ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000,
        "h": 3_600_000_000_000,
    ]

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }
}
