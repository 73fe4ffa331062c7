// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax

/// Texts as Go's `fmt` prints them, because history entries of images hold them.
enum GoText {
    /// `%q` of a list: `["a" "b"]`.
    static func quoted(_ values: [String]) -> String { "[" + values.map(goQuoted).joined(separator: " ") + "]" }

    /// `%v` of a list: `[a b]`.
    static func list(_ values: [String]) -> String { "[" + values.joined(separator: " ") + "]" }

    /// A `time.Duration`: `1h30m0s`, `1.5s`, `300ms`.
    static func duration(nanoseconds: Int64) -> String {
        if nanoseconds == 0 { return "0s" }
        let sign = nanoseconds < 0 ? "-" : ""
        let magnitude = nanoseconds.magnitude
        for (unit, name) in [(1_000 as UInt64, "ns"), (1_000_000, "µs"), (1_000_000_000, "ms")] where magnitude < unit {
            return sign + decimal(magnitude, unit / 1_000) + name
        }
        let seconds = magnitude / 1_000_000_000
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60)
        var text = sign
        if hours > 0 { text += "\(hours)h" }
        if hours > 0 || minutes > 0 { text += "\(minutes)m" }
        return text + decimal(magnitude % 60_000_000_000, 1_000_000_000) + "s"
    }

    private static func decimal(_ value: UInt64, _ unit: UInt64) -> String {
        let rest = value % unit
        guard rest != 0 else { return "\(value / unit)" }
        var digits = String(String(unit + rest).dropFirst())
        while digits.hasSuffix("0") { digits.removeLast() }
        return "\(value / unit).\(digits)"
    }
}
