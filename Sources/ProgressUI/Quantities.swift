// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import Solver

/// Seconds with one decimal, like `12.3s`.
func duration(_ nanoseconds: Int64) -> String { decimal(nanoseconds, scale: 1_000_000_000, digits: 1) + "s" }

/// The time in front of a line of output: five characters up to a thousand seconds.
func logTime(_ nanoseconds: Int64) -> String {
    let digits = nanoseconds < 10_000_000_000 ? 3 : nanoseconds < 100_000_000_000 ? 2 : 1
    return decimal(nanoseconds, scale: 1_000_000_000, digits: digits)
}

/// A size in decimal units, like `12.34MB`.
func byteCount(_ count: Int64) -> String {
    guard count >= 1000 else { return "\(max(0, count))B" }
    var scale: Int64 = 1000
    for unit in ["kB", "MB", "GB", "TB", "PB"] {
        // 999,995 bytes round up to the next unit, not to 1000.00kB.
        if unit == "PB" || count < scale * 1000 - scale / 200 {
            return decimal(count, scale: scale, digits: 2) + unit
        }
        scale *= 1000
    }
    return "\(count)B"
}

/// A limit in binary units, like `2MiB`.
func binarySize(_ count: Int) -> String {
    for (unit, scale) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] where count >= scale {
        let text = decimal(Int64(count), scale: Int64(scale), digits: 2)
        var digits = Substring(text)
        while digits.hasSuffix("0") { digits.removeLast() }
        if digits.hasSuffix(".") { digits.removeLast() }
        return digits + unit
    }
    return "\(count)B"
}

/// `value / scale` rounded to `digits` decimals; less than nothing is nothing.
private func decimal(_ value: Int64, scale: Int64, digits: Int) -> String {
    let power: Int64 = digits == 1 ? 10 : digits == 2 ? 100 : 1000
    let value = max(0, value)
    let whole = value / scale
    let (scaled, fraction) =
        ((value % scale) * power + scale / 2) / scale >= power
        ? (whole + 1, 0) : (whole, ((value % scale) * power + scale / 2) / scale)
    let decimals = String(fraction)
    return "\(scaled)." + String(repeating: "0", count: digits - decimals.count) + decimals
}

extension EventTime {
    /// The wall clock.
    static var now: EventTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return EventTime(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    /// Nanoseconds from `earlier` to this time; never negative, whatever the clock did.
    func since(_ earlier: EventTime) -> Int64 { max(0, nanoseconds &- earlier.nanoseconds) }
}
