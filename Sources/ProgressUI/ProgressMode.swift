// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// How a build is shown: the values of `--progress`.
public enum ProgressMode: String, Sendable, Hashable, CaseIterable {
    /// `tty` where there is a terminal that can move its cursor, else `plain`.
    case auto
    case tty
    case plain
    case rawjson
    case quiet

    /// What this mode means for an output: never `auto`, and never `tty` without a terminal.
    public func resolved(isTerminal: Bool, terminalName: String?) -> ProgressMode {
        switch self {
        case .auto: isTerminal && terminalName != "dumb" && terminalName?.isEmpty == false ? .tty : .plain
        case .tty: isTerminal ? .tty : .plain
        case .plain, .rawjson, .quiet: self
        }
    }
}
