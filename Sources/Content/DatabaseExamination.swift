// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem

/// A look at a database file that may be damaged. Nothing is repaired and no table is made. Calls block.
public struct DatabaseExamination {
    /// What is wrong with the file, in SQLite's words; empty when it is sound.
    public let faults: [String]
    private let path: String
    private let connection: SQLiteConnection?

    /// - Parameter schemas: tables that must be there when the file says that it has them.
    /// - Throws: `ContentError` when the file cannot be opened at all (permissions), or is a newer Galley's.
    public init(path: String, schemas: [DatabaseSchema]) throws {
        self.path = path
        var opened: SQLiteConnection?
        var found: [String]
        do {
            let connection = try SQLiteConnection(path: path)
            opened = connection
            found = try connection.use { try Self.faults(of: $0, schemas) }
        } catch let error as SQLiteError {
            guard error.isDamage else { throw ContentError.database(error, path: path) }
            found = [error.message]
        }
        connection = opened
        faults = found
    }

    private static func faults(of session: SQLiteSession, _ schemas: [DatabaseSchema]) throws -> [String] {
        var found = try session.rows("PRAGMA integrity_check(20)").compactMap { $0.text(0) }.filter { $0 != "ok" }
        if try !session.rows("PRAGMA foreign_key_check").isEmpty {
            found.append("rows refer to rows that are gone")
        }
        if !found.isEmpty { return found }
        let versions = try MetadataDatabase.versions(session)
        for schema in schemas {
            let version = versions[schema.name] ?? 0
            guard version >= 0 else {
                found.append("the version of the \(schema.name) tables is \(version)")
                continue
            }
            if version > schema.steps.count { throw ContentError.newer(schema, version) }
            let expected = try SQLiteConnection(path: "").use { sample in
                for step in schema.steps[..<version] { try sample.execute(script: step) }
                return try names(in: sample)
            }
            for name in expected.subtracting(try names(in: session)).sorted() { found.append("\(name) is gone") }
        }
        return found
    }

    /// Of all tables and indexes with their columns.
    private static func names(in session: SQLiteSession) throws -> Set<String> {
        var names: Set<String> = []
        for row in try session.rows("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'") {
            guard let type = row.text(0), let name = row.text(1) else { continue }
            names.insert("the \(type) \(name)")
            guard type == "table" else { continue }
            for column in try session.rows("SELECT name FROM pragma_table_info(?)", [.text(name)]) {
                names.insert("the column \(name).\(column.text(0) ?? "")")
            }
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
        guard let connection else { return [] }
        var found: [SQLRow] = []
        var seen: Set<[SQLValue]> = []
        // From both ends up to what is damaged: a table is damaged in one place far more often than in two.
        for direction in ["ASC", "DESC"] {
            try? connection.use { session in
                // The key of a table with numbered rows is an index of its own, which may be damaged where the rows are
                // not.
                let isNumbered = (try? session.rows("SELECT rowid FROM \(table) LIMIT 0")) != nil
                let key = try isNumbered ? ["rowid"] : Self.key(of: table, session)
                let order = key.map { "\($0) \(direction)" }.joined(separator: ",")
                let list = columns.joined(separator: ",")
                try session.run("SELECT \(list) FROM \(table) NOT INDEXED ORDER BY \(order)") { row in
                    if seen.insert(row.values).inserted { found.append(row) }
                }
            }
        }
        return found
    }

    /// The columns of the primary key, in its order.
    private static func key(of table: String, _ session: SQLiteSession) throws -> [String] {
        let sql = "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk"
        return try session.rows(sql, [.text(table)]).compactMap { $0.text(0) }
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
