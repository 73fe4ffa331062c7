// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Why a command cannot be carried out.
public struct BuilderError: Error, Sendable, CustomStringConvertible {
    public struct Code: Hashable, Sendable {
        private enum Value { case invalidRequest, notFound, ambiguous, configuration, unsupported, unavailable }
        private let value: Value

        /// The request itself is wrong.
        public static let invalidRequest = Code(value: .invalidRequest)
        /// No such image, context or file.
        public static let notFound = Code(value: .notFound)
        /// A short id that several images have.
        public static let ambiguous = Code(value: .ambiguous)
        /// galley.toml cannot be used.
        public static let configuration = Code(value: .configuration)
        public static let unsupported = Code(value: .unsupported)
        /// The machine lacks what is needed.
        public static let unavailable = Code(value: .unavailable)
    }

    public let code: Code
    public let message: String
    /// What the user can do.
    public let nextStep: String?

    public init(_ code: Code, _ message: String, nextStep: String? = nil) {
        self.code = code
        self.message = message
        self.nextStep = nextStep
    }

    public var description: String { message }
}

/// An error as it is shown: what happened, where, why, and what to do.
public struct UserFacingError: Error, Sendable, CustomStringConvertible {
    /// Where it happened: lines of the Dockerfile with a caret, ending in a line break.
    public let excerpt: String?
    /// What happened and why.
    public let description: String
    public let nextStep: String?
    /// What the program exits with.
    public let exitCode: Int32

    public init(_ description: String, nextStep: String? = nil, exitCode: Int32 = 1, excerpt: String? = nil) {
        self.excerpt = excerpt
        self.description = description
        self.nextStep = nextStep
        self.exitCode = exitCode
    }
}
