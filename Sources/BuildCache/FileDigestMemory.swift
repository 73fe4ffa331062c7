// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Content
import LinuxSystem
public import OCI

/// What a file looked like when its content was hashed; any difference means that it must be hashed again.
public struct FileFingerprint: Hashable, Sendable {
    public var device: UInt64
    public var inode: UInt64
    public var size: Int64
    public var modifiedSeconds: Int64
    public var modifiedNanoseconds: UInt32
    public var changedSeconds: Int64
    public var changedNanoseconds: UInt32

    public init(
        device: UInt64,
        inode: UInt64,
        size: Int64,
        modifiedSeconds: Int64,
        modifiedNanoseconds: UInt32,
        changedSeconds: Int64,
        changedNanoseconds: UInt32
    ) {
        self.device = device
        self.inode = inode
        self.size = size
        self.modifiedSeconds = modifiedSeconds
        self.modifiedNanoseconds = modifiedNanoseconds
        self.changedSeconds = changedSeconds
        self.changedNanoseconds = changedNanoseconds
    }
}

/// Digests of the files of directories that were read before: one row a directory, so that a large context is one read.
public struct FileDigestMemory: Sendable {
    private let database: MetadataDatabase

    public init(_ database: MetadataDatabase) { self.database = database }

    /// What is remembered of the files below `directory` (absolute path). Blocks. Damaged data counts as none.
    ///
    /// So does what was written in the future: the clock was put back, and a file that is changed now may get the times
    /// that it had before.
    ///
    /// - Parameter now: seconds since 1970; nil asks the clock.
    public func load(_ directory: String, now: Int64? = nil) throws -> [FileFingerprint: Digest] {
        let row = try database.read { transaction in
            try transaction.query("SELECT data, updated FROM directory_digests WHERE path = ?", [.text(directory)])
                .first
        }
        guard let updated = row?.integer(1), updated <= now ?? FileTime.now.seconds else { return [:] }
        guard let data = row?.blob(0), data.count % Self.entrySize == 0 else { return [:] }
        var result = [FileFingerprint: Digest](minimumCapacity: data.count / Self.entrySize)
        data.withUnsafeBytes { raw in
            for base in stride(from: 0, to: raw.count, by: Self.entrySize) {
                func number<T: FixedWidthInteger>(_ offset: Int, _ type: T.Type) -> T {
                    T(littleEndian: raw.loadUnaligned(fromByteOffset: base + offset, as: T.self))
                }
                let fingerprint = FileFingerprint(
                    device: number(0, UInt64.self),
                    inode: number(8, UInt64.self),
                    size: number(16, Int64.self),
                    modifiedSeconds: number(24, Int64.self),
                    modifiedNanoseconds: number(48, UInt32.self),
                    changedSeconds: number(32, Int64.self),
                    changedNanoseconds: number(52, UInt32.self)
                )
                result[fingerprint] = Digest(sha256Raw: raw[(base + 56)..<(base + 88)])
            }
        }
        return result
    }

    /// Replaces what is remembered of `directory`. Blocks.
    public func save(_ directory: String, _ digests: [FileFingerprint: Digest]) throws {
        var data = [UInt8]()
        data.reserveCapacity(digests.count * Self.entrySize)
        func append(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { data += $0 } }
        for (fingerprint, digest) in digests {
            append(fingerprint.device)
            append(fingerprint.inode)
            append(fingerprint.size)
            append(fingerprint.modifiedSeconds)
            append(fingerprint.changedSeconds)
            append(UInt64(0))
            append(fingerprint.modifiedNanoseconds)
            append(fingerprint.changedNanoseconds)
            data += digest.bytes
        }
        try database.write { transaction in
            try transaction.execute(
                "INSERT OR REPLACE INTO directory_digests VALUES (?, ?, ?)",
                [.text(directory), .blob(data), .integer(FileTime.now.seconds)]
            )
        }
    }

    private static let entrySize = 88
}

/// Digests of what a step selected from a tree that never changes.
public struct SelectionDigestMemory: Sendable {
    private static let limit: Int64 = 50_000
    private let database: MetadataDatabase

    public init(_ database: MetadataDatabase) { self.database = database }

    /// Blocks. Damaged data counts as none.
    public func load(_ key: Digest) throws -> Digest? {
        try database.read { transaction in
            try transaction.query("SELECT digest FROM selection_digests WHERE key = ?", [.text(key.hex)]).first?.text(0)
        }.flatMap { try? Digest($0) }
    }

    public func save(_ key: Digest, _ digest: Digest) throws {
        try database.write { transaction in
            try transaction.execute(
                "INSERT OR REPLACE INTO selection_digests (key, digest) VALUES (?, ?)",
                [.text(key.hex), .text(digest.description)]
            )
            // Of many builds each leaves some; the oldest serve for nothing.
            try transaction.execute(
                "DELETE FROM selection_digests WHERE id <= ?",
                [.integer(transaction.lastInsertedID - Self.limit)]
            )
        }
    }
}
