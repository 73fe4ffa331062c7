// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder
import OCI

struct DoctorCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Look for damage in the store, and repair it.",
        discussion: """
            What is not sound is removed or put right, never guessed; each finding tells what was done and what is left
            for you to do. Builds may run meanwhile.

            Without --deep, contents are read of blobs up to 1 MiB, and of layers only names, sizes and times. With it, \
            all blobs are read, and all layers are compared with their digests.

            Exit code: 0 when the store is sound or was repaired; 1 when it is not sound and --check was given, or when \
            something could not be repaired.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Flag(help: "Only tell what is wrong, and exit with 1 when something is.")
    var check = false

    @Flag(help: "Read all content and compare it with its digests.")
    var deep = false

    @Option(parsing: .unconditional, help: .init("json, for a report that programs read.", value: "format"))
    var format: String?

    func execute(_ session: Session) async throws -> Int32 {
        if let format, format != "json" { throw invalidValue("--format: only json is known, not \(format)") }
        let settings = try session.settings()
        let options = ExaminationOptions(repairs: !check, isDeep: deep)
        let report = try await interruptible { try await Engine.examine(settings, options) }
        try writeOutput(format == "json" ? compactJSON(Self.json(report)) + "\n" : Self.text(report))
        return check ? (report.isSound ? 0 : 1) : (report.needsMore ? 1 : 0)
    }

    static func text(_ report: StoreReport) -> String {
        var lines: [String] = []
        for finding in report.findings {
            lines.append(printable("\(finding.subject): \(finding.problem)"))
            if let action = finding.action { lines.append(printable("    done: \(action)")) }
            if let advice = finding.advice { lines.append(printable("    next: \(advice)")) }
        }
        let counts = report.counts
        lines.append(
            "Looked at \(counts.images) images, \(counts.layers) layers, \(counts.blobs) blobs and "
                + "\(counts.cacheRecords) cache records."
        )
        if counts.unverifiedLayers > 0 {
            lines.append("Of \(counts.unverifiedLayers) layers no digest is known: they were not compared.")
        }
        let repaired = report.findings.count { $0.action != nil }
        let all = report.findings.count
        if all == 0 {
            lines.append("The store is sound.")
        } else if repaired == 0 {
            lines.append("Found \(problems(all)).")
        } else {
            lines.append("Found \(problems(all)) and repaired \(repaired == all ? "all" : "\(repaired)").")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func problems(_ count: Int) -> String { count == 1 ? "1 problem" : "\(count) problems" }

    static func json(_ report: StoreReport) -> JSONValue {
        let findings = report.findings.map { finding in
            var object: JSONValue = ["subject": .string(finding.subject), "problem": .string(finding.problem)]
            object["action"] = finding.action.map(JSONValue.string)
            object["advice"] = finding.advice.map(JSONValue.string)
            return object
        }
        return [
            "sound": .bool(report.isSound), "repaired": .bool(!report.isSound && !report.needsMore),
            "findings": .array(findings),
            "looked_at": [
                "images": .integer(Int64(report.counts.images)), "layers": .integer(Int64(report.counts.layers)),
                "blobs": .integer(Int64(report.counts.blobs)),
                "cache_records": .integer(Int64(report.counts.cacheRecords)),
                "unverified_layers": .integer(Int64(report.counts.unverifiedLayers)),
            ],
        ]
    }
}
