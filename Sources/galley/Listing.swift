// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import OCI

/// How a list is shown: docker's `--format`.
struct Listing {
    struct Column {
        /// The field's name in templates and JSON.
        var field: String
        var header: String
    }

    /// What templates can name.
    var columns: [Column]
    /// The fields of the plain table.
    var table: [String]

    /// The text for `rows`; `format` is nil or `table` for the table, `table TEMPLATE`, `json`, or a template.
    func render(_ rows: [[String: String]], format: String?) throws -> String {
        let format = format.flatMap { $0.isEmpty ? nil : $0 } ?? "table"
        if format == "table" {
            return textTable([table.map(header)] + rows.map { row in table.map { row[$0] ?? "" } })
        }
        let values = rows.map { JSONValue.object($0.mapValues(JSONValue.string)) }
        if format == "json" { return values.map { compactJSON($0) + "\n" }.joined() }
        guard format.hasPrefix("table ") else {
            let template = try FormatTemplate(format)
            return try values.map { try template.render($0) + "\n" }.joined()
        }
        let template = try FormatTemplate(String(format.dropFirst("table ".count)))
        let headers = JSONValue.object(
            Dictionary(columns.map { ($0.field, JSONValue.string($0.header)) }, uniquingKeysWith: { first, _ in first })
        )
        let lines = try ([headers] + values).map { try template.render($0) }
        return textTable(lines.map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) })
    }

    private func header(_ field: String) -> String { columns.first { $0.field == field }?.header ?? field }
}

/// An image id in a list: twelve digits, or all of it.
func shownID(_ digest: Digest, full: Bool) -> String { full ? digest.description : String(digest.hex.prefix(12)) }

/// The age of something made at `created` (RFC 3339).
func shownAge(_ created: String?, now: Int64) -> String {
    guard let created, let seconds = secondsSince1970(created) else { return "N/A" }
    return humanAge(seconds: now - seconds)
}

/// A moment in local time, as Go prints it: `2024-01-02 03:04:05 +0000 UTC`.
func shownTime(_ created: String?) -> String {
    guard let created, let seconds = secondsSince1970(created) else { return "N/A" }
    return shownTime(seconds)
}

/// As above, of seconds since 1970.
func shownTime(_ seconds: Int64) -> String {
    var moment = time_t(seconds)
    var parts = tm()
    guard localtime_r(&moment, &parts) != nil else { return "N/A" }
    var buffer = [CChar](repeating: 0, count: 64)
    let count = strftime(&buffer, buffer.count, "%Y-%m-%d %H:%M:%S %z %Z", &parts)
    return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
