// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Why a pattern or an ignore file was refused.
public struct PatternError: Error, Hashable, Sendable, CustomStringConvertible {
    public var message: String
    /// The pattern as written.
    public var pattern: String
    /// The line in an ignore file.
    public var line: Int?

    public init(_ message: String, pattern: String, line: Int? = nil) {
        self.message = message
        self.pattern = pattern
        self.line = line
    }

    public var description: String {
        line.map { "line \($0): \(message)" } ?? message
    }
}
