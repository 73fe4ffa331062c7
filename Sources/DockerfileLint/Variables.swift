// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import OCI

/// Variables and their values, in the order in which they were first set.
struct Variables: VariableLookup {
    private(set) var names: [String] = []
    private var values: [String: String] = [:]

    func value(of name: String) -> String? { values[name] }

    mutating func set(_ name: String, _ value: String) {
        if values.updateValue(value, forKey: name) == nil { names.append(name) }
    }

    /// Sets `NAME=value`.
    mutating func set(entry: String) {
        // By bytes: a combining mark that follows would hide a `=` from a search by characters.
        let sign = entry.utf8.firstIndex(of: UInt8(ascii: "=")) ?? entry.endIndex
        let value = sign == entry.endIndex ? "" : String(entry[entry.utf8.index(after: sign)...])
        set(String(entry[..<sign]), value)
    }

    /// What FROM sees before any ARG: the platforms and the stage's name.
    static func automatic(_ request: LintRequest, lastStage: String?) -> Variables {
        var variables = Variables()
        func set(_ name: String, _ value: String) {
            variables.set(name, request.buildArguments[name] ?? value)
        }
        for (prefix, platform) in [("BUILD", request.buildPlatform), ("TARGET", request.platform)] {
            set(prefix + "PLATFORM", platform.description)
            set(prefix + "OS", platform.os)
            set(prefix + "OSVERSION", platform.osVersion ?? "")
            set(prefix + "ARCH", platform.architecture)
            set(prefix + "VARIANT", platform.variant ?? "")
        }
        set("TARGETSTAGE", request.target ?? lastStage ?? "default")
        return variables
    }
}
