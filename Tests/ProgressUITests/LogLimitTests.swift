// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Testing

@testable import ProgressUI

struct LogLimitTests {
    @Test(arguments: [
        ([:], LogLimit(size: 2 << 20, speed: 200 << 10)),
        (["BUILDKIT_STEP_LOG_MAX_SIZE": "-1", "BUILDKIT_STEP_LOG_MAX_SPEED": "-1"], LogLimit(size: nil, speed: nil)),
        (
            ["BUILDKIT_STEP_LOG_MAX_SIZE": "10", "BUILDKIT_STEP_LOG_MAX_SPEED": "x"],
            LogLimit(size: 10, speed: 200 << 10)
        ),
    ])
    func environment(variables: [String: String], limit: LogLimit) {
        #expect(LogLimit(environment: { variables[$0] }) == limit)
    }

    @Test func clipsBySize() {
        var clipper = LogClipper(LogLimit(size: 2 << 20, speed: nil))
        #expect(clipper.admit(2 << 20, elapsed: 0) == (2 << 20, nil))
        #expect(clipper.admit(5, elapsed: 0) == (0, "[output clipped, log limit 2MiB reached]"))
        #expect(clipper.admit(5, elapsed: 1_000_000_000_000) == (0, nil))
    }

    @Test func clipsBySpeedUntilTheTimeHasPassed() {
        var clipper = LogClipper(LogLimit(size: nil, speed: 200 << 10))
        #expect(
            clipper.admit((200 << 10) + 7, elapsed: 0) == (200 << 10, "[output clipped, log limit 200KiB/s reached]")
        )
        #expect(clipper.admit(10, elapsed: 900_000_000) == (0, nil))
        #expect(clipper.admit(10, elapsed: 1_100_000_000) == (10, nil))
        #expect(clipper.admit(1 << 20, elapsed: 1_200_000_000).notice == "[output clipped, log limit 200KiB/s reached]")
    }

    @Test func withoutLimitsEverythingPasses() {
        var clipper = LogClipper(LogLimit(size: nil, speed: nil))
        #expect(clipper.admit(Int.max / 2, elapsed: 0) == (Int.max / 2, nil))
        var huge = LogClipper(LogLimit(size: nil, speed: Int.max))
        #expect(huge.admit(1000, elapsed: .max) == (1000, nil))
    }
}
