// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Solver

/// A transfer as it stood at one moment.
struct TransferSample: Sendable, Equatable {
    var name: String
    var current: Int64
    var total: Int64?
    var started: EventTime
    var completed: EventTime?

    init(_ transfer: TransferProgress) {
        name = LogText.name(transfer.name, limit: 512)
        completed = transfer.completed
        current = transfer.current
        total = transfer.total
        started = transfer.started
    }
}

/// The transfers of one step: the first ones and those under way; of further ones only the sum.
struct TransferList: Sendable {
    static let capacity = 64
    private static let hardLimit = 4096

    private(set) var items: [TransferProgress] = []
    /// Finished transfers that are no longer in `items`.
    private(set) var removedCount = 0
    private(set) var removedBytes: Int64 = 0

    mutating func append(_ transfer: TransferProgress) {
        if items.count >= Self.capacity, let done = items.firstIndex(where: { $0.completed != nil }) {
            removedCount += 1
            removedBytes &+= items[done].current
            items.remove(at: done)
        }
        if items.count < Self.hardLimit { items.append(transfer) }
    }

    var samples: [TransferSample] { items.map(TransferSample.init) }
}
