// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Builder

/// The values of `--filter` of `du` and `prune`: what BuildKit takes, and the age as `until=24h` or `unused-for=24h`.
/// All of them must hold.
struct UsageSelection: Equatable {
    /// Nil when there is none.
    private(set) var filter: UsageFilter?
    /// Only what was not used for so many seconds.
    private(set) var keepDuration: Int64?

    init(_ texts: [String], until: String? = nil) throws {
        for text in texts {
            let name = text.prefix { $0 != "=" }
            if name == "until" || name == "unused-for" {
                try setAge(String(text.dropFirst(name.count + 1)), from: "--filter \(name)")
            } else {
                filter = UsageFilter(terms: (filter?.terms ?? []) + (try UsageFilter(text).terms))
            }
        }
        if let until { try setAge(until, from: "--until") }
    }

    private mutating func setAge(_ text: String, from option: String) throws {
        guard keepDuration == nil else {
            throw invalidValue("conflicting filters: the age is given twice", "give one of until and unused-for")
        }
        guard let seconds = durationSeconds(text) else {
            throw invalidValue("invalid \(option): \"\(text)\" is no length of time", "write it like 24h, 90m or 7d")
        }
        keepDuration = seconds
    }

    func select(_ records: [UsageRecord], now: Int64) throws -> [UsageRecord] {
        let accepts = try filter?.matcher()
        return records.filter { record in
            if let keepDuration, let last = record.lastUsedSeconds, last > now - keepDuration { return false }
            return accepts?(record) ?? true
        }
    }
}
