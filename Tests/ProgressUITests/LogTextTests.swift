// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Testing

@testable import ProgressUI

struct LogTextTests {
    @Test(arguments: [
        ("plain text", "plain text"),
        ("a\tb", "a\tb"),
        ("\u{1B}[1;32mgreen\u{1B}[0m", "green"),
        ("\u{1B}[2K\u{1B}[1Aup", "up"),
        ("\u{1B}]0;title\u{07}text", "text"),
        ("\u{1B}]8;;http://x\u{1B}\\link\u{1B}]8;;\u{1B}\\", "link"),
        ("\u{1B}P1;2|data\u{1B}\\x", "x"),
        ("\u{1B}(Bcharset", "charset"),
        ("\u{1B}7saved\u{1B}8", "saved"),
        ("50%\u{8}\u{8}\u{8}60%", "60%"),
        ("é\u{8}e", "e"),
        ("bell\u{07}null\u{0}del\u{7F}", "bellnulldel"),
        ("c1 \u{9B}31m", "c1 31m"),
        ("evil\u{202E}txt", "eviltxt"),
        ("two\u{2028}lines", "two lines"),
        ("日本語 👩‍👩‍👧", "日本語 👩‍👩‍👧"),
        ("unfinished \u{1B}[31", "unfinished "),
        ("\u{1B}\u{1B}[0mx", "x"),
        ("\u{1B}[31\u{1B}[0mx", "x"),
    ])
    func sanitises(raw: String, printed: String) { #expect(LogText.line(Array(raw.utf8)) == printed) }

    @Test func keepsColorsAndResetsThem() {
        let raw = Array("\u{1B}[32mok\u{1B}[2Jnot cleared\u{1B}[?25l".utf8)
        #expect(LogText.line(raw, keepingColors: true) == "\u{1B}[32moknot cleared\u{1B}[0m")
        #expect(LogText.line(Array("none\u{7}".utf8), keepingColors: true) == "none")
    }

    @Test func replacesInvalidBytes() {
        #expect(LogText.line([0x61, 0xFF, 0x62, 0xE6, 0x97]) == "a\u{FFFD}b\u{FFFD}")
    }

    @Test func makesNamesOneLine() {
        #expect(LogText.name("RUN <<EOF\napk add\tgo\u{1B}[31m\nEOF") == "RUN <<EOF apk add go EOF")
        #expect(LogText.name(String(repeating: "x", count: 9), limit: 4) == "xxxx...")
    }

    /// No byte sequence may leave an escape or control character other than a tab in a line.
    @Test func nothingGetsThrough() {
        var generator = SystemRandomNumberGenerator()
        let interesting: [UInt8] = [0x1B, 0x5B, 0x5D, 0x07, 0x08, 0x6D, 0x3B, 0x31, 0x0D, 0xC2, 0x9B, 0x80, 0x41, 0x5C]
        for _ in 0..<5000 {
            let bytes = (0..<24).map { _ in interesting.randomElement(using: &generator) ?? 0 }
            let line = LogText.line(bytes)
            #expect(!line.unicodeScalars.contains { $0.value < 0x20 && $0 != "\t" || (0x7F..<0xA0).contains($0.value) })
        }
    }
}
