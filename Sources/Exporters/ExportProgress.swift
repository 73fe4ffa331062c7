// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
public import Solver

/// Makes and announces a transfer that an export is about to begin; the export counts and completes it.
public typealias TransferReporter = @Sendable (_ name: String, _ total: Int64?) -> TransferProgress

/// A reporter for callers that show nothing.
public let silentTransfers: TransferReporter = { TransferProgress(name: $0, total: $1, started: .now) }

extension EventTime {
    static var now: EventTime {
        let time = FileTime.now
        return EventTime(nanoseconds: time.seconds * 1_000_000_000 + Int64(time.nanoseconds))
    }
}

extension TransferProgress {
    func complete() { complete(at: .now) }
}
