// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import OCI

/// All that a layer's archive says, files' content as digests.
final class LayerRecord: ChangeSink {
    struct Entry: Hashable {
        var metadata = EntryMetadata(.directory)
        var content: Digest?
        var isWhiteout = false
        var isOpaque = false
    }

    private(set) var entries: [RawPath: Entry] = [:]
    private let epoch: FileTime?
    private let cancellation: CancellationFlag
    private var open: (path: RawPath, hasher: Digest.Hasher)?
    private lazy var zeros = [UInt8](repeating: 0, count: 256 << 10)

    private init(_ epoch: FileTime?, _ cancellation: CancellationFlag) {
        self.epoch = epoch
        self.cancellation = cancellation
    }

    static func read(
        _ directory: SharedFD,
        _ epoch: FileTime?,
        _ cancellation: CancellationFlag
    ) throws -> LayerRecord {
        let record = LayerRecord(epoch, cancellation)
        try withExtendedLifetime(directory) { try LayerArchiver(directory.raw, to: record).walk() }
        return record
    }

    func begin(_ path: RawPath, _ metadata: EntryMetadata) throws {
        try cancellation.check()
        // A layer's archive does not describe the root.
        if path.isEmpty { return }
        // What is true of a file is told once, not under each of its names.
        if case .hardLink = metadata.kind {
            entries[path, default: Entry()].metadata = EntryMetadata(metadata.kind)
            return
        }
        var metadata = metadata
        if let epoch { metadata.mtime = min(metadata.mtime, epoch) }
        entries[path, default: Entry()].metadata = metadata
        if case .file = metadata.kind { open = (path, Digest.Hasher()) }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        try cancellation.check()
        open?.hasher.update(bytes)
    }

    func writeHole(_ count: Int64) throws {
        var left = count
        while left > 0 {
            let part = Int(min(left, Int64(zeros.count)))
            try zeros.withUnsafeBytes { try write(UnsafeRawBufferPointer(rebasing: $0[..<part])) }
            left -= Int64(part)
        }
    }

    func end() throws {
        guard let file = open else { return }
        open = nil
        entries[file.path]?.content = file.hasher.finalize()
    }

    func addWhiteout(_ path: RawPath) throws { entries[path, default: Entry()].isWhiteout = true }

    func makeOpaque(_ directory: RawPath) throws {
        if !directory.isEmpty { entries[directory, default: Entry()].isOpaque = true }
    }
}
