// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Builder
import LinuxSystem

/// What the policy is, where it comes from, and what it will do next.
struct PolicyExplanation {
    let usage: StoreUsage
    let now: Int64

    var text: String {
        var lines = [heading]
        if usage.isAutomatic {
            for (number, rule) in usage.rules.enumerated() { lines.append("  \(number + 1). \(describe(rule))") }
            lines.append("Limits (disk: \(humanSize(usage.disk.total)), free: \(humanSize(usage.disk.free))):")
            for limit in usage.limits {
                let value = limit.bytes == 0 ? "none" : humanSize(limit.bytes)
                lines.append("  \(limit.name): \(value) (\(limit.origin)); \(limit.meaning)")
            }
        }
        lines += outlook
        return lines.map { $0 + "\n" }.joined()
    }

    private var heading: String {
        let source = usage.source.map { " of \($0)" } ?? ""
        if !usage.isAutomatic { return "Nothing is removed after builds: gc = false\(source)." }
        return "After builds these rules\(usage.source == nil ? "" : source) are applied, "
            + "the least recently used first; what named images need or is in use stays:"
    }

    private var cacheSize: Int64 { usage.records.reduce(0) { $0 + ($1.isShared ? 0 : $1.size) } }

    private func describe(_ rule: PruneRule) -> String {
        var text = "anything"
        if !rule.filters.isEmpty { text = rule.filters.map(Self.text).joined(separator: ", or ") }
        if rule.all { text += ", also internal data" }
        if rule.keepDuration > 0 { text += ", unused for \(Self.age(rule.keepDuration))" }
        guard rule.hasLimits else { return text }
        return text + ", while the cache has more than \(humanSize(target(rule)))"
    }

    private func target(_ rule: PruneRule) -> Int64 { rule.target(used: cacheSize, free: usage.disk.free) }

    private static func text(_ filter: UsageFilter) -> String {
        let conditions = filter.terms.map { term in
            if term.field == .type, term.comparison == .equal { return term.value }
            return "\(term.field.rawValue)\(term.comparison.rawValue)\(term.value)"
        }
        return (conditions + [filter.unusedFor.map { "unused for \(age($0))" }].compactMap { $0 })
            .joined(separator: " and ")
    }

    private static func age(_ seconds: Int64) -> String {
        if seconds % 86400 == 0 { return "\(seconds / 86400) days" }
        return seconds % 3600 == 0 ? "\(seconds / 3600) hours" : "\(seconds) seconds"
    }

    /// What goes now and what would go next.
    private var outlook: [String] {
        var lines: [String] = []
        let due = usage.due.reduce(0) { $0 + usage.records[$1.record].size }
        if usage.isAutomatic {
            lines.append(
                usage.due.isEmpty
                    ? "The cache has \(humanSize(cacheSize)): nothing is due."
                    : "The cache has \(humanSize(cacheSize)): \(humanSize(due)) are due after the next build."
            )
            for choice in usage.due.prefix(3) {
                lines.append("  \(name(choice.record)): rule \(choice.rule + 1), \(lastUse(choice.record))")
            }
            if usage.due.count > 3 { lines.append("  and \(usage.due.count - 3) more") }
        }
        if usage.due.isEmpty, let next = usage.next {
            let why = usage.records[next].isDangling ? "nothing leads to it" : lastUse(next)
            lines.append("Next to go: \(name(next)): \(why)")
        }
        return lines
    }

    private func name(_ index: Int) -> String {
        let record = usage.records[index]
        let what = record.description.isEmpty ? record.kind.rawValue : printable(record.description)
        return "\(record.id) (\(humanSize(record.size)), \(what))"
    }

    private func lastUse(_ index: Int) -> String {
        usage.records[index].lastUsedSeconds.map { "last used \(humanAge(seconds: now - $0))" } ?? "never used"
    }
}
