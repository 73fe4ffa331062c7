// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Solver
import Testing

@testable import ProgressUI

struct QuantitiesTests {
    @Test(
        arguments: [
            (0, "0.0s"), (49_999_999, "0.0s"), (50_000_000, "0.1s"), (12_340_000_000, "12.3s"),
            (75_200_000_000, "75.2s"),
            (59_960_000_000, "60.0s"), (-5, "0.0s"), (3_600_000_000_000, "3600.0s"),
        ] as [(Int64, String)]
    )
    func durations(nanoseconds: Int64, text: String) { #expect(duration(nanoseconds) == text) }

    @Test(
        arguments: [
            (0, "0.000"), (345_400_000, "0.345"), (9_999_000_000, "9.999"), (12_345_000_000, "12.35"),
            (123_450_000_000, "123.5"),
        ] as [(Int64, String)]
    )
    func logTimes(nanoseconds: Int64, text: String) { #expect(logTime(nanoseconds) == text) }

    @Test(
        arguments: [
            (0, "0B"), (-1, "0B"), (999, "999B"), (1000, "1.00kB"), (2048, "2.05kB"), (12_340_000, "12.34MB"),
            (999_994, "999.99kB"), (999_995, "1.00MB"), (1_500_000_000, "1.50GB"), (Int64.max, "9223.37PB"),
        ] as [(Int64, String)]
    )
    func byteCounts(count: Int64, text: String) { #expect(byteCount(count) == text) }

    @Test(arguments: [
        (2 << 20, "2MiB"), (200 << 10, "200KiB"), (1000, "1000B"), (1536, "1.5KiB"), (1 << 30, "1GiB"), (0, "0B"),
    ])
    func binarySizes(count: Int, text: String) { #expect(binarySize(count) == text) }

    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00Z"), (1, "1970-01-01T00:00:00.000000001Z"), (-1, "1969-12-31T23:59:59.999999999Z"),
            (951_782_400_500_000_000, "2000-02-29T00:00:00.5Z"), (1_700_000_000_120_000_000, "2023-11-14T22:13:20.12Z"),
            (4_107_542_399_000_000_000, "2100-02-28T23:59:59Z"), (4_107_542_400_000_000_000, "2100-03-01T00:00:00Z"),
        ] as [(Int64, String)]
    )
    func times(nanoseconds: Int64, text: String) { #expect(rfc3339(EventTime(nanoseconds: nanoseconds)) == text) }
}
