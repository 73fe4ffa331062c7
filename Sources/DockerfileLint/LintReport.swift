// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import DockerfileSyntax

/// One violation of a rule.
public struct LintWarning: Hashable, Sendable {
    public var rule: LintRule
    /// What is wrong here, in BuildKit's words.
    public var message: String
    /// The lines of the instruction; nil when it stands in no file.
    public var lines: ClosedRange<Int>?

    public init(_ rule: LintRule, _ message: String, lines: ClosedRange<Int>?) {
        self.rule = rule
        self.message = message
        self.lines = lines
    }

    /// `Rule: message (line N)`, as build displays show it.
    public var shortText: String {
        "\(rule.name): \(message)" + (lines.map { " (line \($0.lowerBound))" } ?? "")
    }
}

/// Why a check fails as a whole.
public struct LintFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public var message: String
    public var lines: ClosedRange<Int>?

    public init(_ message: String, lines: ClosedRange<Int>? = nil) {
        self.message = message
        self.lines = lines
    }

    public var description: String { message }
}

/// What a check of one Dockerfile found.
public struct LintReport: Sendable {
    /// In the order of their first lines.
    public var warnings: [LintWarning]
    /// How many were found beyond those that are kept.
    public var omitted: Int
    /// What stopped the check, or that violations count as errors here; nil otherwise.
    public var failure: LintFailure?
    /// Images whose configs were asked for and not given, as named. Stages on top of them are not checked for
    /// undefined variables, because the image may define any.
    public var unknownImages: [String]
    public let source: SourceText

    public init(
        warnings: [LintWarning],
        omitted: Int = 0,
        failure: LintFailure? = nil,
        unknownImages: [String] = [],
        source: SourceText
    ) {
        self.warnings = warnings
        self.omitted = omitted
        self.failure = failure
        self.unknownImages = unknownImages
        self.source = source
    }

    /// What `check` exits with: 1 for any warning or failure.
    public var statusCode: Int32 { warnings.isEmpty && failure == nil ? 0 : 1 }
}
