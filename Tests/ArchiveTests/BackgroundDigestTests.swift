// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
import Testing

@testable import Archive

struct BackgroundDigestTests {
    /// Around the size of a piece, 512 KiB, and far beyond what may wait.
    @Test(arguments: [0, 1, 524_287, 524_288, 524_289, 1_572_871, 9_000_001], [1, 2])
    func isTheSameAsInOneGo(size: Int, threads: Int) {
        let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 9) }
        let digest = BackgroundDigest(threads: threads)
        var steps = [1, 4095, 1 << 20, 7].makeIterator()
        var rest = bytes[...]
        while !rest.isEmpty {
            let portion = rest.prefix(steps.next() ?? 100_003)
            Array(portion).withUnsafeBytes { digest.update($0) }
            rest = rest.dropFirst(portion.count)
        }
        #expect(digest.count == Int64(size))
        #expect(digest.finalize() == .sha256(bytes))
    }

    @Test func canBeLeftUnfinished() {
        for _ in 0..<50 {
            let digest = BackgroundDigest(threads: 2)
            [UInt8](repeating: 1, count: 3_000_000).withUnsafeBytes { digest.update($0) }
        }
    }
}
