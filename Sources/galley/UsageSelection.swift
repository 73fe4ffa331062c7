// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Builder

/// The values of `--filter` of `du` and `prune`. All of them must hold.
struct UsageSelection: Equatable {
    /// Nil when there is none.
    private(set) var filter: UsageFilter?
    /// Only what was not used for so many seconds.
    private(set) var keepDuration: Int64?

    init(_ texts: [String], until: String? = nil) throws {
        for text in texts {
            let next = try UsageFilter(text)
            if let age = next.unusedFor { try setAge(age) }
            if !next.terms.isEmpty { filter = UsageFilter(terms: (filter?.terms ?? []) + next.terms) }
        }
        guard let until else { return }
        guard let seconds = durationSeconds(until) else {
            throw invalidValue("invalid --until: \"\(until)\" is no length of time", "write it like 24h, 90m or 7d")
        }
        try setAge(seconds)
    }

    private mutating func setAge(_ seconds: Int64) throws {
        guard keepDuration == nil else {
            throw invalidValue("conflicting filters: the age is given twice", "give one of until and unused-for")
        }
        keepDuration = seconds
    }

    func select(_ records: [UsageRecord], now: Int64) throws -> [UsageRecord] {
        let accepts = try filter?.matcher(now: now)
        return records.filter { record in
            if let keepDuration, let last = record.lastUsedSeconds, last > now - keepDuration { return false }
            return accepts?(record) ?? true
        }
    }
}
