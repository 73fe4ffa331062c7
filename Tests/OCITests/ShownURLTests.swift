// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
import Testing

struct ShownURLTests {
    @Test(
        arguments: [
            ("https://user:pass@h/x", "https://***@h/x"), ("ssh://git@h/x", "ssh://git@h/x"), ("git@h:x", "git@h:x"),
            ("a https://u:p@h/ and http://v:w@i?x@y", "a https://***@h/ and http://***@i?x@y"),
            ("https://h/@x:y", "https://h/@x:y"), ("https://token@h/r.git", "https://***@h/r.git"),
            ("https://u:p'w@h/x", "https://***@h/x"), ("HTTPS://u:p\"w@h", "HTTPS://***@h"),
            ("ssh://u:p@h/x", "ssh://***@h/x"), ("https://h/\u{301}@t/x", "https://h/\u{301}@t/x"),
        ]
    )
    func passwords(_ text: String, _ expected: String) { #expect(withoutPassword(text) == expected) }

    @Test(
        arguments: [
            ("https://h/a?X-Amz-Signature=abc&x=y#part", "https://h/a"), ("http://h?sig=abc", "http://h"),
            ("https://h/a#frag", "https://h/a"), ("HTTPS://t@h/a?b", "HTTPS://***@h/a"),
            ("https://h/a b?sig=x y\"z", "https://h/a b"), ("https://h/a?u=http://v/w", "https://h/a"),
            ("https://u:p@h/r.git#v1:sub", "https://***@h/r.git#v1:sub"),
            ("https://h/r.git?sig=abc#v1", "https://h/r.git#v1"),
            ("https://h/r.git?tag=v1&subdir=d#v1", "https://h/r.git?tag=v1&subdir=d#v1"),
            ("https://h/r.git?tag=v1&sig=abc#v1", "https://h/r.git#v1"), ("https://h/a?r.git#v1", "https://h/a"),
            ("ssh://u:p@h/r.git?x#v1", "ssh://***@h/r.git?x#v1"), ("git@h:r.git#v1", "git@h:r.git#v1"),
            ("https://h/\u{e9}?\u{301}", "https://h/\u{e9}"), ("", ""), ("://?", "://?"),
        ]
    )
    func urls(_ url: String, _ expected: String) { #expect(shownURL(url) == expected) }

    @Test(
        arguments: [
            ("ADD https://h/a?sig=abc /x", "ADD https://h/a /x"),
            ("ADD [\"https://h/a?sig=a,b'c\", \"/x\"]", "ADD [\"https://h/a\", \"/x\"]"),
            ("1 | ADD https://h/a?s\n2 | ADD http://u@h/b#c\n", "1 | ADD https://h/a\n2 | ADD http://***@h/b\n"),
            ("ADD https://h/r.git?sig=v1#v1 file?.txt", "ADD https://h/r.git#v1 file?.txt"),
            ("see <http://h/?a> and what? #1", "see <http://h/> and what? #1"),
            ("s3+https://h?x://y z", "s3+https://h z"), ("git://h/r?x#y", "git://h/r?x#y"), ("no URL?", "no URL?"),
        ]
    )
    func texts(_ text: String, _ expected: String) { #expect(shownText(text) == expected) }
}
