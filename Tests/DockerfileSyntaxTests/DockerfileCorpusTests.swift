// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import Testing

@Suite struct DockerfileCorpusTests {
    @Test(arguments: Corpus.directories(in: "dockerfiles"))
    func parsesAsExpected(name: String) throws {
        let bytes = try Corpus.bytes("dockerfiles/\(name)/Dockerfile")
        let file = try Dockerfile(parsing: bytes)
        let dump = Dump.of(file)
        if Corpus.isUpdating { try Corpus.write(dump, to: "dockerfiles/\(name)/expected") }
        #expect(try dump == Corpus.text("dockerfiles/\(name)/expected"))
        #expect(file.bytes == bytes)
    }

    /// Every byte is in an instruction, a comment, a directive, or is blank.
    @Test(arguments: Corpus.directories(in: "dockerfiles"))
    func rangesCoverTheFile(name: String) throws {
        let file = try Dockerfile(parsing: Corpus.bytes("dockerfiles/\(name)/Dockerfile"))
        var covered = [Bool](repeating: false, count: file.bytes.count)
        func cover(_ range: SourceRange) {
            for offset in range.start.offset..<range.end.offset { covered[offset] = true }
        }
        for instruction in file.instructions { cover(instruction.range) }
        for comment in file.comments { cover(comment.range) }
        let directives = [file.directives.syntax, file.directives.escape, file.directives.check].compactMap(\.self)
        for directive in directives {
            let line = directive.range.start.line
            cover(
                SourceRange(
                    start: .init(
                        line: line,
                        column: 1,
                        offset: directive.range.start.offset - directive.range.start.column + 1
                    ),
                    end: directive.range.end
                )
            )
        }
        // The byte order mark, and a continuation character with nothing but blank lines behind it, belong to nothing.
        let rest = String(decoding: zip(file.bytes, covered).filter { !$0.1 }.map(\.0), as: UTF8.self).unicodeScalars
            .filter { !$0.properties.isWhitespace }
        #expect(rest.allSatisfy { $0 == "\u{FEFF}" || $0 == "\\" }, "\(rest)")
        #expect(rest.count <= 2)
    }

    @Test func stagesAndGlobalArguments() throws {
        let file = try Dockerfile(parsing: "ARG A=1\nFROM a AS One\nRUN x\nfrom b\nRUN y\nRUN z\n")
        #expect(file.globalArguments.map(\.keyword) == [.arg])
        #expect(file.stages.map(\.name) == ["one", nil])
        #expect(file.stages.map(\.index) == [0, 1])
        #expect(file.stages.map(\.instructions.count) == [1, 2])
        #expect(file.stages[1].range.lines == 4...6)
    }

    @Test(arguments: [
        ("#syntax = a/b:1 \nFROM x", "a/b:1"), ("# syntax=a // b\n", "a"), ("{\"syntax\": \"a\"}\n# syntax=b", nil),
        ("#!/usr/bin/env x\n# syntax=a\nFROM x", "a"),
        ("// syntax=a:1\n{}", "a:1"), ("{\"x\": [1, {}], \"syntax\": \"a\"}", "a"),
        ("\u{FEFF}# escape=`\n# SYNTAX=q", "q"),
        ("FROM x\n# syntax=a", nil), ("# foo=1\n# syntax=a", nil), ("{\"syntax\": 1}", nil), ("", nil), ("{", nil),
        ("#!", nil),
    ])
    func detectsSyntax(text: String, expected: String?) {
        #expect(Dockerfile.detectSyntax(in: Array(text.utf8)) == expected)
    }

    @Test func parsesTriggers() throws {
        let copy = try Instruction(parsingOnBuild: "COPY --chown=1 <<A <<B /dst/\na\nA\nb\nB")
        #expect(copy.heredocs.map(\.content) == ["a\n", "b\n"])
        #expect(copy.flags.map(\.name) == ["chown"])
        for (text, message) in [
            ("FROM x", "FROM isn't allowed as an ONBUILD trigger"), ("RUN a\nRUN b", "single expression"),
            ("ONBUILD RUN x", "Chaining ONBUILD"), ("", "single expression"), ("RUNN x", "did you mean RUN?"),
        ] {
            let error = #expect(throws: DockerfileDiagnostics.self) { try Instruction(parsingOnBuild: text) }
            #expect(error?.description.contains(message) == true)
        }
    }

    @Test func readsCheckOptions() throws {
        let options = try CheckOptions(parsing: "skip=A, B;error=true;experimental=all")
        #expect(options.skip == .named(["A", "B"]))
        #expect(options.experimental == .all)
        #expect(options.isError)
        #expect(throws: CheckOptionsError.self) { try CheckOptions(parsing: "nope=1") }
        #expect(throws: CheckOptionsError.self) { try CheckOptions(parsing: "error=maybe") }
        #expect(throws: CheckOptionsError.self) { try CheckOptions(parsing: "skip=a;skip=b;error=1;error=0") }
    }
}
