// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax

/// Why one instruction cannot be lowered.
struct LoweringFailure: Error {
    var message: String
    /// Where in the Dockerfile; nil means the whole instruction.
    var range: SourceRange?
    var notes: [String] = []
    var nextStep: String?

    init(_ message: String, _ range: SourceRange? = nil, notes: [String] = [], nextStep: String? = nil) {
        self.message = message
        self.range = range
        self.notes = notes
        self.nextStep = nextStep
    }

    static func unsupported(_ what: String, _ range: SourceRange?, nextStep: String? = nil) -> LoweringFailure {
        LoweringFailure("\(what) is not supported yet", range, nextStep: nextStep)
    }
}

/// Gathers what is wrong, so that one run reports all of it.
struct DiagnosticCollector {
    /// Nobody reads more, and comparing them must stay cheap.
    static let limit = 100

    let source: SourceText
    private(set) var diagnostics: [Diagnostic] = []

    init(source: SourceText) { self.source = source }

    var isEmpty: Bool { diagnostics.isEmpty }

    mutating func report(_ failure: LoweringFailure, at fallback: SourceRange) {
        let diagnostic = Diagnostic(
            .semantic,
            failure.message,
            range: failure.range ?? fallback,
            notes: failure.notes,
            nextStep: failure.nextStep
        )
        if diagnostics.count < Self.limit, !diagnostics.contains(diagnostic) { diagnostics.append(diagnostic) }
    }

    /// Runs `body` and reports what it throws; nil then.
    mutating func attempt<T>(at range: SourceRange, _ body: () throws(LoweringFailure) -> T) -> T? {
        do throws(LoweringFailure) {
            return try body()
        } catch {
            report(error, at: range)
            return nil
        }
    }

    func throwIfAny() throws(DockerfileDiagnostics) {
        guard !diagnostics.isEmpty else { return }
        let sorted = diagnostics.enumerated().sorted {
            ($0.element.range.start.offset, $0.offset) < ($1.element.range.start.offset, $1.offset)
        }
        throw DockerfileDiagnostics(sorted.map(\.element), source: source)
    }
}

/// `message (did you mean x?)` when a candidate is near.
func withSuggestion(_ message: String, for word: String, among candidates: [String]) -> String {
    guard !candidates.contains(word), let match = suggest(word, among: candidates) else { return message }
    return "\(message) (did you mean \(match)?)"
}
