// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A secret whose text never reaches a log, a message or a debugger's summary by accident.
public struct RedactedString: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    /// The secret itself.
    public let exposed: String

    public init(_ text: String) { exposed = text }

    public var description: String { "<redacted>" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
