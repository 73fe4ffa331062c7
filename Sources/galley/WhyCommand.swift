// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder
import OCI
import Solver

struct WhyCommand: EngineCommand {
    static let configuration = CommandConfiguration(
        commandName: "why",
        abstract: "Tell why the steps of the last build ran, and which were found.",
        usage: "galley why [OPTIONS] [STEP]"
    )

    static let listing = Listing(
        columns: [
            .init(field: "Step", header: "STEP"), .init(field: "Stage", header: "STAGE"),
            .init(field: "Outcome", header: "OUTCOME"), .init(field: "Code", header: "CODE"),
            .init(field: "Reason", header: "WHY"), .init(field: "Details", header: "DETAILS"),
        ],
        table: ["Outcome", "Step", "Reason"]
    )

    @OptionGroup var global: GlobalOptions

    @Option(help: .init("The last build of this context: a directory or an address.", value: "path"))
    var context: String?

    @Option(
        name: .letter("f", "file"),
        parsing: .unconditional,
        help: .init("The last build of this Dockerfile.", value: "file")
    )
    var file: String?

    @Option(help: .init("The last build for this platform.", value: "os/arch[/variant]"))
    var platform: String?

    @Option(parsing: .unconditional, help: .init("table, json, or a template like '{{.Reason}}'.", value: "format"))
    var format: String?

    @Argument(
        help: .init("A step's number or place, like 3, 3/7 or \"builder 3/7\", or a part of its text.", value: "step")
    )
    var step: String?

    func execute(_ session: Session) async throws -> Int32 {
        let query = WhyQuery(context: context, file: file, platform: try platforms([platform ?? ""]).first?.description)
        guard let build = try session.engine().why(query) else {
            throw BuilderError(
                .notFound,
                context == nil && file == nil && platform == nil
                    ? "nothing was built in this root so far" : "nothing like that was built in this root",
                nextStep: "galley why tells about builds of the last 90 days; build something first"
            )
        }
        try writeOutput(render(build, now: currentSeconds()))
        return 0
    }

    func render(_ build: BuildExplanation, now: Int64) throws -> String {
        let steps = try step.map { try Self.find($0, in: build.steps) } ?? build.steps
        if let format, !format.isEmpty, format != "table" {
            if format == "json" { return indentedJSON(Self.json(build, steps), by: 2) + "\n" }
            return try Self.listing.render(steps.map(Self.row), format: format)
        }
        var text = "\(build.context) (\(build.dockerfile)) for \(build.platform)"
        if let target = build.target { text += ", target \(target)" }
        text += ", \(humanAge(seconds: now - build.time))"
        if !build.succeeded { text += ", not successful" }
        text += "\n\n"
        let showsDetails = step != nil
        return steps.reduce(into: text) { text, step in
            let reason = step.reason.map { ": \($0.summary)" } ?? ""
            text += "\(Self.word(step.outcome)) \(printable(step.name))\(printable(reason))\n"
            guard showsDetails else { return }
            for line in step.reason?.details ?? [] { text += "             \(printable(line))\n" }
        }
    }

    /// Padded to a column.
    private static func word(_ outcome: BuildExplanation.Outcome) -> String {
        outcome.rawValue + String(repeating: " ", count: max(0, 12 - outcome.rawValue.count))
    }

    private static func row(_ step: BuildExplanation.Step) -> [String: String] {
        [
            "Step": printable(step.name), "Stage": step.stage, "Outcome": step.outcome.rawValue,
            "Code": step.reason?.code.rawValue ?? "", "Reason": printable(step.reason?.summary ?? ""),
            "Details": (step.reason?.details ?? []).map(printable).joined(separator: "; "),
        ]
    }

    private static func json(_ build: BuildExplanation, _ steps: [BuildExplanation.Step]) -> JSONValue {
        var object: JSONValue = [
            "context": .string(build.context), "dockerfile": .string(build.dockerfile),
            "platform": .string(build.platform), "time": .integer(build.time), "succeeded": .bool(build.succeeded),
        ]
        object["target"] = build.target.map(JSONValue.string)
        object["steps"] = .array(
            steps.map { step in
                var item: JSONValue = [
                    "name": .string(step.name), "stage": .string(step.stage), "outcome": .string(step.outcome.rawValue),
                ]
                if let reason = step.reason {
                    item["reason"] = [
                        "code": .string(reason.code.rawValue), "summary": .string(reason.summary),
                        "details": .array(reason.details.map(JSONValue.string)),
                    ]
                }
                return item
            }
        )
        return object
    }

    // MARK: Steps

    /// The steps that are meant: by place (`builder 3/7`, `3/7`, `3`), else by a part of their text.
    static func find(_ text: String, in steps: [BuildExplanation.Step]) throws -> [BuildExplanation.Step] {
        let wanted = text.lowercased()
        let placed = steps.filter { step in
            guard let place = place(of: step.name) else { return false }
            let number = place.split(separator: " ").last ?? ""
            return place == wanted || number == wanted || number.prefix { $0 != "/" } == wanted
        }
        let found = placed.isEmpty ? steps.filter { $0.name.lowercased().contains(wanted) } : placed
        guard !found.isEmpty else {
            throw BuilderError(
                .notFound,
                "the last build has no step \"\(text)\"",
                nextStep: "galley why without a step lists them all"
            )
        }
        return found
    }

    /// What stands in the brackets of a step's name, blanks made one: `builder 3/7`.
    private static func place(of name: String) -> String? {
        guard name.hasPrefix("["), let end = name.firstIndex(of: "]") else { return nil }
        return name[name.index(after: name.startIndex)..<end].lowercased().split(separator: " ").joined(separator: " ")
    }
}
