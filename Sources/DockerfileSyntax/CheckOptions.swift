// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// The value of a `# check=` directive: `skip=<all|rules>;error=<bool>;experimental=<all|rules>`.
public struct CheckOptions: Hashable, Sendable {
    /// All rules, or those named.
    public enum Rules: Hashable, Sendable {
        case all
        case named([String])
    }

    public var skip: Rules = .named([])
    public var experimental: Rules = .named([])
    /// Whether a violation fails the build.
    public var isError = false

    public init() {}

    /// Throws a message for the user when an option is unknown or malformed.
    public init(parsing text: String) throws(CheckOptionsError) {
        guard !trimmingSpace(text.utf8).isEmpty else { return }
        for part in text.split(separator: ";", maxSplits: 2, omittingEmptySubsequences: false) {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2 else { throw CheckOptionsError(message: "invalid check option \"\(part)\"") }
            let value = String(decoding: trimmingSpace(pair[1].utf8), as: UTF8.self)
            switch String(decoding: trimmingSpace(pair[0].utf8), as: UTF8.self) {
            case "skip": skip = Self.rules(value)
            case "experimental": experimental = Self.rules(value)
            case "error":
                switch value {
                case "1", "t", "T", "true", "True", "TRUE": isError = true
                case "0", "f", "F", "false", "False", "FALSE": isError = false
                default:
                    throw CheckOptionsError(
                        message: "failed to parse check option \"\(part)\": \"\(value)\" is neither true nor false"
                    )
                }
            case let name: throw CheckOptionsError(message: "invalid check option \"\(name)\"")
            }
        }
    }

    private static func rules(_ value: String) -> Rules {
        if value == "all" { return .all }
        return .named(
            value.split(separator: ",").map { String(decoding: trimmingSpace($0.utf8), as: UTF8.self) }
                .filter { !$0.isEmpty }
        )
    }
}

/// Why a `check` directive was refused.
public struct CheckOptionsError: Error, Hashable, Sendable, CustomStringConvertible {
    public var message: String

    public var description: String { message }
}
