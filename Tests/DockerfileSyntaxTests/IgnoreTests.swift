// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import Testing

@Suite struct IgnoreTests {
    /// Columns: patterns separated by `|`, path, `ignored` or `kept`, and `skip` or `walk` for directories.
    @Test(arguments: Corpus.rows("ignore.tsv", columns: 4))
    func decidesAsExpected(row: Corpus.Row) throws {
        let file = try IgnoreFile(parsing: row.cells[0].replacing("|", with: "\n"))
        let matcher = try IgnoreMatcher(file.patterns)
        #expect(matcher.isIgnored(row.cells[1]) == (row.cells[2] == "ignored"))
        if !row.cells[3].isEmpty { #expect(matcher.canSkipDirectory(row.cells[1]) == (row.cells[3] == "skip")) }
    }

    @Test func readsIgnoreFiles() throws {
        let file = try IgnoreFile(parsing: "\u{FEFF}# c\n\n  /a/b/ \r\n #x\n!  ./c/../d\n! /e\n/\n..//f\n.\n")
        #expect(file.patterns == ["a/b", "#x", "!d", "!e", "/", "../f", "."])
    }

    @Test(arguments: [("a\n!\n", 2), ("\n\n!  ", 3)])
    func refusesLoneNegation(text: String, line: Int) {
        let error = #expect(throws: PatternError.self) { try IgnoreFile(parsing: text) }
        #expect(error?.line == line)
        #expect(error?.message == "illegal exclusion pattern: \"!\"")
    }

    @Test(arguments: ["!", "[", "[]a]", "a[", "[-x]", "[x-]", "a\\", "[^]", "[a-", String(repeating: "a", count: 5000)])
    func refusesBadPatterns(pattern: String) {
        #expect(throws: PatternError.self) { try IgnoreMatcher([pattern]) }
    }

    /// Skipping a directory never changes what a full walk would find.
    @Test func skippingAgreesWithWalking() throws {
        var random = SeededRandom(seed: 7)
        let names = ["a", "b", "ab", "c.d", "é"]
        let parts = ["a", "b", "*", "**", "?", "ab", "c.*", "[ab]", "[^a]", "a*", "*b", "é", "a**b", "**b"]
        for _ in 0..<3000 {
            let patterns = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                (Bool.random(using: &random) ? "!" : "")
                    + (0..<Int.random(in: 1...3, using: &random)).map { _ in
                        parts.randomElement(using: &random) ?? "a"
                    }.joined(separator: "/")
            }
            let matcher = try IgnoreMatcher(patterns)
            for first in names where matcher.canSkipDirectory(first) {
                for second in names {
                    #expect(matcher.isIgnored("\(first)/\(second)"), "\(patterns)")
                    for third in names {
                        #expect(matcher.isIgnored("\(first)/\(second)/\(third)"), "\(patterns)")
                    }
                }
            }
        }
    }

    /// Long patterns and other alphabets take another path through the code than short ASCII ones.
    @Test func longPatternsAgreeWithShortOnes() throws {
        var random = SeededRandom(seed: 11)
        let parts = ["a", "b", "*", "**", "?", "a*b", "*a", "[ab]"]
        let padding = String(repeating: "x", count: 70)
        for _ in 0..<2000 {
            let pattern = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                parts.randomElement(using: &random) ?? "a"
            }.joined(separator: "/")
            let path = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                ["a", "b", "ab", "aab"].randomElement(using: &random) ?? "a"
            }.joined(separator: "/")
            let short = try IgnoreMatcher([pattern]).isIgnored(path)
            #expect(
                try IgnoreMatcher(["[x]\(padding)/\(pattern)"]).isIgnored("x\(padding)/\(path)") == short,
                "\(pattern) \(path)"
            )
            #expect(try IgnoreMatcher(["[é]/\(pattern)"]).isIgnored("é/\(path)") == short, "\(pattern) \(path)")
        }
    }

    /// Against a plain backtracking matcher written from the rules.
    @Test func agreesWithBacktracking() throws {
        var random = SeededRandom(seed: 23)
        let letters = Array("ab/*?")
        for _ in 0..<20_000 {
            let pattern = String(
                (0..<Int.random(in: 1...7, using: &random)).map { _ in letters.randomElement(using: &random) ?? "a" }
            )
            let path = String(
                (0..<Int.random(in: 1...7, using: &random)).map { _ in
                    letters.prefix(3).randomElement(using: &random) ?? "a"
                }
            )
            // What the file and the walk would never hand over: cleaning is not what is tested.
            if [pattern, path].contains(where: { $0.contains("//") || $0.hasPrefix("/") || $0.hasSuffix("/") }) {
                continue
            }
            let components = path.split(separator: "/")
            let expected = (1...components.count).contains { count in
                let parent = components.prefix(count).joined(separator: "/")
                // `**text` is a suffix, unless more wildcards follow.
                let suffix = pattern.dropFirst(2)
                if pattern.hasPrefix("**"), let first = suffix.first, first != "/",
                    !suffix.contains(where: "*?".contains)
                {
                    return parent.hasSuffix(suffix)
                }
                return Self.matches(Array(pattern)[...], Array(parent)[...])
            }
            #expect(try IgnoreMatcher([pattern]).isIgnored(path) == expected, "\(pattern) \(path)")
            let whole = Self.matches(Array(pattern.replacing("**", with: "*"))[...], Array(path)[...])
            if !pattern.contains("***") {
                #expect(try GlobPattern(pattern).matches(path) == whole, "\(pattern) \(path)")
            }
        }
    }

    private static func matches(_ pattern: ArraySlice<Character>, _ path: ArraySlice<Character>) -> Bool {
        guard let first = pattern.first else { return path.isEmpty }
        if pattern.starts(with: "**") {
            var rest = pattern.dropFirst(2)
            if rest.first == "/" { rest = rest.dropFirst() }
            if rest.isEmpty || matches(rest, path) { return true }
            return path.indices.contains { path[$0] == "/" && matches(rest, path[($0 + 1)...]) }
        }
        if first == "*" {
            return matches(pattern.dropFirst(), path)
                || path.first.map { $0 != "/" && matches(pattern, path.dropFirst()) } ?? false
        }
        guard let next = path.first, first == "?" ? next != "/" : next == first else { return false }
        return matches(pattern.dropFirst(), path.dropFirst())
    }

    @Test func matchingIsFast() throws {
        let patterns = (0..<50).map { index in
            ["**/*.log\(index)", "build\(index)/**", "*/tmp\(index)/*", "node_modules\(index)", "!**/keep\(index)"][
                index % 5
            ]
        }
        let matcher = try IgnoreMatcher(patterns)
        let clock = ContinuousClock()
        let elapsed = clock.measure {
            for index in 0..<50_000 { _ = matcher.isIgnored("src/module\(index % 100)/package/file\(index).swift") }
        }
        // Debug code on a busy machine; release is asked for 0.5 s and takes a fraction of it.
        #expect(elapsed < .seconds(60))
        let hostile = try IgnoreMatcher([String(repeating: "*a", count: 1000) + "b"])
        #expect(!hostile.isIgnored(String(repeating: "a", count: 4000)))
    }
}

@Suite struct GlobPatternTests {
    @Test(arguments: [
        ("abc", "abc", true), ("*", "abc", true), ("*c", "abc", true), ("a*", "a", true), ("a*", "ab/c", false),
        ("a*/b", "abc/b", true), ("a*/b", "a/c/b", false), ("a?c", "abc", true), ("a?c", "a/c", false),
        ("ab[c]", "abc", true), ("ab[b-d]", "abc", true), ("ab[e-g]", "abc", false), ("ab[^c]", "abc", false),
        ("ab[^e-g]", "abc", true), ("a\\*b", "a*b", true), ("a\\*b", "ab", false), ("a?b", "a☺b", true),
        ("a[^a]b", "a☺b", true), ("a???b", "a☺b", false), ("[a-ζ]*", "α", true), ("*[a-ζ]", "A", false),
        ("[\\]a]", "]", true), ("[\\-]", "-", true), ("[x\\-]", "x", true), ("*x", "xxx", true), ("", "", true),
        ("", "a", false), ("**", "a/b", false), ("a**b", "axxb", true), ("[^a]", "/", true), ("[z-a]", "b", false),
        ("*a*b*c", "xaybzc", true), ("*a*b*c", "xaybz", false), ("é*", "été", true),
    ])
    func matches(pattern: String, text: String, expected: Bool) throws {
        #expect(try GlobPattern(pattern).matches(text) == expected)
    }

    @Test(arguments: ["[", "[]", "[]a]", "[^", "[-]", "[x-]", "[-x]", "a\\", "[a-b-c]"])
    func refuses(pattern: String) {
        #expect(throws: PatternError.self) { try GlobPattern(pattern) }
    }
}

@Suite struct SuggestionTests {
    @Test(arguments: [
        ("RUNN", "RUN"), ("FRM", "FROM"), ("copi", "COPY"), ("WORKDRI", "WORKDIR"), ("ENTRYPIONT", "ENTRYPOINT"),
        ("XYZZY", nil), ("", nil), ("Q", nil), ("HEALTCHECK", "HEALTHCHECK"),
    ])
    func suggests(word: String, expected: String?) {
        #expect(suggest(word, among: Keyword.allCases.map(\.rawValue)) == expected)
    }
}
