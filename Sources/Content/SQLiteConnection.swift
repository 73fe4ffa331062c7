// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CSQLite
import Glibc
import LinuxSystem

/// What SQLite says when it cannot do something.
struct SQLiteError: Error, CustomStringConvertible {
    /// Without the details that extended codes add: https://sqlite.org/rescode.html
    let code: Int32
    let message: String
    let sql: String?

    /// Another connection has the lock.
    var isBusy: Bool { code == SQLITE_BUSY }
    var isDiskFull: Bool { code == SQLITE_FULL }
    /// The file may not be opened or written, or others have written for too long: nothing is wrong with it.
    var isAccess: Bool { [SQLITE_BUSY, SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_AUTH].contains(code) }
    /// The file cannot be read, or is not what it should be.
    var isDamage: Bool { [SQLITE_ERROR, SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_NOTADB].contains(code) }

    var description: String {
        let statement = sql.map { " - while executing `\($0)`" } ?? ""
        return "SQLite error \(code): \(message)\(statement)"
    }
}

/// A connection to a database file, used by any number of threads in turn.
final class SQLiteConnection: @unchecked Sendable {
    // Proof of @unchecked: the session is only given to the closures of `use`, which have the turn.
    private let session: SQLiteSession
    private let turn = Monitor(())

    /// How long others that write are waited for, in milliseconds.
    static let patience: Int64 = 30_000

    /// Opens the file, or makes it.
    ///
    /// - Parameter path: empty for a database of its own in memory.
    init(path: String) throws(SQLiteError) {
        session = try SQLiteSession(path: path.isEmpty ? ":memory:" : path)
    }

    /// Runs `body` alone. It must not use the connection again.
    func use<R>(_ body: (SQLiteSession) throws -> R) rethrows -> R {
        try turn.withLock(waking: .none) { _ in try body(session) }
    }
}

/// What a connection can be asked by who has the turn.
final class SQLiteSession {
    private let handle: OpaquePointer
    private var statements: [String: SQLiteStatement] = [:]
    private var isInTransaction = false

    fileprivate init(path: String) throws(SQLiteError) {
        var opened: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
        let code = sqlite3_open_v2(path, &opened, flags, nil)
        guard let opened, code == SQLITE_OK else {
            let error = SQLiteError(code: code & 0xff, message: Self.message(opened, code), sql: nil)
            sqlite3_close_v2(opened)
            throw error
        }
        handle = opened
        sqlite3_busy_timeout(opened, CInt(SQLiteConnection.patience))
        galley_sqlite_refuse_quoted_text(opened)
    }

    deinit {
        statements = [:]
        sqlite3_close_v2(handle)
    }

    /// The last connection that closes leaves the log as it is. It would otherwise empty it into the file, which waits for
    /// the disk four times.
    func keepLogOnClose() { _ = galley_sqlite_keep_log_on_close(handle) }

    /// Runs any number of statements without arguments; rows are passed over.
    func execute(script: String) throws(SQLiteError) {
        try checkTransaction(script)
        let code = sqlite3_exec(handle, script, nil, nil, nil)
        if code != SQLITE_OK { throw error(code, script) }
    }

    /// Runs one statement, which is kept for the next time.
    ///
    /// - Parameter each: gets the rows; those before an error too.
    func run(_ sql: String, _ arguments: [SQLValue] = [], each: (SQLRow) -> Void = { _ in }) throws(SQLiteError) {
        try checkTransaction(sql)
        let statement = try statement(sql)
        precondition(statement.parameterCount == arguments.count, "one argument for each ? of \(sql)")
        defer { statement.reset() }
        for (index, argument) in arguments.enumerated() {
            let code = statement.bind(argument, at: CInt(index) + 1)
            if code != SQLITE_OK { throw error(code, sql) }
        }
        while true {
            let code = statement.step()
            if code == SQLITE_DONE { return }
            guard code == SQLITE_ROW else { throw error(code, sql) }
            each(statement.row())
        }
    }

    /// All rows of one statement.
    func rows(_ sql: String, _ arguments: [SQLValue] = []) throws(SQLiteError) -> [SQLRow] {
        var rows: [SQLRow] = []
        try run(sql, arguments) { rows.append($0) }
        return rows
    }

    /// How a transaction begins: `deferred` takes the lock of writers when it first writes, `immediate` at once.
    enum TransactionKind { case deferred, immediate }

    /// Runs `body` in a transaction; it is undone when `body` throws.
    func transaction<R>(_ kind: TransactionKind, _ body: () throws -> R) throws -> R {
        try run(kind == .immediate ? "BEGIN IMMEDIATE" : "BEGIN DEFERRED")
        isInTransaction = true
        defer { isInTransaction = false }
        do {
            let result = try body()
            try run("COMMIT")
            return result
        } catch {
            if !wasUndone { try? run("ROLLBACK") }
            throw error
        }
    }

    /// A full disk and the like undo a transaction at once.
    private var wasUndone: Bool { isInTransaction && sqlite3_get_autocommit(handle) != 0 }

    /// What follows in a transaction that was undone would be done for itself.
    private func checkTransaction(_ sql: String) throws(SQLiteError) {
        if wasUndone { throw SQLiteError(code: SQLITE_ABORT, message: "the transaction was undone", sql: sql) }
    }

    /// The row id of the last insert.
    var lastInsertedID: Int64 { sqlite3_last_insert_rowid(handle) }

    /// Rows that the last statement changed.
    var changes: Int { Int(sqlite3_changes(handle)) }

    private func statement(_ sql: String) throws(SQLiteError) -> SQLiteStatement {
        if let known = statements[sql] { return known }
        var prepared: OpaquePointer?
        let (code, isWhole) = sql.withCString { text in
            var rest: UnsafePointer<CChar>?
            let code = sqlite3_prepare_v3(handle, text, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, &rest)
            return (code, rest.map { strspn($0, " \n") == strlen($0) } ?? true)
        }
        guard code == SQLITE_OK else { throw error(code, sql) }
        guard let prepared, isWhole else { preconditionFailure("one statement, not \(sql)") }
        let statement = SQLiteStatement(handle: prepared)
        statements[sql] = statement
        return statement
    }

    private func error(_ code: CInt, _ sql: String) -> SQLiteError {
        SQLiteError(code: code & 0xff, message: Self.message(handle, code), sql: sql)
    }

    private static func message(_ handle: OpaquePointer?, _ code: CInt) -> String {
        guard let text = handle.flatMap({ sqlite3_errmsg($0) }) ?? sqlite3_errstr(code) else { return "unknown" }
        return String(cString: text)
    }
}

/// A prepared statement.
private final class SQLiteStatement {
    private let handle: OpaquePointer

    init(handle: OpaquePointer) { self.handle = handle }

    deinit { sqlite3_finalize(handle) }

    var parameterCount: Int { Int(sqlite3_bind_parameter_count(handle)) }

    func bind(_ value: SQLValue, at index: CInt) -> CInt {
        switch value {
        case .null: return sqlite3_bind_null(handle, index)
        case .integer(let number): return sqlite3_bind_int64(handle, index, number)
        case .text(var text):
            return text.withUTF8 { utf8 in
                utf8.withMemoryRebound(to: CChar.self) {
                    galley_sqlite_bind_text(handle, index, $0.baseAddress, UInt64($0.count))
                }
            }
        case .blob(let bytes):
            return bytes.withUnsafeBytes { galley_sqlite_bind_blob(handle, index, $0.baseAddress, UInt64($0.count)) }
        }
    }

    func step() -> CInt { sqlite3_step(handle) }

    /// Frees what the row and the arguments take.
    func reset() {
        sqlite3_reset(handle)
        sqlite3_clear_bindings(handle)
    }

    func row() -> SQLRow { SQLRow(values: (0..<sqlite3_column_count(handle)).map(value)) }

    private func value(_ column: CInt) -> SQLValue {
        switch sqlite3_column_type(handle, column) {
        case SQLITE_NULL: .null
        case SQLITE_TEXT:
            .text(String(decoding: bytes(UnsafeRawPointer(sqlite3_column_text(handle, column)), column), as: UTF8.self))
        case SQLITE_BLOB: .blob(Array(bytes(sqlite3_column_blob(handle, column), column)))
        // No table holds other numbers; those of a damaged one become the nearest.
        default: .integer(sqlite3_column_int64(handle, column))
        }
    }

    /// The size is asked for after the pointer, which may convert the value.
    private func bytes(_ start: UnsafeRawPointer?, _ column: CInt) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : Int(sqlite3_column_bytes(handle, column)))
    }
}
