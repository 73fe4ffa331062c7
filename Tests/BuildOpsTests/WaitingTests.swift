// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import OCI
import Testing

@testable import BuildOps

@Suite struct LinkResolutionTests {
    private static let links = [
        "abs": "/real/x", "rel": "real", "real/up": "../other", "real/x/out": "../../../../other", "a": "b", "b": "a",
        "self": "self", "dot": ".", "real/root": "/", "twice": "rel/up", "empty": "",
    ]

    @Test(
        arguments: [
            ("", ""), ("/", ""), ("a/..", nil), ("x/y", "x/y"), ("/x//./y/", "x/y"), ("../../x", "x"),
            ("x/../../y", "y"),
            ("abs/f", "real/x/f"), ("rel/f", "real/f"), ("rel/../f", "f"), ("real/up/f", "other/f"),
            ("rel/up/f", "other/f"),
            ("real/x/out/f", "other/f"), ("a", nil), ("self/x", nil), ("dot/x", "x"), ("real/root/x", "x"),
            ("twice/x", "other/x"),
            ("abs/../f", "real/f"), ("empty/x", "x"),
        ] as [(String, String?)]
    ) func follows(path: String, expected: String?) throws {
        let resolve = { try resolveLinks(RawPath(path)) { Self.links[$0.description].map { RawPath($0) } }.description }
        if let expected {
            #expect(try resolve() == expected)
        } else {
            #expect(throws: BuildOpsError.self) { try resolve() }
        }
    }

    @Test func lastComponentMayStay() throws {
        let found = try resolveLinks("rel/up", followingLast: false) { Self.links[$0.description].map { RawPath($0) } }
        #expect(found == "real/up")
    }

    @Test func manyLinksEnd() {
        #expect(throws: BuildOpsError.self) { try resolveLinks("x") { _ in RawPath("x/x/x") } }
    }
}
