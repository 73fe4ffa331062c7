// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Decides which paths of a build context an ignore file leaves out.
///
/// A path is ignored when a pattern matches it or one of its parents; later patterns win over earlier ones, `!`
/// patterns bring back. Paths are relative to the context, with `/` between components.
public struct IgnoreMatcher: Sendable {
    private struct Rule {
        let program: GlobProgram
        let negates: Bool
    }

    /// Each pattern costs about a kilobyte.
    private static let mostPatterns = 100_000

    private let rules: [Rule]
    private let hasNegation: Bool

    public init(_ patterns: [String]) throws(PatternError) {
        guard patterns.count <= Self.mostPatterns else {
            throw PatternError("more than \(Self.mostPatterns) patterns", pattern: "")
        }
        var rules: [Rule] = []
        for written in patterns {
            let trimmed = trimmingSpace(written[...].utf8)
            if trimmed.isEmpty { continue }
            // As in BuildKit `!` belongs to the first component here; IgnoreFile has cleaned what follows it.
            var pattern = cleanedPath(String(decoding: trimmed, as: UTF8.self))
            let negates = pattern.utf8.first == UInt8(ascii: "!")
            if negates { pattern = String(decoding: pattern.utf8.dropFirst(), as: UTF8.self) }
            if pattern.isEmpty {
                throw PatternError("illegal exclusion pattern: \"!\"", pattern: written)
            }
            rules.append(Rule(program: try GlobProgram(pattern, knowsDoubleStar: true), negates: negates))
        }
        self.rules = rules
        hasNegation = rules.contains { $0.negates }
    }

    /// Whether nothing is ever ignored.
    public var isEmpty: Bool { rules.isEmpty }

    /// Whether the path is left out of the context.
    public func isIgnored(_ path: String) -> Bool {
        withPathBytes(path) { bytes, summary in lastMatch(bytes, summary) != nil }
    }

    /// True only when the directory is ignored and no pattern can bring back anything below it.
    public func canSkipDirectory(_ path: String) -> Bool {
        withPathBytes(path) { bytes, summary in
            guard let deciding = lastMatch(bytes, summary) else { return false }
            guard hasNegation else { return true }
            // Rules before the deciding one are overruled by it for everything below, too.
            return !rules[deciding...].contains {
                $0.negates && $0.program.canMatchBelow(bytes, isASCII: summary.isASCII)
            }
        }
    }

    /// The index of the rule that makes the path ignored, nil when it is not.
    private func lastMatch(_ path: UnsafeBufferPointer<UInt8>, _ summary: PathSummary) -> Int? {
        if path.isEmpty { return nil }
        var deciding: Int?
        for index in stride(from: rules.count - 1, through: 0, by: -1) {
            guard rules[index].program.matchesPathOrParent(path, isASCII: summary.isASCII, summary: summary) else {
                continue
            }
            if !rules[index].negates { deciding = index }
            break
        }
        return deciding
    }

    private func withPathBytes<R>(_ path: String, _ body: (UnsafeBufferPointer<UInt8>, PathSummary) -> R) -> R {
        var path = path
        return path.withUTF8 { bytes in
            var slice = bytes[...]
            while slice.first == UInt8(ascii: "/") { slice.removeFirst() }
            while slice.last == UInt8(ascii: "/") { slice.removeLast() }
            if slice.count == 1, slice.first == UInt8(ascii: ".") { slice.removeFirst() }
            let trimmed = UnsafeBufferPointer(rebasing: slice)
            return body(trimmed, PathSummary(trimmed))
        }
    }
}
