// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Why an image cannot be exported or loaded.
public struct ExportError: Error, Sendable, CustomStringConvertible {
    public struct Code: Hashable, Sendable {
        private enum Value { case badOption, destination, diskFull, layerChanged, incomplete, badArchive, unsupported }
        private let value: Value

        /// An `--output` that means nothing.
        public static let badOption = Code(value: .badOption)
        /// The destination cannot be written.
        public static let destination = Code(value: .destination)
        public static let diskFull = Code(value: .diskFull)
        /// A layer's archive is not the one that was recorded for it.
        public static let layerChanged = Code(value: .layerChanged)
        /// The store lacks a part of the image.
        public static let incomplete = Code(value: .incomplete)
        /// What should be loaded is not an image archive, or lies about what it holds.
        public static let badArchive = Code(value: .badArchive)
        public static let unsupported = Code(value: .unsupported)
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

    public var description: String { nextStep.map { "\(message)\n\($0)" } ?? message }
}
