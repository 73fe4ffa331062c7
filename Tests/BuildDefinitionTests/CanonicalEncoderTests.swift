// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Testing

@Suite struct CanonicalEncoderTests {
    static let documents: [@Sendable (inout CanonicalEncoder) -> Void] = [
        { _ in },
        { $0.append("a", "") },
        { $0.append("a", "b") },
        { $0.append("a", "b=1:c") },
        { $0.append("a", "1:b") },
        { $0.append("ab", "") },
        { $0.append("a", ["b"]) },
        { $0.append("a", ["b", ""]) },
        { $0.append("a", ["", "b"]) },
        {
            $0.append("a", "b")
            $0.append("c", "d")
        },
        { $0.append("a", "bc=1:d") },
        { $0.append("a", 12) },
        { $0.append("a", 120) },
        { $0.append("a", true) },
        { $0.append("a", false) },
        { $0.append("a", "e\u{301}") },
        { $0.append("a", "\u{e9}") },
    ]

    /// Bytes are equal only for equal documents. Numbers and booleans are texts: they never share a field with one.
    @Test func distinctDocumentsHaveDistinctBytes() {
        let all = Self.documents.map { write in
            var encoder = CanonicalEncoder()
            write(&encoder)
            return encoder.bytes
        }
        var seen: [[UInt8]: Int] = [:]
        for (index, bytes) in all.enumerated() {
            if let other = seen[bytes] { Issue.record("documents \(other) and \(index) are the same bytes") }
            seen[bytes] = index
        }
    }

    @Test func anAbsentValueDiffersFromAnEmptyOne() {
        var absent = CanonicalEncoder()
        absent.append("a", String?.none)
        var empty = CanonicalEncoder()
        empty.append("a", String?.some(""))
        #expect(absent.bytes.isEmpty)
        #expect(absent.bytes != empty.bytes)
    }
}
