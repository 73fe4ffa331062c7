// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax

/// A Dockerfile as indented text: what the golden files hold.
struct Dump {
    private(set) var text = ""

    static func of(_ file: Dockerfile) -> String {
        var dump = Dump()
        dump.directives(file.directives)
        for comment in file.comments { dump.line(0, "comment \(quoted(comment.text)) @\(comment.range)") }
        if !file.emptyContinuationLines.isEmpty {
            dump.line(0, "empty continuation lines \(file.emptyContinuationLines)")
        }
        for instruction in file.globalArguments { dump.instruction(instruction, 0) }
        for stage in file.stages {
            dump.line(0, "stage \(stage.index)\(stage.name.map { " named \($0)" } ?? "") @\(stage.range)")
            if let comment = stage.docComment { dump.line(1, "description \(quoted(comment))") }
            dump.instruction(stage.instruction, 1)
            for instruction in stage.instructions { dump.instruction(instruction, 1) }
        }
        return dump.text
    }

    private mutating func line(_ depth: Int, _ content: String) {
        text += String(repeating: "  ", count: depth) + content + "\n"
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case "\r": result += "\\r"
            case _ where scalar.value < 0x20: result += "\\u{\(String(scalar.value, radix: 16))}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    private func word(_ word: Word) -> String { "\(Self.quoted(word.text)) @\(word.range)" }

    private mutating func field(_ depth: Int, _ name: String, _ value: Word?) {
        if let value { line(depth, "\(name) \(word(value))") }
    }

    private mutating func directives(_ directives: Directives) {
        field(0, "syntax", directives.syntax)
        field(0, "escape", directives.escape)
        field(0, "check", directives.check)
    }

    private mutating func instruction(_ instruction: Instruction, _ depth: Int) {
        line(depth, "\(instruction.keyword.rawValue) @\(instruction.range)")
        line(depth + 1, "original \(Self.quoted(instruction.original))")
        if instruction.keywordText != instruction.keyword.rawValue {
            line(depth + 1, "spelled \(instruction.keywordText)")
        }
        if let comment = instruction.docComment { line(depth + 1, "comment \(Self.quoted(comment))") }
        for flag in instruction.flags {
            line(depth + 1, "flag \(flag.name)\(flag.value.map { " = \(word($0))" } ?? "") in \(flag.range)")
        }
        kind(instruction.kind, depth + 1)
    }

    private mutating func kind(_ kind: InstructionKind, _ depth: Int) {
        switch kind {
        case .from(let from):
            field(depth, "image", from.image)
            field(depth, "platform", from.platform)
            field(depth, "as", from.asKeyword)
            field(depth, "name", from.name)
        case .run(let run): self.run(run, depth)
        case .cmd(let form), .entrypoint(let form): command(form, depth)
        case .copy(let copy):
            sources(copy.sources, copy.destination, depth)
            let switches = [copy.link ? "link" : nil, copy.parents ? "parents" : nil].compactMap(\.self)
            if !switches.isEmpty { line(depth, switches.joined(separator: " ")) }
        case .add(let add):
            sources(add.sources, add.destination, depth)
            if let keep = add.keepGitDir { line(depth, "keep-git-dir \(keep)") }
            if let unpack = add.unpack { line(depth, "unpack \(unpack)") }
        case .env(let pairs), .label(let pairs):
            if pairs.isLegacyForm { line(depth, "legacy form") }
            for pair in pairs.pairs { line(depth, "\(word(pair.key)) = \(word(pair.value))") }
        case .arg(let declarations):
            for declaration in declarations {
                line(depth, word(declaration.name) + (declaration.defaultValue.map { " = \(word($0))" } ?? ""))
                if let comment = declaration.docComment { line(depth + 1, "description \(Self.quoted(comment))") }
            }
        case .workdir(let value), .user(let value), .stopsignal(let value): line(depth, word(value))
        case .expose(let words), .volume(let words): for value in words { line(depth, word(value)) }
        case .shell(let strings): line(depth, "exec \(strings.map(Self.quoted).joined(separator: " "))")
        case .maintainer(let text): line(depth, Self.quoted(text))
        case .healthcheck(.none): line(depth, "none")
        case .healthcheck(.check(let check)):
            let times: [(String, Int64?)] = [
                ("interval", check.interval), ("timeout", check.timeout), ("start-period", check.startPeriod),
                ("start-interval", check.startInterval), ("retries", check.retries.map(Int64.init)),
            ]
            for (name, value) in times { if let value { line(depth, "\(name) \(value)") } }
            command(check.command, depth)
        case .onbuild(let onbuild):
            line(depth, "text \(Self.quoted(onbuild.text))")
            if let trigger = onbuild.instruction { instruction(trigger, depth) }
            if let problem = onbuild.problem { line(depth, "problem \(Self.quoted(problem.message))") }
        }
    }

    private mutating func command(_ form: CommandForm, _ depth: Int) {
        switch form {
        case .shell(let text): line(depth, "shell \(Self.quoted(text))")
        case .exec(let strings): line(depth, "exec" + strings.map { " " + Self.quoted($0) }.joined())
        }
    }

    private mutating func run(_ run: RunInstruction, _ depth: Int) {
        for mount in run.mounts {
            line(depth, "mount @\(mount.range)")
            for field in mount.fields {
                line(depth + 1, field.key + (field.value.map { " = \(word($0))" } ?? ""))
            }
        }
        command(run.command, depth)
        for heredoc in run.heredocs { self.heredoc(heredoc, depth) }
        if run.heredocs.isEmpty { return }
        switch run.script {
        case .shell(let text): line(depth, "script \(Self.quoted(text))")
        case .exec: line(depth, "script exec")
        case .file(let name, let content): line(depth, "script file \(name) \(Self.quoted(content))")
        }
    }

    private mutating func sources(_ sources: [CopySource], _ destination: Word, _ depth: Int) {
        for source in sources {
            switch source {
            case .path(let path): line(depth, "source \(word(path))")
            case .heredoc(let heredoc): self.heredoc(heredoc, depth)
            }
        }
        line(depth, "destination \(word(destination))")
    }

    private mutating func heredoc(_ heredoc: Heredoc, _ depth: Int) {
        let traits = [
            heredoc.fileDescriptor == 0 ? nil : "fd \(heredoc.fileDescriptor)", heredoc.expands ? nil : "literal",
            heredoc.stripsTabs ? "strips tabs" : nil,
        ].compactMap(\.self)
        let suffix = traits.isEmpty ? "" : " (\(traits.joined(separator: ", ")))"
        line(depth, "heredoc \(heredoc.name)\(suffix) @\(heredoc.range)")
        line(depth + 1, "body \(Self.quoted(heredoc.content)) @\(heredoc.contentRange)")
    }
}
