// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder

struct HistoryCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "history",
        abstract: "Show the steps that made an image."
    )

    static let listing = Listing(
        columns: [
            .init(field: "ID", header: "IMAGE"), .init(field: "CreatedSince", header: "CREATED"),
            .init(field: "CreatedAt", header: "CREATED AT"), .init(field: "CreatedBy", header: "CREATED BY"),
            .init(field: "Size", header: "SIZE"), .init(field: "Comment", header: "COMMENT"),
        ],
        table: ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"]
    )

    @OptionGroup var global: GlobalOptions

    @Flag(name: .customLong("no-trunc"), help: "Print whole commands and ids.")
    var full = false

    @Flag(name: .shortAndLong, help: "Print only ids.")
    var quiet = false

    @Flag(name: [.customShort("H"), .long], inversion: .prefixedNo, help: "Print ages and sizes for people.")
    var human = true

    @Option(parsing: .unconditional, help: .init("table, json, or a template like '{{.CreatedBy}}'.", value: "format"))
    var format: String?

    @Argument(help: .init("A name or an id.", value: "image"))
    var image: String

    func execute(_ session: Session) async throws -> Int32 {
        try writeOutput(render(session.engine().history(image), now: currentSeconds()))
        return 0
    }

    func render(_ lines: [HistoryLine], now: Int64) throws -> String {
        if quiet, format == nil { return lines.map { id($0) + "\n" }.joined() }
        let rows = lines.map { line in
            [
                "ID": id(line),
                "CreatedSince": human ? shownAge(line.created, now: now) : line.created ?? "N/A",
                "CreatedAt": line.created ?? "N/A",
                "CreatedBy": createdBy(line.createdBy),
                "Size": line.size.map { human ? humanSize($0) : String($0) } ?? "N/A",
                "Comment": line.comment,
            ]
        }
        return try Self.listing.render(rows, format: format)
    }

    private func id(_ line: HistoryLine) -> String { line.image.map { shownID($0, full: full) } ?? "<missing>" }

    private func createdBy(_ text: String) -> String {
        let flat = text.replacing("\t", with: " ").replacing("\n", with: " ")
        return full || flat.count <= 45 ? flat : flat.prefix(44) + "…"
    }
}
