// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

extension InstructionBuilder {
    func from(
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
                "invalid name for build stage: \(goQuoted(words[2].text)), name can't start with a number or contain symbols",
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

    func run(
        _ arguments: Range<Int>,
        _ flags: FlagSet,
        _ range: Range<Int>
    ) throws(Diagnostic) -> RunInstruction {
        let command = try command(arguments)
        if command == .exec([]) { throw wrong("arguments are required", range, nextStep: "name a program to run") }
        var mounts: [MountSpec] = []
        for word in flags.words("mount") { mounts.append(try MountSpec(word, line: line)) }
        if let network = flags["network"], !["default", "none", "host"].contains(network.text) {
            throw Diagnostic(
                .invalidFlagValue,
                "invalid network mode \"\(network.text)\"",
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

    func copy(
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

    func add(
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
        if Heredoc.Marker(word: destination.text) != nil {
            throw Diagnostic(
                .invalidHeredoc,
                "\(name) cannot accept a heredoc as a destination",
                range: destination.range
            )
        }
        let sources = words.map(source)
        // A delimiter with blanks opens a heredoc, but its pieces are no source words.
        let names = Set(sources.heredocs.map(\.name))
        if let lost = heredocs.first(where: { !names.contains($0.name) }) {
            throw Diagnostic(
                .invalidHeredoc,
                "\(name) cannot accept a heredoc with a blank in its word",
                range: lost.range,
                nextStep: "write <<NAME without blanks"
            )
        }
        return (sources, destination)
    }

    /// A path, or the heredoc that a word names.
    private func source(_ word: Word) -> CopySource {
        guard let marker = Heredoc.Marker(word: word.text) else { return .path(word) }
        // Of several with one name the last counts; in JSON form there is no body, so the file is empty.
        let opened = heredocs.last { $0.name == marker.name }
        return .heredoc(
            Heredoc(
                name: marker.name,
                fileDescriptor: marker.fileDescriptor,
                expands: marker.expands,
                stripsTabs: marker.stripsTabs,
                rawContent: opened?.rawContent ?? "",
                range: word.range,
                contentRange: opened?.contentRange ?? SourceRange(start: word.range.end, end: word.range.end)
            )
        )
    }

    func volumes(_ arguments: Range<Int>, _ range: Range<Int>) throws(Diagnostic) -> [Word] {
        let words = try listOrWords(arguments)
        if words.isEmpty { throw wrong("VOLUME requires at least one argument", range) }
        return try words.map { word throws(Diagnostic) in
            let path = String(decoding: trimmingSpace(word.text.utf8), as: UTF8.self)
            if path.isEmpty {
                throw Diagnostic(.wrongArguments, "VOLUME specified can not be an empty string", range: word.range)
            }
            return Word(path, range: word.range)
        }
    }

    func shell(_ arguments: Range<Int>, _ range: Range<Int>) throws(Diagnostic) -> [String] {
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

    func healthcheck(
        _ arguments: Range<Int>,
        _ flags: FlagSet,
        _ range: Range<Int>
    ) throws(Diagnostic) -> HealthcheckInstruction {
        guard let type = line.blankSeparated(arguments).first else {
            throw wrong("HEALTHCHECK requires at least one argument", range)
        }
        // Only blanks are dropped between the type and the command: Unicode's spaces belong to the command.
        let start = line.bytes[type.upperBound..<arguments.upperBound].firstIndex { !isBlank($0) }
        let rest = (start ?? arguments.upperBound)..<arguments.upperBound
        switch line.text(type).uppercased() {
        case "NONE":
            let isEmpty = try jsonStrings(rest)?.isEmpty ?? rest.isEmpty
            guard isEmpty else { throw wrong("HEALTHCHECK NONE takes no arguments", rest) }
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
            throw wrong("Unknown type \(goQuoted(other)) in HEALTHCHECK (try CMD)", type)
        }
    }
}
