// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// What is wrong with a value of the OCI or Docker formats.
public struct OCIError: Error, Sendable, CustomStringConvertible {
    public struct Code: Hashable, Sendable {
        private enum Value { case invalidDigest, invalidReference, invalidPlatform, invalidDocument, unsupported }
        private let value: Value

        public static let invalidDigest = Code(value: .invalidDigest)
        public static let invalidReference = Code(value: .invalidReference)
        public static let invalidPlatform = Code(value: .invalidPlatform)
        /// A manifest, index or config that cannot be read as one.
        public static let invalidDocument = Code(value: .invalidDocument)
        /// A valid document of a kind that Galley does not handle.
        public static let unsupported = Code(value: .unsupported)
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
