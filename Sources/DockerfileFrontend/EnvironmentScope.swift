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
    init(_ entries: [String]) {
        for entry in entries { set(entry: entry) }
    }

    mutating func set(_ name: String, _ value: String) {
        if values.updateValue(value, forKey: name) != nil, let index = names.firstIndex(of: name) {
            names.remove(at: index)
            entries.remove(at: index)
        }
        names.append(name)
        entries.append("\(name)=\(value)")
    }

    mutating func set(entry: String) {
        let (name, value) = splitEnvironmentEntry(entry)
        set(name, value)
    }

    func value(of name: String) -> String? { values[name] }
}

/// The name and the value of `NAME=value`; no `=` means an empty value.
func splitEnvironmentEntry(_ entry: String) -> (name: String, value: String) {
    // By bytes: a combining mark that follows would hide a `=` from a search by characters.
    guard let equals = entry.utf8.firstIndex(of: UInt8(ascii: "=")) else { return (entry, "") }
    return (String(entry[..<equals]), String(entry[entry.utf8.index(after: equals)...]))
}
