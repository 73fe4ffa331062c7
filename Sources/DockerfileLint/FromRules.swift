// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import OCI

/// The rules about FROM lines and the arguments in them. They look at every stage, whatever the target.
struct FromRules {
    let expander: WordExpander
    let globals: GlobalArguments
    let request: LintRequest

    func check(_ dockerfile: Dockerfile, _ log: inout LintLog) {
        checkDefaults(dockerfile, &log)
        let known = globals.known
        let candidates = known.sorted()
        for stage in dockerfile.stages { check(stage, known, candidates, &log) }
    }

    /// Base names as they are when no build argument is given.
    private func checkDefaults(_ dockerfile: Dockerfile, _ log: inout LintLog) {
        let defaults = GlobalArguments(
            dockerfile,
            automatic: Variables.automatic(request, lastStage: dockerfile.stages.last?.name),
            given: [:],
            expander: expander
        )
        // What is wrong with a default is an error of its own.
        guard defaults.isComplete else { return }
        for stage in dockerfile.stages {
            let word = stage.from.image.text
            guard let name = try? expander.expand(word, environment: defaults.variables) else { return }
            if (try? Reference(name)) != nil { continue }
            log.report(
                .invalidDefaultArgInFrom,
                "Default value for ARG \(word) results in empty or invalid base image name",
                at: stage.instruction.lineRange
            )
        }
    }

    private func check(_ stage: StageSyntax, _ known: Set<String>, _ candidates: [String], _ log: inout LintLog) {
        let settings = log.settings.merging(comment: stage.instruction.docComment)
        let lines = stage.instruction.lineRange
        func reportUndeclared(_ names: Set<String>) {
            for name in names.subtracting(known).sorted() {
                let suggestion =
                    log.suggestion(for: name, among: candidates).map { " (did you mean \($0)?)" } ?? ""
                log.report(
                    .undefinedArgInFrom,
                    "FROM argument '\(name)' is not declared\(suggestion)",
                    at: lines,
                    settings
                )
            }
        }
        guard let image = try? expander.expansion(of: stage.from.image.text, environment: globals.variables) else {
            return
        }
        reportUndeclared(image.unset)
        guard let word = stage.from.platform,
            let platform = try? expander.expansion(of: word.text, environment: globals.variables)
        else { return }
        reportUndeclared(platform.unset)
        guard platform.unset.isEmpty else { return }
        if platform.used == ["TARGETPLATFORM"], platform.text == globals.variables.value(of: "TARGETPLATFORM") {
            log.report(
                .redundantTargetPlatform,
                "Setting platform to predefined \(word.text) in FROM is redundant as this is the default behavior",
                at: lines,
                settings
            )
        }
        if platform.used.isEmpty, let constant = try? Platform(platform.text) {
            let name = stage.name ?? ""
            guard !name.contains(constant.os), !name.contains(constant.architecture) else { return }
            log.report(
                .fromPlatformFlagConstDisallowed,
                "FROM --platform flag should not use constant value \(goQuoted(platform.text))",
                at: lines,
                settings
            )
        }
    }
}
