// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import Testing

@Suite struct RefusalTests {
    /// `expected` holds one line per diagnostic: `line:column-line:column code message`.
    @Test(arguments: Corpus.directories(in: "refusals"))
    func refusesWithReasons(name: String) throws {
        let bytes = try Corpus.bytes("refusals/\(name)/Dockerfile")
        let error = #expect(throws: DockerfileDiagnostics.self) { try Dockerfile(parsing: bytes) }
        let found = (error?.diagnostics ?? []).map { "\($0.range) \($0.code.rawValue) \($0.message)\n" }.joined()
        if Corpus.isUpdating { try Corpus.write(found, to: "refusals/\(name)/expected") }
        #expect(try found == Corpus.text("refusals/\(name)/expected"))
        #expect(error?.render().isEmpty == false)
    }

    @Test func rendersTheExcerpt() throws {
        let text = "ARG V\n\nFROM x\nRUNN y\n\tz\nCMD a\n"
        let error = #expect(throws: DockerfileDiagnostics.self) { try Dockerfile(parsing: text, name: "my.Dockerfile") }
        let expected = """
            my.Dockerfile:4
            --------------------
               2 |     
               3 |     FROM x
               4 | >>> RUNN y
                 |     ^~~~
               5 |     \tz
               6 |     CMD a
            --------------------
            help: did you mean RUN?
            ERROR: dockerfile parse error on line 4: unknown instruction: RUNN (did you mean RUN?)

            """
        #expect(error?.render().hasPrefix(expected) == true)
        #expect(error?.diagnostics.count == 2)
    }

    @Test func renderingIsSafeForTerminals() throws {
        let long = String(repeating: "é", count: 4000)
        let text = "FROM x\n\u{1B}[31mRED \(long) b\nRUN --mount=\(long)\n"
        let error = try #require(throws: DockerfileDiagnostics.self) { try Dockerfile(parsing: text) }
        let rendered = error.diagnostics.map { $0.render(in: error.source) }.joined()
        #expect(!rendered.contains("\u{1B}"))
        #expect(rendered.utf8.count < 8000)
    }
}
