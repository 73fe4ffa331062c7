// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem

extension FileTime {
    /// RFC 3339 in UTC, with nanoseconds when there are any, as Go prints it.
    public var rfc3339: String {
        let (days, second) = seconds.quotientAndRemainder(dividingBy: 86_400)
        let day = second < 0 ? days - 1 : days
        let time = second < 0 ? second + 86_400 : second
        let date = Self.civil(daysSince1970: day)
        var fraction = ""
        if nanoseconds > 0 {
            fraction = "." + Self.padded(Int64(nanoseconds), 9)
            while fraction.last == "0" { fraction.removeLast() }
        }
        return Self.padded(date.year, 4) + "-" + Self.padded(date.month, 2) + "-" + Self.padded(date.day, 2) + "T"
            + Self.padded(time / 3600, 2) + ":" + Self.padded(time / 60 % 60, 2) + ":" + Self.padded(time % 60, 2)
            + fraction + "Z"
    }

    /// The proleptic Gregorian date. Years are counted from March, so that the leap day is a year's last.
    private static func civil(daysSince1970: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = daysSince1970 + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let ofEra = shifted - era * 146_097
        let yearOfEra = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * ofYear + 2) / 153
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, ofYear - (153 * marchMonth + 2) / 5 + 1)
    }

    private static func padded(_ number: Int64, _ width: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }
}
