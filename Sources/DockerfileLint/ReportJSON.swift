// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
public import OCI

extension LintReport {
    /// As BuildKit's `result.json`, without the definition that says how to load the source again.
    public var json: JSONValue {
        var members: [String: JSONValue] = [
            "warnings": .array(warnings.map(\.json)),
            "sources": [
                [
                    "filename": .string(source.name), "language": "Dockerfile",
                    "data": .string(base64Text(source.bytes)),
                ]
            ],
        ]
        if let failure {
            members["buildError"] = [
                "message": .string(failure.message), "location": location(failure.lines) ?? .object([:]),
            ]
        }
        return .object(members)
    }
}

extension LintWarning {
    var json: JSONValue {
        object([
            "ruleName": .string(rule.name),
            "description": .string(rule.summary),
            "url": rule.url.map { .string($0) },
            "detail": .string(message),
            "location": location(lines) ?? .object([:]),
        ])
    }
}

extension Outline {
    /// As BuildKit's `result.json`.
    public var json: JSONValue {
        object([
            "name": name.map { .string($0) },
            "description": description.map { .string($0) },
            "args": list(arguments) { argument in
                object([
                    "name": .string(argument.name),
                    "description": argument.description.map { .string($0) },
                    "value": argument.value.isEmpty ? nil : .string(argument.value),
                    "location": location(argument.lines),
                ])
            },
            "secrets": list(secrets, \.json),
            "ssh": list(agents, \.json),
            "sources": [.string(base64Text(source.bytes))],
        ])
    }
}

extension Outline.Mount {
    var json: JSONValue {
        object([
            "name": .string(name), "required": isRequired ? true : nil, "location": location(lines),
        ])
    }
}

extension TargetList {
    /// As BuildKit's `result.json`.
    public var json: JSONValue {
        let targets = targets.map { target in
            object([
                "name": target.name.map { .string($0) },
                "default": target.isDefault ? true : nil,
                "description": target.description.map { .string($0) },
                "base": target.base.isEmpty ? nil : .string(target.base),
                "platform": target.platform.map { .string($0) },
                "location": location(target.lines),
            ])
        }
        return ["targets": .array(targets), "sources": [.string(base64Text(source.bytes))]]
    }
}

/// The members that have a value.
private func object(_ members: [String: JSONValue?]) -> JSONValue { .object(members.compactMapValues { $0 }) }

private func list<T>(_ elements: [T], _ convert: (T) -> JSONValue) -> JSONValue? {
    elements.isEmpty ? nil : .array(elements.map(convert))
}

/// A range for each line, as BuildKit writes the place of an instruction.
private func location(_ lines: ClosedRange<Int>?) -> JSONValue? {
    guard let lines else { return nil }
    guard lines.count <= 1000 else {
        let (start, end): (JSONValue, JSONValue) = (
            ["line": .integer(Int64(lines.lowerBound))], ["line": .integer(Int64(lines.upperBound))]
        )
        return ["ranges": [["start": start, "end": end]]]
    }
    let ranges = lines.map { line -> JSONValue in
        let position: JSONValue = ["line": .integer(Int64(line))]
        return ["start": position, "end": position]
    }
    return ["ranges": .array(ranges)]
}

/// Bytes in base64, as JSON of Go programs has them.
package func base64Text(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var text: [UInt8] = []
    text.reserveCapacity((bytes.count + 2) / 3 * 4)
    for start in stride(from: 0, to: bytes.count, by: 3) {
        let group = bytes[start..<min(start + 3, bytes.count)]
        let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
        for place in 0..<4 {
            text.append(place <= group.count ? alphabet[bits >> (18 - 6 * place) & 63] : UInt8(ascii: "="))
        }
    }
    return String(decoding: text, as: UTF8.self)
}
