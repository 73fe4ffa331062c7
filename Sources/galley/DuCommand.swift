// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder

struct DuCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "du",
        abstract: "Show what takes space in the store, and what the policy makes of it."
    )

    static let listing = Listing(
        columns: [
            .init(field: "ID", header: "ID"), .init(field: "Reclaimable", header: "RECLAIMABLE"),
            .init(field: "Size", header: "SIZE"), .init(field: "LastUsedSince", header: "LAST ACCESSED"),
            .init(field: "LastUsedAt", header: "LAST USED AT"), .init(field: "CreatedAt", header: "CREATED AT"),
            .init(field: "Parents", header: "PARENTS"), .init(field: "Mutable", header: "MUTABLE"),
            .init(field: "Shared", header: "SHARED"), .init(field: "InUse", header: "IN USE"),
            .init(field: "Description", header: "DESCRIPTION"), .init(field: "UsageCount", header: "USAGE COUNT"),
            .init(field: "Type", header: "TYPE"),
        ],
        table: ["ID", "Reclaimable", "Size", "LastUsedSince"]
    )

    @OptionGroup var global: GlobalOptions

    @Flag(name: .shortAndLong, help: "Show all that is known of each.")
    var verbose = false

    @Option(
        parsing: .unconditionalSingleValue,
        help: .init("Show only what matches, like type=regular, inuse or description~=apt.", value: "filter")
    )
    var filter: [String] = []

    @Option(
        parsing: .unconditional,
        help: .init("table, json, or a template like '{{.ID}} {{.Size}}'.", value: "format")
    )
    var format: String?

    func execute(_ session: Session) async throws -> Int32 {
        if verbose, format != nil { throw invalidValue("--verbose and --format cannot be used together") }
        let selection = try UsageSelection(filter)
        let engine = try session.engine()
        let usage = try await interruptible { try await engine.usage() }
        try writeOutput(render(usage, selection, now: currentSeconds()))
        return 0
    }

    func render(_ usage: StoreUsage, _ selection: UsageSelection, now: Int64) throws -> String {
        let shown = try selection.select(usage.records, now: now)
        if let format, format != "table" {
            return try Self.listing.render(shown.map { Self.row($0, now, marks: false) }, format: format)
        }
        var text =
            verbose
            ? shown.map { Self.details($0, now) }.joined()
            : try Self.listing.render(shown.map { Self.row($0, now, marks: true) }, format: nil)
        text += Self.totals(shown)
        if filter.isEmpty { text += "\n" + PolicyExplanation(usage: usage, now: now).text }
        return text
    }

    // MARK: Records

    /// - Parameter marks: as buildx's table: a star after the ids of what builds change and the sizes of what is shared.
    static func row(_ record: UsageRecord, _ now: Int64, marks: Bool) -> [String: String] {
        [
            "ID": record.id + (marks && record.isMutable ? "*" : ""),
            "Reclaimable": String(record.isReclaimable),
            "Size": humanSize(record.size) + (marks && record.isShared ? "*" : ""),
            "LastUsedSince": record.lastUsedSeconds.map { humanAge(seconds: now - $0) } ?? "",
            "LastUsedAt": record.lastUsedSeconds.map(shownTime) ?? "",
            "CreatedAt": record.created.map(shownTime) ?? "",
            "Parents": record.parents.joined(separator: ","),
            "Mutable": String(record.isMutable),
            "Shared": String(record.isShared),
            "InUse": String(record.isInUse),
            "Description": printable(record.description),
            "UsageCount": String(record.uses),
            "Type": record.kind.rawValue,
        ]
    }

    static func details(_ record: UsageRecord, _ now: Int64) -> String {
        var lines = [("ID", record.id)]
        if !record.parents.isEmpty { lines.append(("Parents", record.parents.joined(separator: ","))) }
        if let created = record.created { lines.append(("Created at", shownTime(created))) }
        lines += [
            ("Mutable", String(record.isMutable)), ("Reclaimable", String(record.isReclaimable)),
            ("Shared", String(record.isShared)), ("Size", humanSize(record.size)),
        ]
        if !record.description.isEmpty { lines.append(("Description", printable(record.description))) }
        lines.append(("Usage count", String(record.uses)))
        if let last = record.lastUsedSeconds { lines.append(("Last used", humanAge(seconds: now - last))) }
        lines.append(("Type", record.kind.rawValue))
        return lines.map(tabbed).joined() + "\n"
    }

    static func totals(_ records: [UsageRecord]) -> String {
        func sum(_ isCounted: (UsageRecord) -> Bool) -> Int64 {
            records.reduce(0) { $0 + (isCounted($1) ? $1.size : 0) }
        }
        var lines: [(String, String)] = []
        if records.contains(where: \.isShared) {
            lines.append(("Shared", humanSize(sum(\.isShared))))
            lines.append(("Private", humanSize(sum { !$0.isShared })))
        }
        lines.append(("Reclaimable", humanSize(sum(\.isReclaimable))))
        lines.append(("Total", humanSize(sum { _ in true })))
        return lines.map(tabbed).joined()
    }

    /// As buildx aligns them: with tabs.
    private static func tabbed(_ line: (name: String, value: String)) -> String {
        "\(line.name):\(line.name.count < 7 ? "\t\t" : "\t")\(line.value)\n"
    }
}
