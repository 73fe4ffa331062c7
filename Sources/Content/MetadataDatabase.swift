// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import Synchronization

/// A value of a column.
public enum SQLValue: Hashable, Sendable {
    case null
    case integer(Int64)
    case text(String)
    case blob([UInt8])
}

extension SQLValue: ExpressibleByIntegerLiteral, ExpressibleByStringLiteral, ExpressibleByNilLiteral {
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(stringLiteral value: String) { self = .text(value) }
    public init(nilLiteral: ()) { self = .null }
    public init(_ value: Int64?) { self = value.map(SQLValue.integer) ?? .null }
    public init(_ value: String?) { self = value.map(SQLValue.text) ?? .null }
}

/// One row of an answer; columns by position.
public struct SQLRow: Sendable {
    /// In the order of the columns.
    public let values: [SQLValue]

    public func integer(_ column: Int) -> Int64? { if case .integer(let value) = values[column] { value } else { nil } }
    public func text(_ column: Int) -> String? { if case .text(let value) = values[column] { value } else { nil } }
    public func blob(_ column: Int) -> [UInt8]? { if case .blob(let value) = values[column] { value } else { nil } }
}

/// The tables of one module: step n brings version n-1 to n. Steps are only ever added.
public struct DatabaseSchema: Sendable {
    public let name: String
    public let steps: [String]

    public init(name: String, steps: [String]) {
        self.name = name
        self.steps = steps
    }
}

/// `galley.db`: SQLite in WAL mode, one connection a process, any number of processes.
///
/// Calls block for the disk or for another process's transaction (30 s at most, then an error).
public final class MetadataDatabase: Sendable {
    private let connection: SQLiteConnection
    private let path: String
    /// Something was written that has to be on disk before it is reported.
    private let owesSync = Mutex(false)

    /// What the log may grow to before `close` empties it: whoever opens the file first reads all of it.
    private static let logLimit: Int64 = 1 << 20

    /// Opens or makes the file and brings every schema to its newest version.
    public init(path: String, schemas: [DatabaseSchema]) throws {
        self.path = path
        do {
            connection = try SQLiteConnection(path: path)
            try connection.use { session in
                session.keepLogOnClose()
                try Self.useLog(session)
                try session.execute(script: "PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON")
                try Self.migrate(session, schemas)
            }
        } catch let error as SQLiteError {
            throw ContentError.database(error, path: path)
        }
    }

    /// Leaves a log that is soon read. Call it last; without it nothing is lost.
    public func close() {
        let log = RawPath(path + "-wal")
        guard let size = try? statusIfPresent(at: workingDirectory, log)?.size, size > Self.logLimit else { return }
        // Where others are at it, one of them will come to it.
        try? connection.use { try $0.execute(script: "PRAGMA busy_timeout=0") }
        try? emptyLog()
    }

    /// Brings everything into the file itself, unless others are reading.
    public func emptyLog() throws {
        try translating { try $0.execute(script: "PRAGMA wal_checkpoint(TRUNCATE)") }
    }

    /// Runs `body` in a transaction that may write; it is undone when `body` throws.
    public func write<R>(_ body: (Transaction) throws -> R) throws -> R {
        try translating { session in
            try session.transaction(.immediate) { try body(Transaction(session: session)) }
        }
    }

    /// As `write`, and returns when it is on disk, with all that was written before.
    public func writeDurably<R>(_ body: (Transaction) throws -> R) throws -> R {
        let result = try write(body)
        owesSync.withLock { $0 = true }
        try sync()
        return result
    }

    /// As `write`, for what `sync` is to bring to the disk before it is reported.
    func writeBeforeSync<R>(_ body: (Transaction) throws -> R) throws -> R {
        let result = try write(body)
        owesSync.withLock { $0 = true }
        return result
    }

    /// Returns when everything is on disk that has to be; does nothing when nothing has.
    public func sync() throws {
        // Who writes or syncs meanwhile waits: nobody's write is taken for one that this brings to the disk.
        try owesSync.withLock { owes in
            guard owes else { return }
            // All that was committed is in the log, or went from there to a file that was synced first.
            do throws(SystemError) {
                let file = try open(RawPath(path + "-wal"), .readOnly)
                try syncFile(file.raw)
            } catch {
                guard error.isNotFound else { throw error }
            }
            owes = false
        }
    }

    /// Runs `body` on one consistent state of the tables.
    public func read<R>(_ body: (Transaction) throws -> R) throws -> R {
        try translating { session in
            try session.transaction(.deferred) { try body(Transaction(session: session)) }
        }
    }

    /// Bytes of the file that hold nothing.
    public func unusedBytes() throws -> Int64 {
        try read { transaction in
            let pages = try transaction.query("PRAGMA freelist_count").first?.integer(0) ?? 0
            return try pages * (transaction.query("PRAGMA page_size").first?.integer(0) ?? 0)
        }
    }

    /// Gives the bytes that hold nothing back to the disk. Writes of other processes wait meanwhile.
    public func compact() throws {
        try translating { try $0.execute(script: "VACUUM") }
        try emptyLog()
    }

    /// Statements inside `read` or `write`. Must not leave the closure.
    public struct Transaction {
        let session: SQLiteSession

        /// All rows of a query; statements are prepared once and kept.
        public func query(_ sql: String, _ arguments: [SQLValue] = []) throws -> [SQLRow] {
            try session.rows(sql, arguments)
        }

        public func execute(_ sql: String, _ arguments: [SQLValue] = []) throws { try session.run(sql, arguments) }

        /// The row id of the last insert.
        public var lastInsertedID: Int64 { session.lastInsertedID }

        /// Rows that the last statement changed.
        public var changes: Int { session.changes }
    }

    /// Of several that open a new file at once, SQLite lets one give it a log and does not make the others wait.
    private static func useLog(_ session: SQLiteSession) throws(SQLiteError) {
        let deadline = monotonicNanoseconds() + SQLiteConnection.patience * 1_000_000
        while true {
            do {
                return try session.execute(script: "PRAGMA journal_mode=WAL")
            } catch {
                guard error.isBusy, monotonicNanoseconds() < deadline else { throw error }
                usleep(1000)
            }
        }
    }

    private static func migrate(_ session: SQLiteSession, _ schemas: [DatabaseSchema]) throws {
        let known = try versions(session)
        guard schemas.contains(where: { (known[$0.name] ?? 0) != $0.steps.count }) else { return }
        try session.transaction(.immediate) {
            try session.run(
                "CREATE TABLE IF NOT EXISTS schema_versions (name TEXT PRIMARY KEY, version INTEGER NOT NULL)"
            )
            // Another process may have been faster.
            let known = try versions(session)
            for schema in schemas {
                let version = known[schema.name] ?? 0
                guard version >= 0 else { throw ContentError.damagedRow("as the version of its tables") }
                guard version <= schema.steps.count else { throw ContentError.newer(schema, version) }
                for step in schema.steps[version...] { try session.execute(script: step) }
                try session.run(
                    "INSERT OR REPLACE INTO schema_versions VALUES (?, ?)",
                    [.text(schema.name), .integer(Int64(schema.steps.count))]
                )
            }
        }
    }

    /// The version of each schema that the file has.
    static func versions(_ session: SQLiteSession) throws -> [String: Int] {
        let table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_versions'"
        guard try !session.rows(table).isEmpty else { return [:] }
        var versions: [String: Int] = [:]
        for row in try session.rows("SELECT name, version FROM schema_versions") {
            if let name = row.text(0), let version = row.integer(1) { versions[name] = Int(version) }
        }
        return versions
    }

    private func translating<R>(_ body: (SQLiteSession) throws -> R) throws -> R {
        do {
            return try connection.use(body)
        } catch let error as SQLiteError {
            throw ContentError.database(error, path: path)
        }
    }
}

extension ContentError {
    static func newer(_ schema: DatabaseSchema, _ version: Int) -> ContentError {
        ContentError(
            .newerStore,
            "the store was written by a newer Galley (\(schema.name) tables have version \(version), this program knows "
                + "\(schema.steps.count))",
            nextStep: "use that newer Galley, or another --root"
        )
    }
}
