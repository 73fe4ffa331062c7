// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// Why the store cannot do what was asked.
public struct ContentError: Error, Sendable, CustomStringConvertible {
    public struct Code: Hashable, Sendable {
        private enum Value { case notFound, digestMismatch, sizeMismatch, database, newerStore, unusableRoot, diskFull }
        private let value: Value

        public static let notFound = Code(value: .notFound)
        public static let digestMismatch = Code(value: .digestMismatch)
        public static let sizeMismatch = Code(value: .sizeMismatch)
        public static let database = Code(value: .database)
        public static let newerStore = Code(value: .newerStore)
        /// The root directory cannot be made or written.
        public static let unusableRoot = Code(value: .unusableRoot)
        public static let diskFull = Code(value: .diskFull)
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

    /// A row of `galley.db` that does not say what it has to.
    public static func damagedRow(_ what: String) -> ContentError {
        ContentError(
            .database,
            "what the store has recorded \(what) is damaged",
            nextStep: "run galley doctor, which repairs the store and says what was lost"
        )
    }

    static func database(_ error: SQLiteError, path: String) -> ContentError {
        if error.isDiskFull {
            return ContentError(
                .diskFull,
                "the disk that holds \(path) is full",
                nextStep: "free space there, or run: galley prune"
            )
        }
        return ContentError(
            .database,
            "\(path): \(error)",
            nextStep: error.isAccess ? nil : "run galley doctor, which repairs the store and says what was lost"
        )
    }

    public var description: String { nextStep.map { "\(message)\n\($0)" } ?? message }
}
