// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax

/// Variables in the order in which they were last set.
struct EnvironmentScope: VariableLookup {
    private var values: [String: String] = [:]
    private var names: [String] = []
    /// `NAME=value` in order. Kept, not computed, so that steps with the same variables share it.
    private(set) var entries: [String] = []

    init() {}

    /// From `KEY=value` strings; the last of equal keys wins.
    init(_ entries: [String]) { set(entries: entries) }

    mutating func set(_ name: String, _ value: String) {
        if values.updateValue(value, forKey: name) != nil, let index = names.firstIndex(of: name) {
            names.remove(at: index)
            entries.remove(at: index)
        }
        names.append(name)
        entries.append("\(name)=\(value)")
    }

    /// Sets `KEY=value` strings in order.
    mutating func set(entries added: [String]) {
        let pairs = added.map { splitEnvironmentEntry($0) }
        let replaced = Set(pairs.map(\.name))
        let kept = names.filter { !replaced.contains($0) }
        var last: [String: Int] = [:]
        for (index, pair) in pairs.enumerated() { last[pair.name] = index }
        let fresh = pairs.enumerated().filter { last[$1.name] == $0 }.map(\.element)
        for pair in fresh { values[pair.name] = pair.value }
        names = kept + fresh.map(\.name)
        entries = names.map { "\($0)=\(values[$0] ?? "")" }
    }

    mutating func remove(_ name: String) {
        guard values.removeValue(forKey: name) != nil, let index = names.firstIndex(of: name) else { return }
        names.remove(at: index)
        entries.remove(at: index)
    }

    func value(of name: String) -> String? { values[name] }
}

/// The name and the value of `NAME=value`; no `=` means an empty value.
func splitEnvironmentEntry(_ entry: String) -> (name: String, value: String) {
    // By bytes: a combining mark that follows would hide a `=` from a search by characters.
    guard let equals = entry.utf8.firstIndex(of: UInt8(ascii: "=")) else { return (entry, "") }
    return (String(entry[..<equals]), String(entry[entry.utf8.index(after: equals)...]))
}
