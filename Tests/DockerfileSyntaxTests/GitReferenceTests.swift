// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import Testing

@Suite struct GitReferenceTests {
    @Test(arguments: Corpus.rows("references.tsv", columns: 7))
    func readsReferences(row: Corpus.Row) throws {
        let expected = row.cells[1]
        do {
            guard let found = try GitReference(parsing: row.cells[0]) else {
                #expect(expected == "-")
                return
            }
            #expect(found.remote == expected)
            #expect(found.shortName == row.cells[2])
            #expect(found.reference ?? "" == row.cells[3])
            #expect(found.checksum ?? "" == row.cells[4])
            #expect(found.subdirectory ?? "" == row.cells[5])
            #expect(options(found) == row.cells[6])
        } catch {
            #expect("!\(error)" == expected)
        }
    }

    private func options(_ reference: GitReference) -> String {
        var words: [String] = []
        if reference.looksLikePath { words.append("path") }
        if reference.isUnencrypted { words.append("plain") }
        if let keeps = reference.keepsGitDirectory { words.append("keep-git-dir=\(keeps)") }
        if let fetches = reference.fetchesSubmodules { words.append("submodules=\(fetches)") }
        if let time = reference.modificationTime { words.append("mtime=\(time.rawValue)") }
        if reference.fetchesByCommit { words.append("fetch-by-commit") }
        return words.joined(separator: " ")
    }

    @Test func takesAnyText() throws {
        let pieces = [
            "https://", "git@h:", "github.com/", "x.git", "#", "?", "ref=", "&", "%", "%41", "[", "]", "@", ":", "/",
            "..",
            "\u{301}", "\n", "\u{0}", "é",
        ]
        var state: UInt64 = 7
        for _ in 0..<20_000 {
            var text = ""
            for _ in 0..<8 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                text += pieces[Int(state >> 33) % pieces.count]
            }
            do {
                let reference = try GitReference(parsing: text)
                #expect(reference?.subdirectory?.hasPrefix("../") != true)
            } catch {
                #expect(!error.message.isEmpty)
            }
        }
        #expect(try GitReference(parsing: String(repeating: "git@h:#:/../", count: 100_000)) != nil)
    }
}
