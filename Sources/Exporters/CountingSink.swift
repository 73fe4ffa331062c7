// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import Solver

/// Passes changes on while counting file bytes (holes not) and looking for cancellation.
final class CountingSink: ChangeSink {
    private let next: any ChangeSink
    private let progress: TransferProgress?
    private let cancellation: CancellationFlag
    private let skipsRoot: Bool
    private var inRoot = false
    private(set) var bytes: Int64 = 0

    /// - Parameter skipsRoot: whether the root directory's own metadata is kept from `next`.
    init(
        _ next: any ChangeSink,
        _ cancellation: CancellationFlag,
        progress: TransferProgress? = nil,
        skipsRoot: Bool = false
    ) {
        self.next = next
        self.cancellation = cancellation
        self.progress = progress
        self.skipsRoot = skipsRoot
    }

    func begin(_ path: RawPath, _ metadata: EntryMetadata) throws {
        try cancellation.check()
        inRoot = skipsRoot && path.isEmpty
        if !inRoot { try next.begin(path, metadata) }
    }

    func write(_ data: UnsafeRawBufferPointer) throws {
        try cancellation.check()
        bytes += Int64(data.count)
        progress?.add(Int64(data.count))
        try next.write(data)
    }

    func writeHole(_ count: Int64) throws {
        try cancellation.check()
        try next.writeHole(count)
    }

    func end() throws { if !inRoot { try next.end() } }
    func addWhiteout(_ path: RawPath) throws { try next.addWhiteout(path) }
    func makeOpaque(_ directory: RawPath) throws { try next.makeOpaque(directory) }
}
