// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import Testing

@Suite struct EditTests {
    private static let text = """
        # syntax=docker/dockerfile:1

        # base is the beginning
        FROM alpine:3.20 AS base
        # why
          run apk add \\
            # the client
            curl \\
            git   # not a comment

        COPY <<EOT /x
        # content
        EOT
        CMD ["a"]
        """

    private func edited(_ text: String = text, _ change: (inout DockerfileEdit, Dockerfile) throws -> Void) throws
        -> String
    {
        let file = try Dockerfile(parsing: text)
        var edit = DockerfileEdit(file)
        try change(&edit, file)
        return try edit.text()
    }

    @Test(arguments: Corpus.directories(in: "dockerfiles"))
    func printsBackUnchanged(_ name: String) throws {
        let bytes = try Corpus.bytes("dockerfiles/\(name)/Dockerfile")
        let file = try Dockerfile(parsing: bytes)
        #expect(try DockerfileEdit(file).bytes() == bytes)
        // Every instruction replaced by itself is the same file, too.
        var edit = DockerfileEdit(file)
        for instruction in file.instructions {
            let range = instruction.range.start.offset..<instruction.range.end.offset
            edit.replace(instruction, with: String(decoding: bytes[range], as: UTF8.self))
        }
        guard String(validating: bytes, as: UTF8.self) != nil else { return }
        #expect(try edit.bytes() == bytes)
    }

    @Test func replacesAWord() throws {
        let result = try edited { edit, file in
            edit.replace(file.stages[0].from.image.range, with: "alpine:3.22")
            edit.replace(try #require(file.directives.syntax?.range), with: "docker/dockerfile:1.7")
        }
        let expected = Self.text.replacing("3.20", with: "3.22").replacing("file:1\n", with: "file:1.7\n")
        #expect(result == expected)
    }

    @Test func replacesAnInstruction() throws {
        let result = try edited { edit, file in edit.replace(file.instructions[2], with: "COPY x /x") }
        #expect(result == Self.text.replacing("COPY <<EOT /x\n# content\nEOT", with: "COPY x /x"))
    }

    @Test func insertsLines() throws {
        let result = try edited { edit, file in
            edit.insert("ARG A", before: file.instructions[0])
            edit.insert("# global\nARG B", before: file.instructions[0], aboveComments: true)
            edit.insert("USER root", after: file.instructions[2])
            edit.insert("USER nobody", after: file.instructions[2])
            edit.insert("STOPSIGNAL 9", after: file.instructions[3])
        }
        let expected = Self.text
            .replacing("# base", with: "# global\nARG B\n# base")
            .replacing("FROM", with: "ARG A\nFROM")
            .replacing("CMD", with: "USER root\nUSER nobody\nCMD")
        #expect(result == expected + "\nSTOPSIGNAL 9")
    }

    @Test func removesAnInstructionAndKeepsComments() throws {
        let result = try edited { edit, file in
            edit.remove(file.instructions[1])
            edit.remove(file.instructions[3])
        }
        let run = "  run apk add \\\n    # the client\n    curl \\\n    git   # not a comment\n"
        #expect(result == Self.text.replacing(run, with: "").replacing("CMD [\"a\"]", with: ""))
    }

    @Test func keepsLineEndingsAndMarks() throws {
        let text = "\u{FEFF}FROM a\r\nRUN b\r\n"
        let result = try edited(text) { edit, file in
            edit.insert("RUN c\nRUN d", after: file.instructions[0])
            edit.replace(file.stages[0].from.image.range, with: "x")
        }
        #expect(result == "\u{FEFF}FROM x\r\nRUN c\r\nRUN d\r\nRUN b\r\n")
    }

    @Test func keepsBytesThatAreNoText() throws {
        let bytes: [UInt8] = Array("FROM a\nLABEL x=".utf8) + [0xFF, 0xFE] + Array("\nRUN c\n".utf8)
        let file = try Dockerfile(parsing: bytes)
        var edit = DockerfileEdit(file)
        edit.replace(file.instructions[2], with: "RUN d")
        #expect(try edit.bytes() == bytes.dropLast(2) + Array("d\n".utf8))
    }

    @Test func refusesChangesOfTheSameText() throws {
        #expect(throws: DockerfileEditError.self) {
            try edited { edit, file in
                edit.remove(file.instructions[0])
                edit.replace(file.stages[0].from.image.range, with: "x")
            }
        }
        let beyond = SourcePosition(line: 99, column: 1, offset: 10_000)
        #expect(throws: DockerfileEditError.self) {
            try edited { edit, _ in edit.replace(SourceRange(start: beyond, end: beyond), with: "x") }
        }
    }

    @Test func puttingInFrontGoesWithReplacing() throws {
        let result = try edited("FROM a\n") { edit, file in
            edit.replace(file.instructions[0], with: "FROM b")
            edit.insert("ARG C", before: file.instructions[0])
        }
        #expect(result == "ARG C\nFROM b\n")
    }
}
