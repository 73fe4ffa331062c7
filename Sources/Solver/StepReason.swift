// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Why a step ran instead of being found.
public struct StepReason: Hashable, Sendable {
    /// What kind of reason it is: for programs, so it never changes its spelling.
    public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
        public let rawValue: String

        public init(rawValue: String) { self.rawValue = rawValue }
        public var description: String { rawValue }

        /// Nothing of the same Dockerfile and context was built before.
        public static let firstBuild = Code(rawValue: "first-build")
        /// It was built before, but for other platforms.
        public static let platformChanged = Code(rawValue: "platform-changed")
        /// The instruction stands where none stood before.
        public static let instructionAdded = Code(rawValue: "instruction-added")
        public static let instructionChanged = Code(rawValue: "instruction-changed")
        /// A variable that ARG declares has another value.
        public static let argumentChanged = Code(rawValue: "argument-changed")
        /// A variable that ENV or the base image sets has another value.
        public static let environmentChanged = Code(rawValue: "environment-changed")
        /// How a command is run: its user, directory, network and so on.
        public static let settingChanged = Code(rawValue: "setting-changed")
        /// Files that are copied from a build context.
        public static let filesChanged = Code(rawValue: "files-changed")
        public static let baseChanged = Code(rawValue: "base-changed")
        /// What a git repository or a web server has.
        public static let sourceChanged = Code(rawValue: "source-changed")
        /// Nothing changed, but only the other machine could tell.
        public static let sourceChecked = Code(rawValue: "source-checked")
        /// What a command sees at a mount.
        public static let mountChanged = Code(rawValue: "mount-changed")
        /// A step whose result is read made something else.
        public static let inputChanged = Code(rawValue: "input-changed")
        /// Everything is as it was, but the result was removed, or damaged.
        public static let recordGone = Code(rawValue: "record-gone")
        /// It was asked for.
        public static let noCache = Code(rawValue: "no-cache")
        /// No former build got past it.
        public static let neverSucceeded = Code(rawValue: "never-succeeded")
    }

    public var code: Code
    /// One line, like `ARG VERSION changed`.
    public var summary: String
    /// Further lines: what exactly changed. Bounded, however much did.
    public var details: [String]

    public init(_ code: Code, _ summary: String, details: [String] = []) {
        self.code = code
        self.summary = summary
        self.details = details
    }
}
