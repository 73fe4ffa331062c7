// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import Testing

@Suite struct ExpansionTests {
    private static let environment = [
        "A": "a", "EMPTY": "", "PATH": "/usr/bin:/bin", "SP": "x y  z", "FILE": "/src/lib/foo.tar.gz", "STAR": "a*b?c",
        "Q": "it's \"q\"", "BS": "a\\b", "DOLLAR": "$A", "N1": "one", "été": "summer", "BRACE": "a}b", "AAA": "aaaa",
    ]

    /// Columns: mode, word, expected text (or `!` and the message), expected words joined with `|` when given.
    @Test(arguments: Corpus.rows("expansion.tsv", columns: 4))
    func expandsAsExpected(row: Corpus.Row) throws {
        let modes: [String: WordExpander.Mode] = [
            "word": .word, "tick": .word, "body": .heredocBody, "display": .display,
            "raw": .init(keepsQuotes: true, keepsEscapes: true),
        ]
        let mode = try #require(modes[row.cells[0]])
        let expander = WordExpander(escape: row.cells[0] == "tick" ? "`" : "\\", mode: mode)
        let expected = row.cells[2]
        do {
            let found = try expander.expansion(of: row.cells[1], environment: Self.environment)
            #expect(found.text == expected)
            if !row.cells[3].isEmpty { #expect(found.words.joined(separator: "|") == row.cells[3]) }
        } catch {
            #expect("!\(error)" == expected)
        }
    }

    @Test func reportsNames() throws {
        let found = try WordExpander().expansion(
            of: "$A ${B:-$C} '$D' \\$E ${A:+$F}",
            environment: ["A": "1"]
        )
        #expect(found.used == ["A"])
        #expect(found.unset == ["B", "C", "F"])
        #expect(try WordExpander().expand("$A-$B", environment: ["A": "1"]) == "1-")
        #expect(try WordExpander().expandToWords("$A 'b c'", environment: ["A": "x  y"]) == ["x", "y", "b c"])
    }

    @Test func limitsHostileWords() {
        let deep = String(repeating: "${a:-", count: 100_000)
        let codes = [
            deep, String(repeating: "${X//a*a*a*a*a*a*b/c}", count: 2), String(repeating: "$X", count: 400),
        ].map { word in
            #expect(throws: ExpansionError.self) {
                try WordExpander().expand(word, environment: ["X": String(repeating: "a", count: 60_000)])
            }?.code
        }
        #expect(codes == [.limit, .limit, .limit])
    }
}
