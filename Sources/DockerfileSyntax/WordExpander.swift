// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Where variables get their values.
public protocol VariableLookup {
    /// Nil when the variable is not set, which is not the same as set and empty.
    func value(of name: String) -> String?
}

extension [String: String]: VariableLookup {
    public func value(of name: String) -> String? { self[name] }
}

/// Why a word could not be expanded.
public struct ExpansionError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: Sendable {
        case unterminated
        case badSubstitution
        case unsupportedModifier
        /// `${name:?message}`.
        case requiredVariable
        case invalidPattern
        /// Nesting, work or output beyond what any honest file needs.
        case limit
    }

    public var code: Code
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}

/// A word with its variables replaced.
public struct Expansion: Hashable, Sendable {
    public var text: String
    /// The text split at unquoted blanks, blanks that came from variables included.
    public var words: [String]
    /// Names that were looked up and set.
    public var used: Set<String>
    /// Names that were looked up and not set.
    public var unset: Set<String>
}

/// Replaces variables in words as the Dockerfile reference says under "Environment replacement".
public struct WordExpander: Sendable {
    /// How quotes, escapes and unset variables are treated.
    public struct Mode: Hashable, Sendable {
        /// False for heredoc bodies: quotes are ordinary characters.
        public var processesQuotes: Bool
        /// Quotes stay in the result.
        public var keepsQuotes: Bool
        /// Escapes stay in the result.
        public var keepsEscapes: Bool
        /// Variables that are not set stay as written.
        public var keepsUnset: Bool

        public init(
            processesQuotes: Bool = true,
            keepsQuotes: Bool = false,
            keepsEscapes: Bool = false,
            keepsUnset: Bool = false
        ) {
            self.processesQuotes = processesQuotes
            self.keepsQuotes = keepsQuotes
            self.keepsEscapes = keepsEscapes
            self.keepsUnset = keepsUnset
        }

        /// Arguments of instructions.
        public static let word = Mode()
        /// Bodies of heredocs.
        public static let heredocBody = Mode(processesQuotes: false)
        /// What a step is called in the progress display.
        public static let display = Mode(keepsQuotes: true, keepsUnset: true)
    }

    public var escape: Character
    public var mode: Mode

    public init(escape: Character = "\\", mode: Mode = .word) {
        self.escape = escape
        self.mode = mode
    }

    /// The word with variables replaced and quotes removed.
    public func expand(_ word: String, environment: some VariableLookup) throws(ExpansionError) -> String {
        try expansion(of: word, environment: environment).text
    }

    /// As ``expand(_:environment:)``, then split at blanks that are not quoted.
    public func expandToWords(_ word: String, environment: some VariableLookup) throws(ExpansionError) -> [String] {
        try expansion(of: word, environment: environment).words
    }

    /// The expanded word and which names it asked for.
    public func expansion(of word: String, environment: some VariableLookup) throws(ExpansionError) -> Expansion {
        var scanner = WordScanner(word, escape: escape, mode: mode, environment: environment)
        return try scanner.expansion()
    }
}
