// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import OCI

private let entryCount = 10_000
private let content = [UInt8](repeating: 0x61, count: 4096)

private func writeEntries(_ sink: @escaping (UnsafeRawBufferPointer) throws -> Void) throws {
    let writer = try LayerWriter(sink: sink)
    for number in 0..<entryCount {
        try writer.begin(
            RawPath("usr/share/things/d\(number / 100)/file-\(number).txt"),
            EntryMetadata(.file(size: Int64(content.count)), mtime: FileTime(seconds: 1_700_000_000, nanoseconds: 5))
        )
        try content.withUnsafeBytes { try writer.write($0) }
        try writer.end()
    }
    _ = try writer.finish()
}

private struct Counter: TarVisitor {
    var entries = 0
    mutating func visitEntry(_ entry: TarEntry) { entries += 1 }
    mutating func visitData(_ bytes: UnsafeRawBufferPointer) {}
    mutating func visitHole(_ count: Int64) {}
    mutating func visitEnd() {}
}

private struct Missing: Error {}

let archiveBenchmarks = [
    MicroBenchmark("tar-write", "10,000 files of 4 KiB as a layer, with its digest") {
        { try writeEntries { _ in } }
    },
    MicroBenchmark("tar-read", "the same read again") {
        var archive: [UInt8] = []
        try writeEntries { archive += $0 }
        return { [archive] in
            var reader = TarReader()
            var counter = Counter()
            var rest = archive[...]
            while !rest.isEmpty {
                try rest.prefix(65536).withUnsafeBytes { try reader.push($0, to: &counter) }
                rest = rest.dropFirst(65536)
            }
            try reader.finish()
            guard counter.entries == entryCount else { throw Missing() }
        }
    },
    MicroBenchmark("hash", "64 MiB in pieces of 64 KiB") {
        let piece = [UInt8](repeating: 0x5a, count: 65536)
        return {
            var hasher = Digest.Hasher()
            for _ in 0..<1024 { hasher.update(piece) }
            _ = hasher.finalize()
        }
    },
    MicroBenchmark("digests", "10,000 digests of 4 KiB, as text and back") {
        {
            for _ in 0..<10_000 {
                var hasher = Digest.Hasher()
                hasher.update(content)
                _ = try Digest(hasher.finalize().description)
            }
        }
    },
]
