// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// What is wrong with an archive, or with placing one.
public struct ArchiveError: Error, Sendable, CustomStringConvertible {
    public struct Code: Hashable, Sendable {
        private enum Value {
            case malformed, truncated, tooLarge, unsupported, unsafePath, checksum, misuse, conflict, system, changed
        }
        private let value: Value

        /// The bytes do not follow the format.
        public static let malformed = Code(value: .malformed)
        /// The bytes end inside an entry, a block or a compressed frame.
        public static let truncated = Code(value: .truncated)
        /// A declared length is over a limit.
        public static let tooLarge = Code(value: .tooLarge)
        /// Well-formed, but of a kind that Galley does not handle.
        public static let unsupported = Code(value: .unsupported)
        /// A name that leads, or could lead, outside the tree.
        public static let unsafePath = Code(value: .unsafePath)
        /// A checksum in the data does not match it.
        public static let checksum = Code(value: .checksum)
        /// The caller broke the order or the sizes that it announced.
        public static let misuse = Code(value: .misuse)
        /// Two entries cannot both exist, such as a hard link to something that the layer removes.
        public static let conflict = Code(value: .conflict)
        /// A system call failed; the message names the entry, `cause` is the failure.
        public static let system = Code(value: .system)
        /// The tree changed while it was read.
        public static let changed = Code(value: .changed)
    }

    public let code: Code
    public let message: String
    /// Where in the input, in bytes from its start.
    public let offset: Int64?
    public let cause: (any Error)?

    public init(_ code: Code, _ message: String, offset: Int64? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.offset = offset
        self.cause = cause
    }

    public var description: String {
        var text = message
        if let offset { text += " (at byte \(offset))" }
        if let cause { text += ": \(cause)" }
        return text
    }

    func at(_ offset: Int64) -> ArchiveError {
        ArchiveError(code, message, offset: self.offset ?? offset, cause: cause)
    }
}
