// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Testing

@testable import ProgressUI

struct DisplayWidthTests {
    @Test(arguments: [
        ("", 0), ("abc", 3), ("é", 1), ("e\u{301}", 1), ("日本語", 6), ("한국어", 6), ("\u{1112}\u{1161}\u{11AB}", 2),
        ("ｱｲｳ", 3), ("ＡＢ", 4), ("👍", 2), ("👍🏽", 2), ("👩‍👩‍👧", 2), ("🇩🇪", 2), ("❤️", 2), ("❤", 1), ("→", 1),
        ("─", 1), ("\u{200B}", 0), ("\u{301}", 0), ("x\u{FE0F}", 1), ("ก็", 1), ("𠀀", 2),
    ])
    func widths(text: String, width: Int) { #expect(text.displayWidth == width) }

    @Test(arguments: [
        ("abcdefghij", 10, "abcdefghij"), ("abcdefghijk", 10, "abcdefg..."), ("abcdef", 3, "abc"),
        ("日本語日本語", 10, "日本語..."), ("日本語", 5, "日本"), ("日本語", 1, ""), ("e\u{301}e\u{301}", 1, "e\u{301}"),
    ])
    func truncation(text: String, width: Int, expected: String) {
        let cut = text.truncated(toWidth: width)
        #expect(cut == expected)
        #expect(cut.displayWidth <= width)
    }

    @Test func tabsBecomeSpaces() {
        #expect("a\tb".withoutTabs == "a       b")
        #expect("日本\tb\t\tc".withoutTabs == "日本    b               c")
    }
}
