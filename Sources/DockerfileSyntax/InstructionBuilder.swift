// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Turns the parts of one instruction's line into an ``Instruction``, or says what is wrong with it.
struct InstructionBuilder {
    let line: LogicalLine
    let escape: UInt8
    let docComment: String?
    let heredocs: [Heredoc]

    mutating func instruction(_ head: InstructionHead, _ range: Range<Int>) throws(Diagnostic) -> Instruction {
        let keywordText = line.text(head.keyword)
        guard let keyword = Keyword(spelledLike: keywordText) else { throw unknownInstruction(head.keyword) }
        // As in BuildKit nobody looks at the flags of ARG, STOPSIGNAL and HEALTHCHECK NONE.
        let flags =
            keyword == .stopsignal || keyword == .arg || keyword == .healthcheck && isNone(head.arguments)
            ? FlagSet(unchecked: head.flags, line: line) : try FlagSet(head.flags, of: keyword, line: line)
        let kind = try kind(keyword, head, flags, range)
        return Instruction(
            keyword: keyword,
            keywordText: keywordText,
            range: line.sourceRange(range),
            keywordRange: line.sourceRange(head.keyword),
            flags: flags.all,
            docComment: docComment,
            original: line.text(range),
            kind: kind
        )
    }

    private func isNone(_ arguments: Range<Int>) -> Bool {
        line.blankSeparated(arguments).first.map { line.text($0).uppercased() == "NONE" } ?? false
    }

    private func unknownInstruction(_ range: Range<Int>) -> Diagnostic {
        let text = line.text(range)
        let shown = text.count > 60 ? String(text.prefix(60)) + "..." : text
        let suggestion = suggest(text, among: Keyword.allCases.map(\.rawValue)).map {
            text == text.uppercased() ? $0 : $0.lowercased()
        }
        var diagnostic = Diagnostic(
            .unknownInstruction,
            "unknown instruction: \(shown)" + (suggestion.map { " (did you mean \($0)?)" } ?? ""),
            range: line.sourceRange(range)
        )
        if text.unicodeScalars.contains(where: { $0 == "\u{A0}" || $0.value >= 0x2000 && $0.value <= 0x200F }) {
            diagnostic.notes.append("there is a space in it that is not an ordinary blank (U+00A0 or the like)")
        }
        diagnostic.nextStep = suggestion.map { "did you mean \($0)?" }
        return diagnostic
    }

    func wrong(_ message: String, _ range: Range<Int>, nextStep: String? = nil) -> Diagnostic {
        Diagnostic(.wrongArguments, message, range: line.sourceRange(range), nextStep: nextStep)
    }

    private func kind(
        _ keyword: Keyword,
        _ head: InstructionHead,
        _ flags: FlagSet,
        _ range: Range<Int>
    ) throws(Diagnostic) -> InstructionKind {
        let arguments = head.arguments
        switch keyword {
        case .from: return .from(try from(arguments, flags, range))
        case .run: return .run(try run(arguments, flags, range))
        case .cmd: return .cmd(try command(arguments))
        case .entrypoint: return .entrypoint(try command(arguments))
        case .copy: return .copy(try copy(arguments, flags, range))
        case .add: return .add(try add(arguments, flags, range))
        case .env: return .env(try keyValues("ENV", arguments, range))
        case .label: return .label(try keyValues("LABEL", arguments, range))
        case .arg: return .arg(try declarations(arguments, range))
        case .workdir: return .workdir(try single("WORKDIR", arguments, range))
        case .user: return .user(try single("USER", arguments, range))
        case .stopsignal: return .stopsignal(try single("STOPSIGNAL", arguments, range))
        case .maintainer: return .maintainer(try single("MAINTAINER", arguments, range).text)
        case .expose:
            let words = line.blankSeparated(arguments).map { line.word($0) }
            if words.isEmpty { throw wrong("EXPOSE requires at least one argument", range) }
            return .expose(words)
        case .volume: return .volume(try volumes(arguments, range))
        case .shell: return .shell(try shell(arguments, range))
        case .healthcheck: return .healthcheck(try healthcheck(arguments, flags, range))
        case .onbuild: return .onbuild(try onbuild(arguments, range))
        }
    }

    // MARK: Argument forms

    private func single(_ name: String, _ arguments: Range<Int>, _ range: Range<Int>) throws(Diagnostic) -> Word {
        if arguments.isEmpty { throw wrong("\(name) requires exactly one argument", range) }
        return line.word(arguments)
    }

    /// The elements of the JSON form, nil when the arguments are not in JSON form.
    func jsonStrings(_ arguments: Range<Int>) throws(Diagnostic) -> [Word]? {
        switch JSONStringArray.parse(line.bytes[arguments]) {
        case .strings(let elements): return elements.map { Word($0.text, range: line.sourceRange($0.range)) }
        case .notJSON: return nil
        case .notOnlyStrings:
            throw wrong(
                "when using JSON array syntax, arrays must be comprised of strings only",
                arguments,
                nextStep: "put every element in double quotes"
            )
        }
    }

    func command(_ arguments: Range<Int>) throws(Diagnostic) -> CommandForm {
        if let strings = try jsonStrings(arguments) { return .exec(strings.map(\.text)) }
        return .shell(line.text(arguments))
    }

    func listOrWords(_ arguments: Range<Int>) throws(Diagnostic) -> [Word] {
        if let strings = try jsonStrings(arguments) { return strings }
        return line.blankSeparated(arguments).map { line.word($0) }
    }

    private func keyValues(
        _ name: String,
        _ arguments: Range<Int>,
        _ range: Range<Int>,
        isTrigger: Bool = false
    ) throws(Diagnostic) -> KeyValueInstruction {
        let words = line.quotedWords(arguments, escape: escape)
        if isTrigger, words.isEmpty { return KeyValueInstruction(pairs: []) }
        guard let first = words.first else { throw wrong("\(name) requires at least one argument", range) }
        guard line.bytes[first].contains(UInt8(ascii: "=")) else { return try legacyPair(name, arguments) }
        var pairs: [KeyValueInstruction.Pair] = []
        for word in words {
            guard let sign = line.bytes[word].firstIndex(of: UInt8(ascii: "=")) else {
                throw wrong(
                    "Syntax error - can't find = in \(goQuoted(line.text(word))). Must be of the form: name=value",
                    word,
                    nextStep: "quote the value when it has blanks"
                )
            }
            if sign == word.lowerBound, !isTrigger { throw wrong("\(name) names can not be blank", word) }
            pairs.append(
                .init(key: line.word(word.lowerBound..<sign), value: line.word(sign + 1..<word.upperBound))
            )
        }
        return KeyValueInstruction(pairs: pairs)
    }

    /// `key rest of the line`.
    private func legacyPair(_ name: String, _ arguments: Range<Int>) throws(Diagnostic) -> KeyValueInstruction {
        let bytes = line.bytes[arguments]
        guard let blank = bytes.firstIndex(where: isBlank),
            let value = bytes[blank...].firstIndex(where: { !isBlank($0) })
        else { throw wrong("\(name) must have two arguments", arguments, nextStep: "write \(name) key=value") }
        let pair = KeyValueInstruction.Pair(
            key: line.word(arguments.lowerBound..<blank),
            value: line.word(value..<arguments.upperBound)
        )
        return KeyValueInstruction(pairs: [pair], isLegacyForm: true)
    }

    private func declarations(_ arguments: Range<Int>, _ range: Range<Int>) throws(Diagnostic) -> [ArgDeclaration] {
        var declarations: [ArgDeclaration] = []
        for word in line.quotedWords(arguments, escape: escape) {
            let sign = line.bytes[word].firstIndex(of: UInt8(ascii: "="))
            if sign == word.lowerBound { throw wrong("ARG names can not be blank", word) }
            let name = line.word(word.lowerBound..<(sign ?? word.upperBound))
            declarations.append(
                ArgDeclaration(
                    name: name,
                    defaultValue: sign.map { line.word($0 + 1..<word.upperBound) },
                    docComment: StageSyntax.description(of: name.text, in: docComment)
                )
            )
        }
        if declarations.isEmpty { throw wrong("ARG requires at least one argument", range) }
        return declarations
    }

    // MARK: ONBUILD

    private func onbuild(_ arguments: Range<Int>, _ range: Range<Int>) throws(Diagnostic) -> OnBuildInstruction {
        if arguments.isEmpty { throw wrong("ONBUILD requires at least one argument", range) }
        let head = InstructionHead(line, arguments, escape: escape)
        if let keyword = Keyword(spelledLike: line.text(line.trimming(head.keyword))),
            [.onbuild, .from, .maintainer].contains(keyword)
        {
            throw Self.forbiddenTrigger(keyword, range: line.sourceRange(head.keyword))
        }
        // Everything behind the keyword, flags and blanks at the end included.
        let start = line.bytes[range.lowerBound...].firstIndex(where: isBlank) ?? arguments.lowerBound
        let expression = line.bytes[start...].drop { isBlank($0) && $0 != 0x0B }
        let text = heredocs.reduce(String(decoding: expression, as: UTF8.self)) { "\($0)\n\($1.rawContent)\($1.name)" }
        if expression.starts(with: "--".utf8) {
            // The `--` that ends the flags of ONBUILD is stored with the trigger, which makes it none.
            let problem = Diagnostic(.unknownInstruction, "unknown instruction: --", range: line.sourceRange(arguments))
            return OnBuildInstruction(text: text, instruction: nil, problem: problem)
        }
        do {
            var nested = self
            return OnBuildInstruction(text: text, instruction: try nested.instruction(head, arguments))
        } catch {
            try checkForm(Keyword(spelledLike: line.text(head.keyword)), head)
            return OnBuildInstruction(text: text, instruction: nil, problem: error)
        }
    }

    /// What BuildKit checks of an ONBUILD trigger before somebody builds on the image.
    private func checkForm(_ keyword: Keyword?, _ head: InstructionHead) throws(Diagnostic) {
        switch keyword {
        case .run, .cmd, .entrypoint, .shell, .add, .copy, .volume: _ = try jsonStrings(head.arguments)
        case .env, .label: _ = try keyValues(keyword?.rawValue ?? "", head.arguments, head.arguments, isTrigger: true)
        case .healthcheck:
            guard let type = line.blankSeparated(head.arguments).first else { return }
            _ = try jsonStrings(line.trimming(type.upperBound..<head.arguments.upperBound))
        default: break
        }
    }

    static func forbiddenTrigger(_ keyword: Keyword, range: SourceRange) -> Diagnostic {
        let message =
            keyword == .onbuild
            ? "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"
            : "\(keyword.rawValue) isn't allowed as an ONBUILD trigger"
        return Diagnostic(.invalidTrigger, message, range: range)
    }

    /// Whether the line can open heredocs: RUN, COPY or ADD, also behind ONBUILD, not in JSON form.
    static func canHaveHeredocs(_ line: LogicalLine, _ head: InstructionHead, escape: UInt8) -> Bool {
        var head = head
        var keyword = Keyword(spelledLike: line.text(head.keyword))
        if keyword == .onbuild {
            head = InstructionHead(line, head.arguments, escape: escape)
            keyword = Keyword(spelledLike: line.text(head.keyword))
        }
        guard let keyword, [.run, .copy, .add].contains(keyword) else { return false }
        guard zip(line.bytes, line.bytes.dropFirst()).contains(where: { $0 == 0x3C && $1 == 0x3C }) else {
            return false
        }
        if case .strings = JSONStringArray.parse(line.bytes[head.arguments]) { return false }
        return true
    }
}
