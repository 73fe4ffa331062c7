// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Why a process could not be run. The command's own failure is a `ProcessExit`, never this.
public struct ExecutorError: Error, Sendable, CustomStringConvertible {
    public struct Code: Hashable, Sendable {
        private let name: String
        private init(_ name: String) { self.name = name }

        /// Neither crun nor runc is installed.
        public static let noRuntime = Code("noRuntime")
        /// The runtime refused or broke; nothing is known of the command.
        public static let runtimeFailed = Code("runtimeFailed")
        /// The image does not have the user or group.
        public static let unknownUser = Code("unknownUser")
        /// The specification asks for what does not exist or is not allowed.
        public static let invalidSpec = Code("invalidSpec")
        /// The seccomp profile of the host cannot be read or understood.
        public static let invalidSeccompProfile = Code("invalidSeccompProfile")
        /// The image's programs are for another kind of machine.
        public static let foreignArchitecture = Code("foreignArchitecture")
        /// The sandbox around the runtime could not be made.
        public static let sandboxFailed = Code("sandboxFailed")
    }

    public let code: Code
    public let message: String
    /// What the user can do about it.
    public let nextStep: String?
    public let cause: (any Error)?

    public init(_ code: Code, _ message: String, nextStep: String? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.nextStep = nextStep
        self.cause = cause
    }

    /// Message and cause, without the next step.
    public var description: String { cause.map { "\(message): \($0)" } ?? message }
}
