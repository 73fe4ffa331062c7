// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax

/// Variables in the order in which they were last set.
struct EnvironmentScope: VariableLookup {
    private var values: [String: String] = [:]
    private var names: [String] = []

    init() {}

    /// From `KEY=value` strings; the last of equal keys wins.
    init(_ entries: [String]) {
        for entry in entries { set(entry: entry) }
    }

    mutating func set(_ name: String, _ value: String) {
        if values.updateValue(value, forKey: name) != nil { names.removeAll { $0 == name } }
        names.append(name)
    }

    mutating func set(entry: String) {
        let (name, value) = splitEnvironmentEntry(entry)
        set(name, value)
    }

    func value(of name: String) -> String? { values[name] }

    var keys: [String] { names }

    var entries: [String] { names.map { "\($0)=\(values[$0] ?? "")" } }
}

/// The name and the value of `NAME=value`; no `=` means an empty value.
func splitEnvironmentEntry(_ entry: String) -> (name: String, value: String) {
    guard let equals = entry.firstIndex(of: "=") else { return (entry, "") }
    return (String(entry[..<equals]), String(entry[entry.index(after: equals)...]))
}
