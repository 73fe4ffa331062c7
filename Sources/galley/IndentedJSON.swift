// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI

/// JSON for people: one member a line, names in order.
func indentedJSON(_ value: JSONValue, by width: Int, level: Int = 0) -> String {
    let inner = String(repeating: " ", count: width * (level + 1))
    let outer = String(repeating: " ", count: width * level)
    switch value {
    case .array(let elements) where !elements.isEmpty:
        let lines = elements.map { inner + indentedJSON($0, by: width, level: level + 1) }
        return "[\n" + lines.joined(separator: ",\n") + "\n\(outer)]"
    case .object(let members) where !members.isEmpty:
        let lines = members.sorted { $0.key < $1.key }.map { name, value in
            inner + compactJSON(.string(name)) + ": " + indentedJSON(value, by: width, level: level + 1)
        }
        return "{\n" + lines.joined(separator: ",\n") + "\n\(outer)}"
    default:
        return compactJSON(value)
    }
}

/// JSON on one line, names in order.
func compactJSON(_ value: JSONValue) -> String { String(decoding: value.encoded(), as: UTF8.self) }
