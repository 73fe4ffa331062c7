// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import Testing

struct GoQuotingTests {
    @Test(
        arguments: [
            ("", "\"\""), ("a b", #""a b""#), (#"a"b\c"#, #""a\"b\\c""#), ("é世🍲", #""é世🍲""#),
            ("e\u{301}", "\"e\u{301}\""),
            ("\u{7}\u{8}\u{c}\n\r\t\u{b}", #""\a\b\f\n\r\t\v""#), ("\0\u{1b}\u{7f}", #""\x00\x1b\x7f""#),
            ("\u{85}\u{a0}\u{ad}", #""\u0085\u00a0\u00ad""#), ("\u{2028}\u{2029}\u{3000}", #""\u2028\u2029\u3000""#),
            ("\u{200b}\u{202e}\u{feff}", #""\u200b\u202e\ufeff""#), ("\u{e000}\u{10ffff}", #""\ue000\U0010ffff""#),
            ("\u{e0001}", #""\U000e0001""#),
        ]
    )
    func asGo(_ text: String, _ expected: String) { #expect(goQuoted(text) == expected) }
}
