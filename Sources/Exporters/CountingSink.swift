// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import Solver

/// Passes changes on while counting the bytes of files (a sparse file's holes too) and looking for cancellation.
final class CountingSink: ChangeSink {
    private let next: any ChangeSink
    private let progress: TransferProgress?
    private let cancellation: CancellationFlag
    private let skipsRoot: Bool
    private let fillsHoles: Bool
    private lazy var zeros = [UInt8](repeating: 0, count: 256 << 10)
    private var inRoot = false
    private(set) var bytes: Int64 = 0

    /// - Parameters:
    ///   - fillsHoles: whether holes become zeros. An archive has no holes, and takes zeros fastest in large pieces.
    ///   - skipsRoot: whether the root directory's own metadata is kept from `next`.
    init(
        _ next: any ChangeSink,
        _ cancellation: CancellationFlag,
        progress: TransferProgress? = nil,
        fillsHoles: Bool = true,
        skipsRoot: Bool = false
    ) {
        self.next = next
        self.cancellation = cancellation
        self.progress = progress
        self.skipsRoot = skipsRoot
        self.fillsHoles = fillsHoles
    }

    func begin(_ path: RawPath, _ metadata: EntryMetadata) throws {
        try cancellation.check()
        inRoot = skipsRoot && path.isEmpty
        if case .file(let size) = metadata.kind { bytes += size }
        if !inRoot { try next.begin(path, metadata) }
    }

    func write(_ data: UnsafeRawBufferPointer) throws {
        try cancellation.check()
        progress?.add(Int64(data.count))
        try next.write(data)
    }

    func writeHole(_ count: Int64) throws {
        guard fillsHoles else { return try next.writeHole(count) }
        var left = count
        while left > 0 {
            try cancellation.check()
            let part = Int(min(left, Int64(zeros.count)))
            try zeros.withUnsafeBytes { try next.write(UnsafeRawBufferPointer(rebasing: $0[..<part])) }
            left -= Int64(part)
        }
    }

    func end() throws { if !inRoot { try next.end() } }
    func addWhiteout(_ path: RawPath) throws { try next.addWhiteout(path) }
    func makeOpaque(_ directory: RawPath) throws { try next.makeOpaque(directory) }
}
