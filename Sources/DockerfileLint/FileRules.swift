// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax

/// The rules that need nothing but the text: spelling, comments, names.
enum FileRules {
    static func check(_ dockerfile: Dockerfile, _ log: inout LintLog) {
        checkContinuations(dockerfile, &log)
        for instruction in dockerfile.instructions { check(instruction, &log) }
        checkStageNames(dockerfile.stages, &log)
        checkCasing(dockerfile.stages, &log)
    }

    private static func checkContinuations(_ dockerfile: Dockerfile, _ log: inout LintLog) {
        var empty = dockerfile.emptyContinuationLines[...]
        for instruction in dockerfile.instructions {
            let lines = instruction.lineRange
            empty = empty.drop { $0 < lines.lowerBound }
            guard let first = empty.first, lines.contains(first) else { continue }
            // Heredocs follow the line that has the continuations.
            let last = instruction.heredocs.first.map { $0.contentRange.start.line - 1 } ?? lines.upperBound
            log.report(.noEmptyContinuation, "Empty continuation line", at: last...last)
        }
    }

    private static func check(_ instruction: Instruction, _ log: inout LintLog) {
        let settings = log.settings.merging(comment: instruction.docComment)
        let lines = instruction.lineRange
        switch instruction.kind {
        case .maintainer:
            log.report(
                .maintainerDeprecated,
                "Maintainer instruction is deprecated in favor of using label",
                at: lines,
                settings
            )
        case .from(let from):
            guard let name = from.name, let asKeyword = from.asKeyword?.text else { return }
            if name.text != name.text.lowercased() {
                log.report(.stageNameCasing, "Stage name '\(name.text)' should be lowercase", at: lines, settings)
            }
            let keyword = instruction.keywordText
            // A keyword in mixed case is the business of another rule.
            let isMismatch =
                keyword == keyword.lowercased()
                ? asKeyword != asKeyword.lowercased()
                : keyword == keyword.uppercased() && asKeyword != asKeyword.uppercased()
            if isMismatch {
                log.report(
                    .fromAsCasing,
                    "'\(asKeyword)' and '\(keyword)' keywords' casing do not match",
                    at: lines,
                    settings
                )
            }
            checkDescription(instruction, "FROM", [name.text.lowercased()], settings, &log)
        case .arg(let declarations):
            checkDescription(instruction, "ARG", declarations.map(\.name.text), settings, &log)
        default: break
        }
    }

    private static func checkDescription(
        _ instruction: Instruction,
        _ kind: String,
        _ names: [String],
        _ settings: LintSettings,
        _ log: inout LintLog
    ) {
        guard let comment = instruction.docComment?.split(separator: "\n").last, let first = names.first else { return }
        let word = comment.prefix { $0 != " " }
        guard !names.contains(where: { $0 == word }) else { return }
        let shown = names.count > 1 ? "<arg_key>" : first
        log.report(
            .invalidDefinitionDescription,
            "Comment for \(kind) should follow the format: `# \(shown) <description>`",
            at: instruction.lineRange,
            settings
        )
    }

    private static func checkStageNames(_ stages: [StageSyntax], _ log: inout LintLog) {
        var seen: Set<String> = []
        for stage in stages {
            guard let name = stage.name else { continue }
            let lines = stage.instruction.lineRange
            if name == "context" || name == "scratch" {
                log.report(
                    .reservedStageName,
                    "Stage name should not use the same name as reserved stage \"\(name)\"",
                    at: lines
                )
            }
            if !seen.insert(name).inserted {
                log.report(
                    .duplicateStageName,
                    "Duplicate stage name \(goQuoted(name)), stage names should be unique",
                    at: lines
                )
            }
        }
    }

    /// The ARG instructions before the first FROM neither count nor are reported.
    private static func checkCasing(_ stages: [StageSyntax], _ log: inout LintLog) {
        let instructions = stages.flatMap { [$0.instruction] + $0.instructions }
        let lower = instructions.count { $0.keywordText == $0.keywordText.lowercased() }
        let upper = instructions.count { $0.keywordText == $0.keywordText.uppercased() }
        let prefersLower = lower > upper
        for instruction in instructions {
            let text = instruction.keywordText
            guard text != (prefersLower ? text.lowercased() : text.uppercased()) else { continue }
            let wanted = prefersLower ? "lowercase" : "uppercase"
            log.report(
                .consistentInstructionCasing,
                "Command '\(text)' should match the case of the command majority (\(wanted))",
                at: instruction.lineRange
            )
        }
    }
}
