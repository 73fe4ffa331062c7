// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Content
import LinuxSystem
import OCI

/// Digests of the files of directories that were read before, in rows of some thousand files: neither a row for each file,
/// nor copies of all of them in memory.
public struct FileDigestMemory: Sendable {
    private let database: MetadataDatabase
    /// Of a row; of the last one of a directory less.
    private let filesInRow: Int

    public init(_ database: MetadataDatabase) { self.init(database, filesInRow: 4096) }

    init(_ database: MetadataDatabase, filesInRow: Int) {
        self.database = database
        self.filesInRow = filesInRow
    }

    /// What is remembered of the files below `directory` (absolute path). Blocks. A damaged row counts as none.
    ///
    /// So does all that was written in the future: the clock was put back, and a file that is changed now may get the
    /// times that it had before.
    ///
    /// - Parameter now: seconds since 1970; nil asks the clock.
    public func load(_ directory: String, now: Int64? = nil) throws -> FileDigests {
        try database.read { transaction in
            var digests = FileDigests()
            let row = try transaction.query(
                "SELECT id, updated FROM directory_digests WHERE path = ?",
                [.text(directory)]
            ).first
            guard let id = row?.integer(0), let updated = row?.integer(1), updated <= now ?? FileTime.now.seconds else {
                return digests
            }
            let numbers = try transaction.query(
                "SELECT number FROM file_digests WHERE directory = ? ORDER BY number",
                [.integer(id)]
            ).compactMap { $0.integer(0) }
            digests.reserveCapacity(numbers.count * filesInRow)
            for number in numbers {
                let row = try transaction.query(
                    "SELECT checksum, data FROM file_digests WHERE directory = ? AND number = ?",
                    [.integer(id), .integer(number)]
                ).first
                guard let data = row?.blob(1), row?.integer(0) == Self.checksum(data) else { continue }
                digests.append(chunk: data)
            }
            return digests
        }
    }

    /// Replaces what is remembered of `directory`. Blocks.
    ///
    /// - Parameter digests: in ascending order, each fingerprint once; others are forgotten.
    public func save(_ directory: String, _ digests: some Sequence<FileDigests.Element>) throws {
        try database.write { transaction in
            try transaction.execute("DELETE FROM directory_digests WHERE path = ?", [.text(directory)])
            try transaction.execute(
                "INSERT INTO directory_digests (path, updated) VALUES (?, ?)",
                [.text(directory), .integer(FileTime.now.seconds)]
            )
            let id = transaction.lastInsertedID
            let size = filesInRow * FileDigests.entrySize
            var chunk: [UInt8] = []
            chunk.reserveCapacity(size)
            var number: Int64 = 0
            func write() throws {
                try transaction.execute(
                    "INSERT INTO file_digests (directory, number, checksum, data) VALUES (?, ?, ?, ?)",
                    [.integer(id), .integer(number), .integer(Self.checksum(chunk)), .blob(chunk)]
                )
                number += 1
                chunk.removeAll(keepingCapacity: true)
            }
            for element in digests {
                FileDigests.append(element, to: &chunk)
                if chunk.count == size { try write() }
            }
            if !chunk.isEmpty { try write() }
        }
    }

    /// Against accidents, not against people: who can write the store can write anything.
    static func checksum(_ bytes: [UInt8]) -> Int64 {
        var sum = UInt64(bytes.count)
        func add(_ word: UInt64) {
            sum = (sum ^ word) &* 0x9E37_79B9_7F4A_7C15
            sum ^= sum >> 32
        }
        bytes.withUnsafeBytes { raw in
            let whole = raw.count & ~7
            for offset in stride(from: 0, to: whole, by: 8) {
                add(UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
            }
            for byte in raw[whole...] { add(UInt64(byte)) }
        }
        return Int64(bitPattern: sum)
    }
}
