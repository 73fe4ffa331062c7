// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Foundation
import GRDB
public import LinuxSystem

/// A look at a database file that may be damaged. Nothing is repaired and no table is made. Calls block.
public struct DatabaseExamination {
    /// What is wrong with the file, in SQLite's words; empty when it is sound.
    public let faults: [String]
    private let path: String
    private let queue: DatabaseQueue?

    /// - Parameter schemas: tables that must be there when the file says that it has them.
    /// - Throws: `ContentError` when the file cannot be opened at all (permissions), or is a newer Galley's.
    public init(path: String, schemas: [DatabaseSchema]) throws {
        self.path = path
        var configuration = Configuration()
        configuration.busyMode = .timeout(30)
        var opened: DatabaseQueue?
        var found: [String]
        do {
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            opened = queue
            found = try queue.writeWithoutTransaction { try Self.faults(of: $0, schemas) }
        } catch let error as DatabaseError {
            guard [.SQLITE_NOTADB, .SQLITE_CORRUPT, .SQLITE_IOERR, .SQLITE_ERROR].contains(error.resultCode) else {
                throw ContentError.database(error.description, path: path)
            }
            found = [error.message ?? error.description]
        }
        queue = opened
        faults = found
    }

    private static func faults(of database: Database, _ schemas: [DatabaseSchema]) throws -> [String] {
        var found = try String.fetchAll(database, sql: "PRAGMA integrity_check(20)").filter { $0 != "ok" }
        if try Row.fetchOne(database, sql: "PRAGMA foreign_key_check") != nil {
            found.append("rows refer to rows that are gone")
        }
        if !found.isEmpty { return found }
        let versions = try versions(in: database)
        for schema in schemas {
            let version = versions[schema.name] ?? 0
            if version > schema.steps.count { throw ContentError.newer(schema, version) }
            let sample = try DatabaseQueue()
            let expected = try sample.write { sample in
                for step in schema.steps[..<version] { try sample.execute(sql: step) }
                return try names(in: sample)
            }
            for name in expected.subtracting(try names(in: database)).sorted() { found.append("\(name) is gone") }
        }
        return found
    }

    private static func versions(in database: Database) throws -> [String: Int] {
        guard try database.tableExists("schema_versions") else { return [:] }
        let rows = try Row.fetchAll(database, sql: "SELECT name, version FROM schema_versions")
        return Dictionary(rows.map { ($0[0] as String, $0[1] as Int) }, uniquingKeysWith: max)
    }

    /// Of all tables and indexes with their columns.
    private static func names(in database: Database) throws -> Set<String> {
        var names: Set<String> = []
        for row in try Row.fetchAll(
            database,
            sql: "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
        ) {
            let (type, name) = (row[0] as String, row[1] as String)
            names.insert("the \(type) \(name)")
            guard type == "table" else { continue }
            for column in try database.columns(in: name) { names.insert("the column \(name).\(column.name)") }
        }
        return names
    }

    /// A copy of the file with the first page that a new database has: it says where the tables are, and a file that lost
    /// it can be read again when its tables were made in the same order. What is read of it has to be proved.
    public func withNewHeader(at copy: RawPath, _ schemas: [DatabaseSchema]) throws -> DatabaseExamination {
        try MetadataDatabase(path: copy.description, schemas: schemas).emptyLog()
        let pageSize = 4096
        var page = try readFile(copy, limit: 1 << 30).prefix(pageSize)
        let source = try open(RawPath(path), .readOnly)
        let target = try open(copy, [.readWrite, .truncate])
        let size = try status(of: source.raw).size
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        while case let count = try readBytes(source.raw, into: buffer), count > 0 {
            try writeBytes(target.raw, UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
        // The file format's header, 1.3: how many pages there are, and no list of free ones.
        let pages = UInt32(truncatingIfNeeded: (size + Int64(pageSize) - 1) / Int64(pageSize))
        withUnsafeBytes(of: pages.bigEndian) { page.replaceSubrange(28..<32, with: $0) }
        page.replaceSubrange(32..<40, with: repeatElement(0, count: 8))
        try seek(target.raw, to: 0)
        try writeBytes(target.raw, page)
        try setSize(target.raw, Int64(pages) * Int64(pageSize))
        // What was written last may be in the log only.
        let log = RawPath(path).appendingSuffix("-wal")
        for suffix in ["-wal", "-shm"] { try removeTree(copy.appendingSuffix(suffix)) }
        if try statusIfPresent(at: workingDirectory, log) != nil {
            let log = try open(log, .readOnly)
            let target = try open(copy.appendingSuffix("-wal"), [.writeOnly, .create, .exclusive], mode: 0o600)
            while try copyRange(from: log.raw, to: target.raw, 8 << 20) > 0 {}
        }
        return try DatabaseExamination(path: copy.description, schemas: [])
    }

    /// The rows of a table that can still be read, whatever lies between them.
    public func rows(of table: String, _ columns: [String]) -> [SQLRow] {
        guard let queue else { return [] }
        var found: [SQLRow] = []
        var seen: Set<[SQLValue]> = []
        // From both ends up to what is damaged: a table is damaged in one place far more often than in two.
        for direction in ["ASC", "DESC"] {
            try? queue.writeWithoutTransaction { database in
                // The key of a table with numbered rows is an index of its own, which may be damaged where the rows are
                // not.
                let isNumbered = (try? database.makeStatement(sql: "SELECT rowid FROM \(table)")) != nil
                let key = isNumbered ? ["rowid"] : try database.primaryKey(table).columns
                let order = key.map { "\($0) \(direction)" }.joined(separator: ",")
                let cursor = try Row.fetchCursor(
                    database,
                    sql: "SELECT \(columns.joined(separator: ",")) FROM \(table) NOT INDEXED ORDER BY \(order)"
                )
                while let row = try cursor.next() {
                    let values = Array(row.databaseValues.map(SQLValue.init))
                    if seen.insert(values).inserted { found.append(SQLRow(values: values)) }
                }
            }
        }
        return found
    }
}

extension MetadataDatabase {
    /// Puts the damaged file aside and the finished one in its place. Nobody else may use either.
    ///
    /// - Parameter suffix: what the damaged file's name gets.
    public static func replace(_ path: RawPath, with new: RawPath, suffix: String) throws {
        // A log must never be beside a database that it does not belong to, so it goes first.
        for part in ["-wal", "-shm"] where try statusIfPresent(at: workingDirectory, path.appendingSuffix(part)) != nil
        {
            try renameFile(path.appendingSuffix(part), to: workingDirectory, path.appendingSuffix(suffix + part))
        }
        if try statusIfPresent(at: workingDirectory, path) != nil {
            try makeHardLink(from: workingDirectory, path, to: workingDirectory, path.appendingSuffix(suffix))
        }
        try renameFile(new, to: workingDirectory, path)
    }
}
