// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Builder
import OCI

/// The part of Go's templates that `--format` takes: text, `{{.A.B}}`, `{{.}}`, `{{json .A}}`, `{{len .A}}` and
/// `{{index .A "key" 0}}`. Anything else is an error.
struct FormatTemplate {
    enum Function: String { case json, len, index, upper, lower }

    struct Action: Equatable {
        var function: Function?
        /// Names from the root: empty for `.`.
        var path: [String]
        /// Of `index`.
        var keys: [JSONValue] = []
    }

    enum Piece: Equatable {
        case text(String)
        case action(Action)
    }

    let pieces: [Piece]

    init(_ source: String) throws {
        var pieces: [Piece] = []
        // As docker: a shell's single quotes keep \t and \n from becoming characters.
        func text(_ part: Substring) -> Piece {
            .text(String(part).replacing("\\t", with: "\t").replacing("\\n", with: "\n"))
        }
        var rest = source[...]
        while let start = rest.firstRange(of: "{{") {
            if start.lowerBound > rest.startIndex { pieces.append(text(rest[..<start.lowerBound])) }
            rest = rest[start.upperBound...]
            guard let end = rest.firstRange(of: "}}") else { throw Self.invalid(source, "unclosed action") }
            pieces.append(.action(try Self.action(rest[..<end.lowerBound], source)))
            rest = rest[end.upperBound...]
        }
        if !rest.isEmpty { pieces.append(text(rest)) }
        self.pieces = pieces
    }

    /// Names right below the root that the template shows alone, as table headers need them; nil for other actions.
    var columns: [String?] {
        pieces.compactMap { piece in
            guard case .action(let action) = piece else { return nil }
            return .some(action.path.count == 1 ? action.path[0] : nil)
        }
    }

    /// The text for `value`. `known` are names that may be missing in it.
    func render(_ value: JSONValue, missing: [String: JSONValue] = [:]) throws -> String {
        try pieces.map { piece in
            switch piece {
            case .text(let text): text
            case .action(let action): try render(action, value, missing)
            }
        }.joined()
    }

    private func render(_ action: Action, _ root: JSONValue, _ missing: [String: JSONValue]) throws -> String {
        var value = root
        for name in action.path {
            guard case .object(let members) = value else {
                throw fieldError(action, "\(name) of something that has no fields")
            }
            guard let member = members[name] ?? missing[name] else {
                throw fieldError(action, "there is no field \(name)")
            }
            value = member
        }
        switch action.function {
        case .json: return compactJSON(value)
        case .len: return try String(length(of: value, action))
        case .index: return try goText(action.keys.reduce(value) { try element($1, of: $0, action) })
        case .upper: return goText(value).uppercased()
        case .lower: return goText(value).lowercased()
        case nil: return goText(value)
        }
    }

    private func length(of value: JSONValue, _ action: Action) throws -> Int {
        switch value {
        case .array(let elements): return elements.count
        case .object(let members): return members.count
        case .string(let text): return text.utf8.count
        case .null: return 0
        default: throw fieldError(action, "it has no length")
        }
    }

    /// As Go: a key that a map lacks gives nothing, an index outside a list is an error.
    private func element(_ key: JSONValue, of value: JSONValue, _ action: Action) throws -> JSONValue {
        switch (value, key) {
        case (.object(let members), .string(let name)): return members[name] ?? .string("")
        case (.null, .string): return .string("")
        case (.array(let elements), .integer(let position)):
            guard elements.indices.contains(Int(position)) else {
                throw fieldError(action, "index out of range: \(position)")
            }
            return elements[Int(position)]
        default: throw fieldError(action, "it cannot be indexed with \(compactJSON(key))")
        }
    }

    private func fieldError(_ action: Action, _ why: String) -> BuilderError {
        invalidValue("template: .\(action.path.joined(separator: ".")): \(why)", "{{json .}} shows all there is")
    }

    private static func invalid(_ source: String, _ why: String) -> BuilderError {
        invalidValue(
            "template parsing error: \(why) in \"\(source)\"",
            "supported: {{.Field.Field}}, {{json .Field}}, {{len .Field}}, {{index .Field \"key\"}}"
        )
    }

    private static func action(_ text: Substring, _ source: String) throws -> Action {
        var words = try words(text, source)[...]
        guard let first = words.popFirst() else { throw invalid(source, "empty action") }
        guard case .name(let name) = first else { throw invalid(source, "unexpected literal") }
        if name.hasPrefix(".") {
            guard words.isEmpty else { throw invalid(source, "unexpected words after \(name)") }
            return Action(function: nil, path: try path(name, source))
        }
        guard let function = Function(rawValue: name) else { throw invalid(source, "\(name) is not supported") }
        guard case .name(let field)? = words.popFirst(), field.hasPrefix(".") else {
            throw invalid(source, "\(name) needs a field")
        }
        let keys = try words.map { word in
            guard case .literal(let value) = word, function == .index else {
                throw invalid(source, "unexpected words after \(field)")
            }
            return value
        }
        return Action(function: function, path: try path(field, source), keys: keys)
    }

    private static func path(_ text: String, _ source: String) throws -> [String] {
        if text == "." { return [] }
        let names = text.dropFirst().split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        let valid = names.allSatisfy { !$0.isEmpty && $0.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" } }
        guard valid else { throw invalid(source, "\(text) is not a field") }
        return names
    }

    private enum Word {
        case name(String)
        case literal(JSONValue)
    }

    private static func words(_ text: Substring, _ source: String) throws -> [Word] {
        var words: [Word] = []
        var rest = text
        // `{{-` and `-}}` would trim the text around them.
        if rest.hasPrefix("- ") || rest.hasSuffix(" -") { throw invalid(source, "trimming is not supported") }
        while let first = rest.first {
            if first == " " || first == "\t" {
                rest = rest.dropFirst()
            } else if first == "\"" || first == "`" {
                let body = rest.dropFirst()
                guard let end = body.firstIndex(of: first) else { throw invalid(source, "unclosed string") }
                let string = body[..<end]
                guard first == "`" || !string.contains("\\") else {
                    throw invalid(source, "escapes in strings are not supported")
                }
                words.append(.literal(.string(String(string))))
                rest = body[body.index(after: end)...]
            } else {
                let word = rest.prefix { $0 != " " && $0 != "\t" && $0 != "\"" && $0 != "`" }
                words.append(Int64(word).map { .literal(.integer($0)) } ?? .name(String(word)))
                rest = rest[word.endIndex...]
            }
        }
        return words
    }
}

/// A value as Go prints it.
func goText(_ value: JSONValue) -> String {
    switch value {
    case .null: "<no value>"
    case .bool(let flag): flag ? "true" : "false"
    case .integer(let number): String(number)
    case .number(let number): "\(number)"
    case .string(let text): text
    case .array(let elements): "[" + elements.map(goText).joined(separator: " ") + "]"
    case .object(let members):
        "map[" + members.sorted { $0.key < $1.key }.map { "\($0.key):\(goText($0.value))" }.joined(separator: " ") + "]"
    }
}
