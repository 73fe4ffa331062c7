// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Solver

/// The warnings of a build, as they are listed after it. `expanded` adds their details and the page on the rule.
func warningSummary(_ state: DisplayState, expanded: Bool) -> String {
    guard state.warningCount > 0 else { return "" }
    let isLint = state.warnings.contains { !$0.rule.isEmpty }
    let hint = expanded ? ":" : " (galley build \(isLint ? "--check" : "--progress=plain") shows more):"
    let noun = state.warningCount == 1 ? "warning" : "warnings"
    var summary = "\n \(state.warningCount) \(noun) found\(hint)\n"
    for warning in state.warnings {
        summary += " - \(headline(warning))\n"
        guard expanded else { continue }
        for line in warning.detail { summary += "   \(LogText.name(line))\n" }
        if let url = warning.url { summary += "   More: \(LogText.name(url))\n" }
    }
    let left = state.warningCount - state.warnings.count
    if left > 0 { summary += " - and \(left) more\n" }
    return summary
}

/// A warning in one line: rule, message and place.
func headline(_ warning: BuildWarning) -> String {
    let rule = warning.rule.isEmpty ? "" : "\(warning.rule): "
    let place = warning.location.map { " (\($0))" } ?? ""
    return LogText.name(rule + warning.message + place)
}
