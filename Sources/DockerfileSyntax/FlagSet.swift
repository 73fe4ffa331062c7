// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// The flags of an instruction, checked against what its keyword allows.
struct FlagSet {
    /// What may follow a flag.
    private enum Shape {
        case bool
        case single
        case repeated
    }

    let all: [InstructionFlag]
    private let raw: [InstructionHead.FlagWord]

    /// The flags as they are, for what takes any.
    init(unchecked words: [InstructionHead.FlagWord], line: LogicalLine) {
        all = words.map { word in
            let value = word.value.map { Word($0, range: line.sourceRange(word.valueRange)) }
            return InstructionFlag(name: word.name, value: value, range: line.sourceRange(word.range))
        }
        raw = words
    }

    init(_ words: [InstructionHead.FlagWord], of keyword: Keyword, line: LogicalLine) throws(Diagnostic) {
        let allowed = Self.allowed(keyword)
        var seen: Set<String> = []
        var flags: [InstructionFlag] = []
        for word in words {
            let range = line.sourceRange(word.range)
            guard let shape = allowed[word.name] else { throw Self.unknown(word.name, allowed.keys.sorted(), range) }
            guard seen.insert(word.name).inserted || shape == .repeated else {
                throw Diagnostic(.duplicateFlag, "duplicate flag specified: --\(word.name)", range: range)
            }
            if shape == .bool ? word.value == "" : word.value == nil {
                throw Diagnostic(.invalidFlagValue, "missing a value on flag: --\(word.name)", range: range)
            }
            if shape == .bool, let value = word.value, !["true", "false"].contains(value.lowercased()) {
                throw Diagnostic(
                    .invalidFlagValue,
                    "expecting boolean value for flag --\(word.name), not: \(value)",
                    range: line.sourceRange(word.valueRange)
                )
            }
            let value = word.value.map { Word($0, range: line.sourceRange(word.valueRange)) }
            flags.append(InstructionFlag(name: word.name, value: value, range: range))
        }
        all = flags
        raw = words
    }

    private static func unknown(_ name: String, _ allowed: [String], _ range: SourceRange) -> Diagnostic {
        let suggestion = suggest(name, among: allowed, caseSensitive: true)
        let shown = name.utf8.count > 60 ? String(name.prefix(60)) + "..." : name
        return Diagnostic(
            .unknownFlag,
            "unknown flag: --\(shown)" + (suggestion.map { " (did you mean \($0)?)" } ?? ""),
            range: range,
            notes: allowed.isEmpty ? [] : ["known flags: " + allowed.map { "--" + $0 }.joined(separator: ", ")],
            nextStep: suggestion.map { "did you mean --\($0)?" }
        )
    }

    private static func allowed(_ keyword: Keyword) -> [String: Shape] {
        switch keyword {
        case .from: ["platform": .single]
        case .run: ["mount": .repeated, "network": .single, "security": .single, "device": .repeated]
        case .copy:
            [
                "from": .single, "chown": .single, "chmod": .single, "link": .bool, "parents": .bool,
                "exclude": .repeated,
            ]
        case .add:
            [
                "chown": .single, "chmod": .single, "link": .bool, "exclude": .repeated, "checksum": .single,
                "keep-git-dir": .bool, "unpack": .bool,
            ]
        case .healthcheck:
            [
                "interval": .single, "timeout": .single, "start-period": .single, "start-interval": .single,
                "retries": .single,
            ]
        default: [:]
        }
    }

    // MARK: Values

    subscript(name: String) -> Word? { all.first { $0.name == name }?.value }

    func all(_ name: String) -> [Word] { all.filter { $0.name == name }.compactMap(\.value) }

    func words(_ name: String) -> [InstructionHead.FlagWord] { raw.filter { $0.name == name } }

    /// Nil when the flag is absent.
    func bool(_ name: String) -> Bool? {
        guard let flag = all.first(where: { $0.name == name }) else { return nil }
        return flag.value?.text.lowercased() != "false"
    }

    func duration(_ name: String) throws(Diagnostic) -> Int64? {
        guard let word = self[name], !word.text.isEmpty else { return nil }
        guard let nanoseconds = DurationText.nanoseconds(word.text) else {
            throw Diagnostic(
                .invalidFlagValue,
                "time: \(DurationText.problem(of: word.text)) \"\(word.text)\"",
                range: word.range,
                nextStep: "write a number with a unit, as in --\(name)=30s"
            )
        }
        guard nanoseconds == 0 || nanoseconds >= 1_000_000 else {
            throw Diagnostic(
                .invalidFlagValue,
                "Interval \"\(name)\" cannot be less than 1ms",
                range: word.range
            )
        }
        return nanoseconds
    }

    func count(_ name: String) throws(Diagnostic) -> Int? {
        guard let word = self[name], !word.text.isEmpty else { return nil }
        guard let count = Int32(word.text) else {
            throw Diagnostic(
                .invalidFlagValue,
                "--\(name): \"\(word.text)\" is not a number",
                range: word.range
            )
        }
        guard count >= 0 else {
            throw Diagnostic(.invalidFlagValue, "--\(name) cannot be negative (\(count))", range: word.range)
        }
        return Int(count)
    }
}
