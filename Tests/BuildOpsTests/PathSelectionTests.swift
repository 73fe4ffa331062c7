// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import Testing

@testable import BuildOps

struct PathSelectionTests {
    /// Patterns; a path; what of it is read; whether steps read through it if it is a symlink.
    @Test(arguments: [
        (["a/b"], "", PathSelection.Match.above, true),
        (["a/b"], "a", .above, true),
        (["a/b"], "a/b", .whole, true),
        (["a/b"], "a/b/c/d", .whole, false),
        (["a/b"], "a/bc", .none, false),
        (["a/b"], "ab", .none, false),
        (["a/b"], "b", .none, false),
        // Whatever the order in which they are named.
        (["a/b", "a"], "a/c", .whole, false),
        (["a", "a/b"], "a/c", .whole, false),
        (["./a//b/"], "a/b", .whole, true),
        (["a/*/c", "a/b"], "a/x", .above, false),
        (["a/*/c", "a/b"], "a/x/c/d", .whole, false),
        (["a/*/c", "a/b"], "a/b", .whole, true),
        (["**/c"], "x/y", .above, false),
        (["**/c", "z"], "z/y", .whole, false),
        // Two ways to write one character are two names.
        (["caf\u{e9}"], "cafe\u{301}", .none, false),
        (["cafe\u{301}"], "cafe\u{301}", .whole, true),
        (["a/../b"], "c", .whole, false),
        ([], "c", .whole, false),
    ])
    func matches(patterns: [String], path: String, match: PathSelection.Match, leadsThrough: Bool) {
        let selection = PathSelection(patterns)
        #expect(selection.match(RawPath(path)) == match)
        #expect(selection.leadsThrough(RawPath(path)) == leadsThrough)
    }
}
