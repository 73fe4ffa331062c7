// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Testing

@testable import ProgressUI

struct LineBufferTests {
    private func lines(_ pieces: [String], flushing: Bool = true) -> [String] {
        var buffer = LineBuffer()
        var lines: [String] = []
        for piece in pieces {
            buffer.append(Array(piece.utf8)[...], at: 0) { line, _ in
                lines.append(String(decoding: line, as: UTF8.self))
            }
        }
        if flushing { buffer.flush { line, _ in lines.append(String(decoding: line, as: UTF8.self)) } }
        return lines
    }

    @Test(arguments: [
        (["a\nb\n"], ["a", "b"]),
        (["a", "b\nc"], ["ab", "c"]),
        (["a\n\nb"], ["a", "", "b"]),
        (["a\r\nb\r\n"], ["a", "b"]),
        (["a\r", "\nb\n"], ["a", "b"]),
        (["10%\r20%\r", "30%\r100%\n"], ["100%"]),
        (["10%", "\r", "20%", "\r", "\r", "\n"], ["20%"]),
        (["\r\r\n"], [""]),
        (["x\rlong text\ry\n"], ["y"]),
        (["no end\r"], ["no end"]),
        ([""], []),
    ])
    func cuts(pieces: [String], expected: [String]) { #expect(lines(pieces) == expected) }

    /// However the bytes are cut into pieces, the lines are the same.
    @Test func piecesDoNotMatter() {
        let text = "one\r\ntwo\rthree\n\n\r\nfour\r\rfive\r\n日本\n6%\r7%\r"
        let whole = lines([text])
        for size in 1...7 {
            var buffer = LineBuffer()
            var found: [String] = []
            let bytes = Array(text.utf8)
            for start in stride(from: 0, to: bytes.count, by: size) {
                buffer.append(bytes[start..<min(bytes.count, start + size)], at: 0) { line, _ in
                    found.append(String(decoding: line, as: UTF8.self))
                }
            }
            buffer.flush { line, _ in found.append(String(decoding: line, as: UTF8.self)) }
            #expect(found == whole)
        }
    }

    @Test func linesWithoutEndAreCutBetweenCharacters() {
        let pieces = [String](repeating: "語", count: 30_000)
        let found = lines(pieces)
        #expect(found.joined() == pieces.joined())
        #expect(found.count == 3)
        #expect(found.allSatisfy { $0.utf8.count <= LineBuffer.maximumLength && !$0.contains("\u{FFFD}") })
    }

    @Test func aLineHasTheTimeOfItsBeginning() {
        var buffer = LineBuffer()
        var times: [Int64] = []
        buffer.append(Array("a".utf8)[...], at: 1) { times.append($1) }
        buffer.append(Array("b\nc\n".utf8)[...], at: 2) { times.append($1) }
        #expect(times == [1, 2])
    }
}
