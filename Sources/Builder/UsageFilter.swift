// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Conditions on what takes space, as BuildKit and buildx write them: `type==regular`, `type=regular`,
/// `description~=apt`, `shared`, `inuse=false`, and `until=24h` or `unused-for=24h`; several with commas between them. All
/// must hold.
public struct UsageFilter: Hashable, Sendable {
    public enum Field: String, Hashable, Sendable, CaseIterable {
        case id, type, description, inuse, mutable, immutable, shared, `private`, parents

        var isFlag: Bool {
            switch self {
            case .inuse, .mutable, .immutable, .shared, .private: true
            case .id, .type, .description, .parents: false
            }
        }
    }

    public enum Comparison: String, Hashable, Sendable {
        case equal = "=="
        case notEqual = "!="
        /// A regular expression that is found somewhere.
        case matches = "~="
        /// As buildx: the start of a long id will do.
        case loose = "="
    }

    public struct Term: Hashable, Sendable {
        public var field: Field
        public var comparison: Comparison
        /// `true` or `false` of a flag.
        public var value: String
    }

    public var terms: [Term]
    /// Only what was not used for so many seconds.
    public var unusedFor: Int64?

    public init(terms: [Term] = []) { self.terms = terms }

    /// - Throws: `BuilderError`, which names what is known.
    public init(_ text: String) throws {
        terms = []
        var rest: Substring? = text[...]
        while let next = rest {
            let end: Substring
            if Self.ages.contains(Self.name(next)) {
                let age: Int64
                (age, end) = try Self.age(next, of: text)
                guard unusedFor == nil else {
                    throw BuilderError(
                        .invalidRequest,
                        "invalid filter '\(text)': the age is given twice",
                        nextStep: "give one of until and unused-for"
                    )
                }
                unusedFor = age
            } else {
                let term: Term
                (term, end) = try Self.term(next, of: text)
                terms.append(term)
            }
            // What follows a comma must be another one.
            rest = end.isEmpty ? nil : end.dropFirst()
        }
    }

    /// Whether a record fulfils everything. One matcher for many records: expressions are read once.
    ///
    /// - Parameter now: seconds since 1970.
    public func matcher(now: Int64) throws -> (UsageRecord) -> Bool {
        let tests = try terms.map(Self.test)
        let horizon = unusedFor.map { now - $0 }
        return { record in
            if let horizon, let last = record.lastUsedSeconds, last > horizon { return false }
            return tests.allSatisfy { $0(record) }
        }
    }

    // MARK: Matching

    private static func test(_ term: Term) throws -> (UsageRecord) -> Bool {
        let value = term.value
        if term.field.isFlag {
            let wanted = (value == "true") == (term.comparison != .notEqual)
            return { flag($0, term.field) == wanted }
        }
        switch term.comparison {
        case .equal: return { texts($0, term.field).contains(value) }
        case .notEqual: return { !texts($0, term.field).contains(value) }
        case .loose:
            let isStart = term.field == .id && value.utf8.count >= 6
            return { texts($0, term.field).contains { $0 == value || isStart && $0.hasPrefix(value) } }
        case .matches:
            let expression = try regex(value)
            return { texts($0, term.field).contains { $0.firstMatch(of: expression) != nil } }
        }
    }

    private static func regex(_ text: String) throws -> Regex<AnyRegexOutput> {
        do {
            return try Regex(text)
        } catch {
            throw BuilderError(
                .invalidRequest,
                "invalid filter: \"\(text)\" is not a regular expression",
                nextStep: "to compare text as it is, write == instead of ~="
            )
        }
    }

    private static func flag(_ record: UsageRecord, _ field: Field) -> Bool {
        switch field {
        case .inuse: record.isInUse
        case .mutable: record.isMutable
        case .immutable: !record.isMutable
        case .shared: record.isShared
        case .private: !record.isShared
        case .id, .type, .description, .parents: false
        }
    }

    private static func texts(_ record: UsageRecord, _ field: Field) -> [String] {
        switch field {
        case .id: [record.id]
        case .type: [record.kind.rawValue]
        case .description: [record.description]
        case .parents: record.parents
        case .inuse, .mutable, .immutable, .shared, .private: []
        }
    }

    // MARK: Reading

    private static let ages: Set<Substring> = ["until", "unused-for"]

    private static func name(_ text: Substring) -> Substring { text.prefix { $0.isLetter || $0 == "-" } }

    private static func age(_ text: Substring, of filter: String) throws -> (Int64, rest: Substring) {
        let rest = text.dropFirst(name(text).count)
        let (value, end) = rest.first == "=" ? try value(rest.dropFirst(), of: filter) : (String(rest), "")
        guard let seconds = durationSeconds(value) else {
            throw BuilderError(
                .invalidRequest,
                "invalid filter '\(filter)': \"\(value)\" is no length of time",
                nextStep: "write it like 24h, 90m or 7d"
            )
        }
        return (seconds, end)
    }

    /// The first condition, and what follows it: nothing, or a comma and more.
    private static func term(_ text: Substring, of filter: String) throws -> (Term, rest: Substring) {
        let name = name(text)
        // `parent` is what buildx shows and takes.
        guard let field = Field(rawValue: name == "parent" ? "parents" : String(name)) else {
            throw invalid(filter, name.isEmpty ? "it has no field" : "there is no field \"\(name)\"")
        }
        var rest = text[name.endIndex...]
        var comparison: Comparison?
        for symbol in [Comparison.equal, .notEqual, .matches, .loose] where rest.hasPrefix(symbol.rawValue) {
            comparison = symbol
            rest = rest.dropFirst(symbol.rawValue.count)
            break
        }
        guard let comparison else {
            guard field.isFlag, rest.isEmpty || rest.first == "," else {
                throw invalid(filter, "\(name) needs a value, like \(name)==\(field == .type ? "regular" : "text")")
            }
            return (Term(field: field, comparison: .equal, value: "true"), rest)
        }
        let (value, end) = try value(rest, of: filter)
        if field.isFlag, value != "true" && value != "false" || comparison == .matches {
            throw invalid(filter, "\(name) is true or false")
        }
        if field == .type, comparison != .matches, UsageRecord.Kind(rawValue: value) == nil {
            let known = UsageRecord.Kind.allCases.map(\.rawValue).sorted().joined(separator: ", ")
            throw BuilderError(
                .invalidRequest,
                "invalid filter '\(filter)': there is no type \"\(value)\"",
                nextStep: "known types: \(known)"
            )
        }
        if comparison == .matches { _ = try regex(value) }
        return (Term(field: field, comparison: comparison, value: value), end)
    }

    /// A value ends at a comma after which another condition begins; in quotes it may hold anything.
    private static func value(_ text: Substring, of filter: String) throws -> (String, rest: Substring) {
        if text.first == "\"" {
            let body = text.dropFirst()
            guard let end = body.firstIndex(of: "\"") else { throw invalid(filter, "a quotation mark is not closed") }
            let rest = body[body.index(after: end)...]
            guard rest.isEmpty || rest.first == "," else { throw invalid(filter, "a comma is missing after a value") }
            return (String(body[..<end]), rest)
        }
        var end = text.startIndex
        while let comma = text[end...].firstIndex(of: ",") {
            let after = text[text.index(after: comma)...]
            if beginsTerm(after) { return (String(text[..<comma]), text[comma...]) }
            end = text.index(after: comma)
        }
        return (String(text), "")
    }

    private static func beginsTerm(_ text: Substring) -> Bool {
        let name = name(text)
        guard name == "parent" || ages.contains(name) || Field(rawValue: String(name)) != nil else { return false }
        let rest = text[name.endIndex...]
        return rest.isEmpty || ["=", "!=", "~=", ","].contains { rest.hasPrefix($0) }
    }

    private static func invalid(_ filter: String, _ why: String) -> BuilderError {
        BuilderError(
            .invalidRequest,
            "invalid filter '\(filter)': \(why)",
            nextStep: "known: id=, type=, description=, parent= (with =, ==, != or ~=), "
                + "inuse, mutable, immutable, shared, private, until="
        )
    }
}
