// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax

/// Goes through the instructions of one stage: their variables, the rules that concern them, and what they change.
struct StageVisit {
    let request: LintRequest
    let expander: WordExpander
    let globals: GlobalArguments
    let ignored: IgnoredSources
    var state: StageState
    var outline: StageOutline
    var log: LintLog
    /// The instruction at hand.
    private var step: StageStep
    /// As they are for it.
    private var settings: LintSettings

    init(
        _ stage: MappedStage,
        _ evaluation: Evaluation,
        state: StageState,
        outline: StageOutline,
        log: LintLog
    ) {
        request = evaluation.request
        expander = evaluation.expander
        globals = evaluation.globals
        ignored = evaluation.ignored
        self.state = state
        self.outline = outline
        self.log = log
        step = StageStep(stage.syntax.instruction)
        settings = log.settings
    }

    /// The keyword as written, which messages repeat.
    private var keyword: String { step.instruction.keywordText }

    mutating func run(_ step: StageStep) {
        self.step = step
        settings = log.settings.merging(comment: step.comment)
        switch step.instruction.kind {
        case .env(let pairs): visitEnv(pairs)
        case .label(let pairs):
            for pair in pairs.pairs { _ = (expand(pair.key), expand(pair.value)) }
            if pairs.isLegacyForm { reportLegacyForm() }
        case .arg(let declarations): for declaration in declarations { visitArg(declaration) }
        case .copy(let copy): visitCopy(copy)
        case .add(let add): visitAdd(add)
        case .run(let run): visitRun(run)
        case .workdir(let path): visitWorkdir(expand(path))
        case .user(let word), .stopsignal(let word): _ = expand(word)
        case .volume(let words): for word in words { _ = expand(word) }
        case .expose(let words): for word in words { visitPort(word) }
        case .cmd(let form), .entrypoint(let form):
            reportRepetition()
            if case .shell = form, !state.hasShell {
                report(
                    .jsonArgsRecommended,
                    "JSON arguments recommended for \(keyword) to prevent unintended behavior related to OS signals"
                )
            }
        case .healthcheck: reportRepetition()
        case .shell(let arguments): state.hasShell = !arguments.isEmpty
        case .from, .maintainer, .onbuild: break
        }
    }

    private mutating func report(_ rule: LintRule, _ message: String) {
        log.report(rule, message, at: step.lines, settings)
    }

    // MARK: - Variables

    /// The word with its variables replaced; as written when it cannot be, which lowering reports.
    private mutating func expand(_ word: Word?) -> String {
        guard let word else { return "" }
        return expand(word.text, with: expander)
    }

    private mutating func expand(_ text: String, with expander: WordExpander) -> String {
        guard let expansion = try? expander.expansion(of: text, environment: state.variables) else { return text }
        reportUndefined(expansion.unset)
        return expansion.text
    }

    /// Names that have a meaning of their own without being variables.
    private static let pseudoArguments: Set<String> = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"]

    private mutating func reportUndefined(_ names: Set<String>) {
        guard state.knowsVariables else { return }
        for name in names.subtracting(state.declared).subtracting(Self.pseudoArguments).sorted() {
            let suggestion =
                log.suggestion(for: name, among: state.variables.names).map { " (did you mean $\($0)?)" } ?? ""
            report(.undefinedVar, "Usage of undefined variable '$\(name)'\(suggestion)")
        }
    }

    private mutating func visitEnv(_ instruction: KeyValueInstruction) {
        let pairs = instruction.pairs.map { pair in (key: expand(pair.key), value: expand(pair.value)) }
        for (key, value) in pairs {
            if instruction.isLegacyForm { reportLegacyForm() }
            reportSecret(key, in: "ENV")
            state.variables.set(key, value)
        }
    }

    private mutating func visitArg(_ declaration: ArgDeclaration) {
        let name = declaration.name.text
        reportSecret(name, in: "ARG")
        var value: String?
        var isInherited = false
        if let given = request.buildArguments[name] {
            value = given
        } else if let word = declaration.defaultValue {
            value = expand(word)
        } else if let global = globals.variables.value(of: name) {
            value = global
            isInherited = true
        }
        if let value, !Self.pseudoArguments.contains(name) { state.variables.set(name, value) }
        if !isInherited {
            outline.arguments[name] = ArgumentInfo(
                name: name,
                value: value ?? "",
                description: declaration.docComment,
                lines: step.lines,
                offset: declaration.name.range.start.offset
            )
        }
        outline.used.insert(name)
        state.declared.insert(name)
    }

    private mutating func reportSecret(_ name: String, in instruction: String) {
        guard SecretNames.suggestSecret(name) else { return }
        report(
            .secretsUsedInArgOrEnv,
            "Do not use ARG or ENV instructions for sensitive data (\(instruction) \(goQuoted(name)))"
        )
    }

    private mutating func reportLegacyForm() {
        report(
            .legacyKeyValueFormat,
            "\"\(keyword) key=value\" should be used instead of legacy \"\(keyword) key value\" format"
        )
    }

    // MARK: - Commands

    private mutating func reportRepetition() {
        // The earlier one is what has no effect, so the report points there.
        if let earlier = state.last[step.instruction.keyword] {
            log.report(
                .multipleInstructionsDisallowed,
                "Multiple \(keyword) instructions should not be used in the same stage because only the last one will "
                    + "be used",
                at: earlier,
                settings
            )
        }
        state.last[step.instruction.keyword] = step.lines
    }

    private mutating func visitRun(_ run: RunInstruction) {
        for mount in run.mounts {
            var fields: [String: String] = [:]
            for field in mount.fields {
                fields[field.key] = field.value.map { expand($0) } ?? "true"
            }
            outline.add(mount: fields, lines: step.lines, offset: mount.range.start.offset)
        }
    }

    private mutating func visitWorkdir(_ path: String) {
        // An absolute path in the base image does not count: it may change with the image.
        if !state.hasWorkdir, !path.hasPrefix("/") {
            report(
                .workdirRelativePath,
                "Relative workdir \(goQuoted(path)) can have unexpected results if the base image changes"
            )
        }
        state.hasWorkdir = true
    }

    private mutating func visitPort(_ word: Word) {
        guard let ports = try? expander.expandToWords(word.text, environment: state.variables) else { return }
        for port in ports {
            let parts = port.split(separator: ":", omittingEmptySubsequences: false)
            let pieces = (parts.last ?? "").split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            guard let number = pieces.first, !number.isEmpty else { continue }
            let proto = pieces.count > 1 ? pieces[1] : ""
            guard ["", "tcp", "udp", "sctp"].contains(proto.lowercased()) else { continue }
            if proto != proto.lowercased() {
                report(.exposeProtoCasing, "Defined protocol '\(port)' in EXPOSE instruction should be lowercase")
            }
            if parts.dropLast().contains(where: { !$0.isEmpty }) {
                report(
                    .exposeInvalidFormat,
                    "EXPOSE instruction should not define an IP address or host-port mapping, found '\(port)'"
                )
            }
        }
    }

    // MARK: - Files

    private mutating func visitCopy(_ copy: CopyInstruction) {
        _ = (expand(copy.chown), expand(copy.chmod))
        let sources = expandPaths(copy.sources)
        _ = expand(copy.destination)
        expandBodies(copy.heredocs)
        guard copy.from?.text.isEmpty ?? true else { return }
        reportIgnored(sources, by: "Copy")
    }

    private mutating func visitAdd(_ add: AddInstruction) {
        _ = (expand(add.chown), expand(add.chmod), expand(add.checksum))
        let sources = expandPaths(add.sources)
        _ = expand(add.destination)
        expandBodies(add.heredocs)
        reportIgnored(sources.filter { !$0.contains("://") && !$0.hasPrefix("git@") }, by: "Add")
    }

    private mutating func expandPaths(_ sources: [CopySource]) -> [String] {
        var paths: [String] = []
        for case .path(let word) in sources { paths.append(expand(word)) }
        return paths
    }

    private mutating func expandBodies(_ heredocs: [Heredoc]) {
        for heredoc in heredocs where heredoc.expands {
            _ = expand(heredoc.content, with: WordExpander(mode: .heredocBody))
        }
    }

    private mutating func reportIgnored(_ sources: [String], by verb: String) {
        for source in sources {
            guard let path = ignored.ignoredPath(source) else { continue }
            report(
                .copyIgnoredFile,
                "Attempting to \(verb) file \(goQuoted(path)) that is excluded by .dockerignore"
            )
        }
    }
}
