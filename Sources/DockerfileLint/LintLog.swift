// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax

/// Collects violations of the rules that are on.
struct LintLog {
    /// Of the file; an instruction's own comment may add to them.
    let settings: LintSettings
    private(set) var warnings: [LintWarning] = []
    /// How many there are beyond those that are kept.
    private(set) var omitted = 0

    /// Nobody reads more, and each is printed with its instruction, which may be as long as the file.
    private static let kept = 1000

    init(_ options: CheckOptions) { settings = LintSettings(options) }

    /// Reports with the settings of the file, or those of one instruction.
    mutating func report(
        _ rule: LintRule,
        _ message: String,
        at lines: ClosedRange<Int>?,
        _ local: LintSettings? = nil
    ) {
        guard (local ?? settings).allows(rule) else { return }
        guard warnings.count < Self.kept else {
            omitted += 1
            return
        }
        warnings.append(LintWarning(rule, message, lines: lines))
    }

    /// The likeliest of `candidates`, when a look at them is worth it.
    func suggestion(for name: String, among candidates: [String]) -> String? {
        guard omitted == 0, candidates.count <= Self.mostCandidates else { return nil }
        return suggest(name, among: candidates, caseSensitive: true)
    }

    private static let mostCandidates = 5000

    /// The violations in the order of their lines; those of one line in the order in which they were found.
    var sorted: [LintWarning] {
        warnings.enumerated()
            .sorted { a, b in
                let lines = (a.element.lines?.lowerBound ?? 0, b.element.lines?.lowerBound ?? 0)
                return lines.0 == lines.1 ? a.offset < b.offset : lines.0 < lines.1
            }
            .map(\.element)
    }

    /// What is said when violations count as errors.
    var failure: LintFailure? {
        guard !warnings.isEmpty else { return nil }
        let names = Set(warnings.map(\.rule.name)).sorted()
        return LintFailure("lint violation found for rules: \(names.joined(separator: ", "))")
    }
}
