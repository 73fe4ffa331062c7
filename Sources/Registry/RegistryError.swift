// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Why a registry could not do what was asked.
///
/// `message` names the registry or repository and never holds a secret or a control character.
public struct RegistryError: Error, Sendable, CustomStringConvertible {
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        public let description: String

        /// The repository is there, but has no such tag or digest.
        public static let manifestNotFound = Code(description: "manifest not found")
        public static let repositoryNotFound = Code(description: "repository not found")
        public static let blobNotFound = Code(description: "blob not found")
        /// No credentials were given, or the registry refused those that were.
        public static let unauthorized = Code(description: "unauthorized")
        /// The registry knows who asks and says no.
        public static let denied = Code(description: "denied")
        /// No answer: name resolution, connection or time-out.
        public static let unreachable = Code(description: "unreachable")
        /// The registry answered over TLS, but its identity could not be verified, or the set-up of TLS is wrong.
        public static let tls = Code(description: "TLS failure")
        public static let digestMismatch = Code(description: "digest mismatch")
        /// A body that is shorter or longer than its descriptor says.
        public static let sizeMismatch = Code(description: "size mismatch")
        public static let rateLimited = Code(description: "rate limited")
        /// 5xx answers, after all attempts.
        public static let serverError = Code(description: "server error")
        /// An answer that the distribution specification does not allow.
        public static let invalidResponse = Code(description: "invalid response")
        /// Something that Galley does not handle, such as schema 1 manifests.
        public static let unsupported = Code(description: "unsupported")
        /// A document beyond the limit that Galley sets.
        public static let tooLarge = Code(description: "too large")
        /// Credentials could not be read or written: the configuration file or a credential helper.
        public static let credentialStore = Code(description: "credential store failure")
    }

    public let code: Code
    public let message: String
    public let cause: (any Error)?
    /// What the user can do about it.
    public let nextStep: String?

    public init(_ code: Code, _ message: String, cause: (any Error)? = nil, nextStep: String? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
        self.nextStep = nextStep
    }

    public var description: String { message }
}
