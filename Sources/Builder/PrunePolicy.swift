// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem

/// One rule of what to remove.
public struct PruneRule: Hashable, Sendable {
    /// Only what fulfils one of these; anything when there is none.
    public var filters: [UsageFilter]
    /// Only what was not used for so many seconds.
    public var keepDuration: Int64
    /// Bytes that this rule never goes below.
    public var reserved: Int64
    /// Bytes that the cache may have; 0 for no limit.
    public var maximum: Int64
    /// Bytes of the disk that should be free; 0 for no limit.
    public var minimumFree: Int64
    /// Also what Galley keeps for itself.
    public var all: Bool
    /// Only what nothing leads to.
    public var onlyDangling: Bool

    public init(
        filters: [UsageFilter] = [],
        keepDuration: Int64 = 0,
        reserved: Int64 = 0,
        maximum: Int64 = 0,
        minimumFree: Int64 = 0,
        all: Bool = false,
        onlyDangling: Bool = false
    ) {
        self.filters = filters
        self.keepDuration = keepDuration
        self.reserved = reserved
        self.maximum = maximum
        self.minimumFree = minimumFree
        self.all = all
        self.onlyDangling = onlyDangling
    }

    /// Whether there is a size to get down to, rather than everything to remove.
    public var hasLimits: Bool { reserved != 0 || maximum != 0 || minimumFree != 0 }

    /// How many bytes of the cache stay, when it has `used` and the disk has `free`.
    public func target(used: Int64, free: Int64) -> Int64 {
        guard hasLimits else { return 0 }
        var keep = maximum
        let missing = minimumFree - free
        if minimumFree != 0, missing > 0 {
            keep = keep == 0 ? used - missing : min(keep, used - missing)
        } else if minimumFree != 0, keep == 0 {
            keep = used
        }
        return max(keep, reserved)
    }
}

/// Chooses what goes.
public enum PrunePolicy {
    public struct Choice: Hashable, Sendable {
        /// Index of the record.
        public var record: Int
        /// Index of the rule that took it.
        public var rule: Int
    }

    /// What the rules remove, in the order in which it goes.
    ///
    /// Each rule takes the least recently used first, until the cache is as small as the rule says. A layer goes only
    /// when those above it went. What named images need, and what is in use, neither counts nor goes.
    /// - Parameter now: seconds since 1970.
    public static func choose(
        _ records: [UsageRecord],
        _ rules: [PruneRule],
        disk: FileSystemSpace,
        now: Int64
    ) throws -> [Choice] {
        let graph = Graph(records)
        var isGone = [Bool](repeating: false, count: records.count)
        var used = records.reduce(0) { $0 + ($1.isShared ? 0 : $1.size) }
        var free = disk.free
        var choices: [Choice] = []
        for (number, rule) in rules.enumerated() {
            let target = rule.target(used: used, free: free)
            if rule.hasLimits, used <= target { continue }
            let matchers = try rule.filters.map { try $0.matcher(now: now) }
            let candidates = graph.order(isGone) { index in
                let record = records[index]
                guard record.isReclaimable else { return false }
                if !rule.all, record.kind == .internal || record.kind == .frontend {
                    // What nothing leads to is not kept for anybody.
                    guard record.isDangling, matchers.isEmpty else { return false }
                }
                if rule.onlyDangling, !record.isDangling { return false }
                if rule.keepDuration > 0, let last = record.lastUsedSeconds, last > now - rule.keepDuration {
                    return false
                }
                return matchers.isEmpty || matchers.contains { $0(record) }
            }
            for index in candidates {
                if rule.hasLimits, used <= target { break }
                isGone[index] = true
                used -= records[index].size
                free += records[index].size
                choices.append(Choice(record: index, rule: number))
            }
        }
        return choices
    }

    /// Records with those that need them.
    private struct Graph {
        let records: [UsageRecord]
        /// Of each record, the indices of the layers right below it.
        private var below: [[Int]]
        private var above: [Int]

        init(_ records: [UsageRecord]) {
            self.records = records
            let indices = Dictionary(
                records.indices.map { (records[$0].id, $0) },
                uniquingKeysWith: { first, _ in first }
            )
            below = records.map { $0.parents.compactMap { indices[$0] } }
            above = [Int](repeating: 0, count: records.count)
            for parent in below.joined() { above[parent] += 1 }
        }

        /// Those that may go, in order: what nothing leads to first, then by last use, each after those that need it.
        func order(_ isGone: [Bool], _ mayGo: (Int) -> Bool) -> [Int] {
            var eligible = [Bool](repeating: true, count: records.count)
            var dangling = records.map(\.isDangling)
            var used = records.map { $0.lastUsed ?? .min }
            var waiting = above
            var ready = records.indices.filter { above[$0] == 0 }
            var result: [(index: Int, place: Int)] = []
            var next = 0
            while next < ready.count {
                let index = ready[next]
                next += 1
                if !isGone[index] {
                    eligible[index] = eligible[index] && mayGo(index)
                    if eligible[index] { result.append((index, next)) }
                }
                for parent in below[index] {
                    if !isGone[index] {
                        eligible[parent] = eligible[parent] && eligible[index]
                        dangling[parent] = dangling[parent] && dangling[index]
                        used[parent] = max(used[parent], used[index])
                    }
                    waiting[parent] -= 1
                    if waiting[parent] == 0 { ready.append(parent) }
                }
            }
            func key(_ item: (index: Int, place: Int)) -> (Int, Int64, Int) {
                (dangling[item.index] ? 0 : 1, used[item.index], item.place)
            }
            return result.sorted { key($0) < key($1) }.map(\.index)
        }
    }
}
