// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Why a step failed.
public struct BuildOpsError: Error, Sendable, CustomStringConvertible {
    public struct Code: Hashable, Sendable {
        private enum Value {
            case sourceMissing, sourceIgnored, wildcardUnmatched, conflict, unknownUser, commandFailed,
                contextUnreadable
            case invalidRequest, notProvided
        }
        private let value: Value

        public static let sourceMissing = Code(value: .sourceMissing)
        public static let sourceIgnored = Code(value: .sourceIgnored)
        public static let wildcardUnmatched = Code(value: .wildcardUnmatched)
        /// What is copied does not fit what is there.
        public static let conflict = Code(value: .conflict)
        public static let unknownUser = Code(value: .unknownUser)
        public static let commandFailed = Code(value: .commandFailed)
        public static let contextUnreadable = Code(value: .contextUnreadable)
        public static let invalidRequest = Code(value: .invalidRequest)
        /// A secret or an SSH agent that a step requires is not in the request.
        public static let notProvided = Code(value: .notProvided)
    }

    public let code: Code
    public let message: String
    /// What the user can do.
    public let nextStep: String?
    /// For a command that ran: the code that Galley exits with.
    public let exitCode: Int32?

    public init(_ code: Code, _ message: String, nextStep: String? = nil, exitCode: Int32? = nil) {
        self.code = code
        self.message = message
        self.nextStep = nextStep
        self.exitCode = exitCode
    }

    public var description: String { message }
}
