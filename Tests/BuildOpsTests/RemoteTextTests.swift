// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Testing

@testable import BuildOps

@Suite struct RemoteTextTests {
    @Test(
        arguments: [
            ("foo.txt", "foo.txt"), ("資料.txt", "資料.txt"), ("a b", "a b"), ("  foo.txt  ", "foo.txt"),
            ("a/b/c.txt", "c.txt"),
            ("", "download"), (".", "download"), ("..", "download"), ("../", "download"), ("a\0b", "download"),
            ("a\nb", "download"), ("/", "download"),
        ]
    )
    func fileNames(_ text: String, _ expected: String) { #expect(safeFileName(text) == expected) }

    @Test(
        arguments: [
            ("http://h/a/b.tar?x=/y#z", "b.tar", "h"), ("https://u:p@h:8/a%20b/", "a b", "h"), ("http://h", "", "h"),
            ("http://[::1]:8/x", "x", "::1"), ("http://h?x/y", "", "h"), ("http://h/%zz", "%zz", "h"),
        ]
    )
    func addresses(_ url: String, _ name: String, _ host: String) {
        #expect(urlFileName(url) == name)
        #expect(urlHost(url) == host)
    }

    @Test(
        arguments: [
            ("attachment; filename=a.txt", "a.txt"), ("attachment; filename=\"a; \\\"b\\\".txt\"; x=y", "a; \"b\".txt"),
            ("attachment; FileName = b", nil), ("inline", nil), ("attachment; filename=dir/", nil),
            ("attachment; filename=x; filename*=UTF-8''%e2%82%ac.txt", "€.txt"), ("attachment; filename=", nil),
            (";;;", nil),
        ] as [(String, String?)]
    )
    func dispositions(_ header: String, _ expected: String?) { #expect(dispositionFileName(header) == expected) }

    @Test(
        arguments: [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600), ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
            ("Sunday, 06-Nov-94 08:49:37 GMT", nil), ("Sun, 06 Nov 1994 08:49:37 CET", nil),
            ("Sun, 32 Nov 1994 08:49:37 GMT", nil), ("Sun, 06 Nov 1994 25:49:37 GMT", nil), ("", nil),
        ] as [(String, Int64?)]
    )
    func dates(_ text: String, _ seconds: Int64?) { #expect(HTTPDate(text)?.seconds == seconds) }

    @Test(arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")])
    func base64Vectors(_ text: String, _ expected: String) { #expect(base64(Array(text.utf8)) == expected) }

    private static let one = String(repeating: "1", count: 40)
    private static let two = String(repeating: "2", count: 40)

    @Test func remoteNames() {
        let answer = """
            \(Self.one)\trefs/heads/x
            \(Self.two)\trefs/tags/x
            \(Self.one)\trefs/tags/x^{}
            not-a-number\trefs/heads/y
            """
        #expect(GitCommit("x", in: answer) == GitCommit(object: Self.one, commit: nil, reference: "refs/heads/x"))
        #expect(
            GitCommit("refs/tags/x", in: answer)
                == GitCommit(object: Self.two, commit: Self.one, reference: "refs/tags/x")
        )
        #expect(GitCommit("tags/x", in: answer)?.object == Self.two)
        #expect(GitCommit("y", in: answer) == nil)
        #expect(
            GitCommit.defaultBranch("ref: refs/heads/main\tHEAD\n\(Self.one)\tHEAD\n")
                == GitCommit(object: Self.one, commit: nil, reference: "refs/heads/main")
        )
        #expect(GitCommit.defaultBranch("\(Self.one)\tHEAD\n")?.reference == "HEAD")
        #expect(GitCommit.defaultBranch("") == nil)
        #expect(!GitCommit.isFull("abc") && !GitCommit.isFull(Self.one.replacing("1", with: "G")))
    }
}
