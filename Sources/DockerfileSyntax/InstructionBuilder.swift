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
        let flags = try FlagSet(head.flags, of: keyword, line: line)
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

    private func unknownInstruction(_ range: Range<Int>) -> Diagnostic {
        let text = line.text(range)
        let shown = text.count > 60 ? String(text.prefix(60)) + "..." : text
        let suggestion = suggest(text, among: Keyword.allCases.map(\.rawValue))
        var diagnostic = Diagnostic(
            .unknownInstruction,
            "unknown instruction: \(shown.uppercased())" + (suggestion.map { " (did you mean \($0)?)" } ?? ""),
            range: line.sourceRange(range)
        )
        if text.unicodeScalars.contains(where: { $0 == "\u{A0}" || $0.value >= 0x2000 && $0.value <= 0x200F }) {
            diagnostic.notes.append("there is a space in it that is not an ordinary blank (U+00A0 or the like)")
        }
        diagnostic.nextStep = suggestion.map { "did you mean \($0)?" }
        return diagnostic
    }

    private func wrong(_ message: String, _ range: Range<Int>, nextStep: String? = nil) -> Diagnostic {
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
    private func jsonStrings(_ arguments: Range<Int>) throws(Diagnostic) -> [Word]? {
        switch JSONStringArray.parse(line.bytes[arguments]) {
        case .strings(let elements): return elements.map { Word($0.text, range: line.sourceRange($0.range)) }
        case .notJSON: return nil
        case .notOnlyStrings:
            throw wrong(
                "when using JSON array syntax, arrays must be comprised of strings only.",
                arguments,
                nextStep: "put every element in double quotes"
            )
        }
    }

    private func command(_ arguments: Range<Int>) throws(Diagnostic) -> CommandForm {
        if let strings = try jsonStrings(arguments) { return .exec(strings.map(\.text)) }
        return .shell(line.text(arguments))
    }

    private func listOrWords(_ arguments: Range<Int>) throws(Diagnostic) -> [Word] {
        if let strings = try jsonStrings(arguments) { return strings }
        return line.blankSeparated(arguments).map { line.word($0) }
    }

    private func keyValues(
        _ name: String,
        _ arguments: Range<Int>,
        _ range: Range<Int>
    ) throws(Diagnostic) -> KeyValueInstruction {
        let words = line.quotedWords(arguments, escape: escape)
        guard let first = words.first else { throw wrong("\(name) requires at least one argument", range) }
        guard line.bytes[first].contains(UInt8(ascii: "=")) else { return try legacyPair(name, arguments) }
        var pairs: [KeyValueInstruction.Pair] = []
        for word in words {
            guard let sign = line.bytes[word].firstIndex(of: UInt8(ascii: "=")) else {
                throw wrong(
                    "Syntax error - can't find = in \"\(line.text(word))\". Must be of the form: name=value",
                    word,
                    nextStep: "quote the value when it has blanks"
                )
            }
            if sign == word.lowerBound { throw wrong("\(name) names can not be blank", word) }
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

    // MARK: Instructions

    private func from(
        _ arguments: Range<Int>,
        _ flags: FlagSet,
        _ range: Range<Int>
    ) throws(Diagnostic) -> FromInstruction {
        let words = line.blankSeparated(arguments).map { line.word($0) }
        let isNamed = words.count == 3 && words[1].text.lowercased() == "as"
        guard words.count == 1 || isNamed else {
            throw wrong("FROM requires either one or three arguments", range, nextStep: "write FROM image [AS name]")
        }
        if isNamed, !Self.isStageName(words[2].text) {
            throw Diagnostic(
                .invalidStageName,
                "invalid name for build stage: \"\(words[2].text)\", name can't start with a number or contain symbols",
                range: words[2].range,
                nextStep: "use letters, digits, '-', '_' and '.', a letter first"
            )
        }
        return FromInstruction(
            image: words[0],
            platform: flags["platform"],
            name: isNamed ? words[2] : nil,
            asKeyword: isNamed ? words[1] : nil
        )
    }

    private static func isStageName(_ text: String) -> Bool {
        func isLetter(_ byte: UInt8) -> Bool { byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A }
        guard let first = text.utf8.first, isLetter(first) else { return false }
        return text.utf8.allSatisfy { isLetter($0) || $0 >= 0x30 && $0 <= 0x39 || "-_.".utf8.contains($0) }
    }

    private func run(
        _ arguments: Range<Int>,
        _ flags: FlagSet,
        _ range: Range<Int>
    ) throws(Diagnostic) -> RunInstruction {
        let command = try command(arguments)
        if command == .exec([]) || command == .shell("") {
            throw wrong("RUN requires at least one argument", range)
        }
        var mounts: [MountSpec] = []
        for word in flags.words("mount") { mounts.append(try MountSpec(word, line: line)) }
        if let network = flags["network"], !["default", "none", "host"].contains(network.text) {
            throw Diagnostic(
                .invalidFlagValue,
                "unsupported network mode \"\(network.text)\"",
                range: network.range,
                nextStep: "use default, none or host"
            )
        }
        if let security = flags["security"], !["sandbox", "insecure"].contains(security.text) {
            throw Diagnostic(
                .invalidFlagValue,
                "security \"\(security.text)\" is not valid",
                range: security.range,
                nextStep: "use sandbox or insecure"
            )
        }
        return RunInstruction(
            command: command,
            heredocs: heredocs,
            mounts: mounts,
            network: flags["network"],
            security: flags["security"],
            devices: flags.all("device")
        )
    }

    private func copy(
        _ arguments: Range<Int>,
        _ flags: FlagSet,
        _ range: Range<Int>
    ) throws(Diagnostic) -> CopyInstruction {
        let (sources, destination) = try sourcesAndDestination("COPY", arguments, range)
        return CopyInstruction(
            sources: sources,
            destination: destination,
            from: flags["from"],
            chown: flags["chown"],
            chmod: flags["chmod"],
            link: flags.bool("link") ?? false,
            parents: flags.bool("parents") ?? false,
            excludes: flags.all("exclude")
        )
    }

    private func add(
        _ arguments: Range<Int>,
        _ flags: FlagSet,
        _ range: Range<Int>
    ) throws(Diagnostic) -> AddInstruction {
        let (sources, destination) = try sourcesAndDestination("ADD", arguments, range)
        return AddInstruction(
            sources: sources,
            destination: destination,
            chown: flags["chown"],
            chmod: flags["chmod"],
            link: flags.bool("link") ?? false,
            excludes: flags.all("exclude"),
            checksum: flags["checksum"],
            keepGitDir: flags.bool("keep-git-dir"),
            unpack: flags.bool("unpack")
        )
    }

    private func sourcesAndDestination(
        _ name: String,
        _ arguments: Range<Int>,
        _ range: Range<Int>
    ) throws(Diagnostic) -> ([CopySource], Word) {
        var words = try listOrWords(arguments)
        guard words.count > 1, let destination = words.popLast() else {
            throw wrong(
                "\(name) requires at least two arguments"
                    + (words.isEmpty ? "" : ", but only one was provided. Destination could not be determined"),
                range
            )
        }
        if !heredocs.isEmpty, Heredoc.Marker(word: destination.text) != nil {
            throw Diagnostic(
                .invalidHeredoc,
                "\(name) cannot accept a heredoc as a destination",
                range: destination.range
            )
        }
        var sources: [CopySource] = []
        var next = 0
        for word in words {
            if next < heredocs.count, Heredoc.Marker(word: word.text)?.name == heredocs[next].name {
                sources.append(.heredoc(heredocs[next]))
                next += 1
            } else {
                sources.append(.path(word))
            }
        }
        // A delimiter with quoted blanks opens a heredoc, but its pieces are no source words.
        if next < heredocs.count {
            throw Diagnostic(
                .invalidHeredoc,
                "\(name) cannot use \(heredocs[next].name) as the name of a heredoc",
                range: heredocs[next].range,
                nextStep: "use a name without blanks"
            )
        }
        return (sources, destination)
    }

    private func volumes(_ arguments: Range<Int>, _ range: Range<Int>) throws(Diagnostic) -> [Word] {
        let words = try listOrWords(arguments)
        if words.isEmpty { throw wrong("VOLUME requires at least one argument", range) }
        for word in words where trimmingSpace(word.text.utf8).isEmpty {
            throw Diagnostic(.wrongArguments, "VOLUME specified can not be an empty string", range: word.range)
        }
        return words
    }

    private func shell(_ arguments: Range<Int>, _ range: Range<Int>) throws(Diagnostic) -> [String] {
        if arguments.isEmpty { throw wrong("SHELL requires at least one argument", range) }
        guard let strings = try jsonStrings(arguments) else {
            throw wrong(
                "SHELL requires the arguments to be in JSON form",
                arguments,
                nextStep: "write SHELL [\"executable\", \"parameter\"]"
            )
        }
        if strings.isEmpty { throw wrong("SHELL requires at least one argument", range) }
        return strings.map(\.text)
    }

    private func healthcheck(
        _ arguments: Range<Int>,
        _ flags: FlagSet,
        _ range: Range<Int>
    ) throws(Diagnostic) -> HealthcheckInstruction {
        guard let type = line.blankSeparated(arguments).first else {
            throw wrong("HEALTHCHECK requires at least one argument", range)
        }
        let rest = line.trimming(type.upperBound..<arguments.upperBound)
        switch line.text(type).uppercased() {
        case "NONE":
            guard rest.isEmpty else { throw wrong("HEALTHCHECK NONE takes no arguments", rest) }
            return .none
        case "CMD":
            let command = try command(rest)
            if command == .exec([]) || command == .shell("") {
                throw wrong("Missing command after HEALTHCHECK CMD", range)
            }
            return .check(
                .init(
                    command: command,
                    interval: try flags.duration("interval"),
                    timeout: try flags.duration("timeout"),
                    startPeriod: try flags.duration("start-period"),
                    startInterval: try flags.duration("start-interval"),
                    retries: try flags.count("retries")
                )
            )
        case let other:
            throw wrong("Unknown type \"\(other)\" in HEALTHCHECK (try CMD)", type)
        }
    }

    // MARK: ONBUILD

    private func onbuild(_ arguments: Range<Int>, _ range: Range<Int>) throws(Diagnostic) -> OnBuildInstruction {
        if arguments.isEmpty { throw wrong("ONBUILD requires at least one argument", range) }
        let head = InstructionHead(line, arguments)
        if let keyword = Keyword(spelledLike: line.text(head.keyword)),
            [.onbuild, .from, .maintainer].contains(keyword)
        {
            throw Self.forbiddenTrigger(keyword, range: line.sourceRange(head.keyword))
        }
        var nested = self
        let instruction = try nested.instruction(head, arguments)
        let text = heredocs.reduce(line.text(arguments)) { "\($0)\n\($1.rawContent)\($1.name)" }
        return OnBuildInstruction(text: text, instruction: instruction)
    }

    static func forbiddenTrigger(_ keyword: Keyword, range: SourceRange) -> Diagnostic {
        let message =
            keyword == .onbuild
            ? "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"
            : "\(keyword.rawValue) isn't allowed as an ONBUILD trigger"
        return Diagnostic(.invalidTrigger, message, range: range)
    }

    /// Whether the line can open heredocs: RUN, COPY or ADD, also behind ONBUILD, not in JSON form.
    static func canHaveHeredocs(_ line: LogicalLine, _ head: InstructionHead) -> Bool {
        var head = head
        var keyword = Keyword(spelledLike: line.text(head.keyword))
        if keyword == .onbuild {
            head = InstructionHead(line, head.arguments)
            keyword = Keyword(spelledLike: line.text(head.keyword))
        }
        guard let keyword, [.run, .copy, .add].contains(keyword) else { return false }
        let arguments = line.bytes[head.arguments]
        guard zip(arguments, arguments.dropFirst()).contains(where: { $0 == 0x3C && $1 == 0x3C }) else { return false }
        if case .strings = JSONStringArray.parse(arguments) { return false }
        return true
    }
}
