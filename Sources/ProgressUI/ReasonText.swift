// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Solver

/// A reason as lines for people: what it is, and indented below what exactly changed.
func reasonLines(_ reason: StepReason) -> [String] {
    ["why: \(LogText.name(reason.summary))"] + reason.details.map { "     \(LogText.name($0))" }
}
