// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder
import DockerfileLint
import OCI
import ProgressUI
import Solver

/// The options of `galley build` that ask about a Dockerfile instead of building it.
struct CallOptions: ParsableArguments {
    @Option(
        parsing: .unconditional,
        help: .init(
            "What to do: build, check, outline or targets; with ,format=json as JSON.",
            value: "method[,format=json][,ignorestatus=true]"
        )
    )
    var call: String?

    @Flag(help: "Report mistakes in the Dockerfile; short for --call=check.")
    var check = false

    /// Nil for a build.
    func parsed() throws -> DockerfileCall? {
        let asked = try call.map { try DockerfileCall.parse($0) } ?? nil
        guard check else { return asked }
        if let asked, asked.method != .check {
            throw invalidValue("--check and --call=\(call ?? "") exclude each other")
        }
        return asked ?? DockerfileCall(method: .check)
    }
}

/// A question about a Dockerfile, in the syntax of `--call`.
struct DockerfileCall: Hashable, Sendable {
    enum Method: String, Sendable {
        case check
        case outline
        case targets
    }

    var method: Method
    var isJSON = false
    /// Exit with 0 whatever a check finds.
    var ignoresStatus = false

    /// Nil for `build`.
    static func parse(_ text: String) throws -> DockerfileCall? {
        var name: String?
        var call = DockerfileCall(method: .check)
        for field in text.split(separator: ",") {
            let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else {
                guard name == nil else { throw invalidValue("invalid print value: \(text)") }
                name = parts[0]
                continue
            }
            switch parts[0] {
            case "format":
                guard ["json", "text"].contains(parts[1]) else {
                    throw invalidValue("invalid format \"\(parts[1])\" in --call", "use json or text")
                }
                call.isJSON = parts[1] == "json"
            case "ignorestatus":
                switch parts[1].lowercased() {
                case "1", "t", "true": call.ignoresStatus = true
                case "0", "f", "false": call.ignoresStatus = false
                default: throw invalidValue("invalid ignorestatus print value: \(parts[1])")
                }
            default: throw invalidValue("invalid print field: \(field)")
            }
        }
        guard let name, name != "build" else { return nil }
        // BuildKit's own name for it.
        guard let method = Method(rawValue: name == "lint" ? "check" : name) else {
            throw invalidValue("\"\(name)\" is no method of --call", "use build, check, outline or targets")
        }
        call.method = method
        return call
    }
}

extension BuildCommand {
    /// Answers a question about the Dockerfile on standard output; returns the exit code.
    func perform(_ call: DockerfileCall, _ request: BuildRequest, _ engine: Engine, _ mode: ProgressMode) async throws
        -> Int32
    {
        for (option, value) in [("--iidfile", imageIDFile), ("--metadata-file", metadataFile)] where value != nil {
            throw invalidValue("\(option) has no meaning with --call=\(call.method.rawValue): nothing is built")
        }
        // buildx takes these without a word.
        let options = [
            ("--output", !outputs.isEmpty), ("--push", push), ("--load", load), ("--explain", explain),
            ("--parallel", parallel != nil),
        ]
        let ignored = options.filter(\.1).map(\.0)
        if !ignored.isEmpty {
            let verb = ignored.count == 1 ? "has" : "have"
            writeError(
                "note: \(ignored.joined(separator: ", ")) \(verb) no meaning with --call=\(call.method.rawValue): nothing "
                    + "is built\n"
            )
        }
        switch call.method {
        case .outline:
            let outline = try await withProgress(mode) { try await engine.outline(request, events: $0) }
            try writeOutput(call.isJSON ? indentedJSON(outline.json, by: 2) + "\n" : outline.text)
            return 0
        case .targets:
            let targets = try await withProgress(mode) { try await engine.targets(request, events: $0) }
            try writeOutput(call.isJSON ? indentedJSON(targets.json, by: 2) + "\n" : targets.text)
            return 0
        case .check:
            let report = try await withProgress(mode) { try await engine.check(request, events: $0) }
            try writeOutput(call.isJSON ? indentedJSON(report.json, by: 2) + "\n" : report.checkText)
            return try complete(report, call)
        }
    }

    /// Says on standard error what is not in the report's text.
    private func complete(_ report: LintReport, _ call: DockerfileCall) throws -> Int32 {
        for image in report.unknownImages {
            writeError(
                "note: the configuration of \(image) is not known, so stages on top of it were not checked for "
                    + "undefined variables\n"
            )
        }
        if let failure = report.failureText {
            if !call.isJSON, !report.warnings.isEmpty { try writeOutput("\n") }
            writeError("ERROR: \(failure)")
            // As docker: this fails whatever the status is wanted for.
            return 1
        }
        return call.ignoresStatus ? 0 : report.statusCode
    }
}

/// `buildx.build.warnings` of a metadata file.
func warningsMetadata(_ warnings: [BuildWarning]) -> JSONValue {
    .array(
        warnings.map { warning in
            let rule = warning.rule.isEmpty ? "" : "\(warning.rule): "
            let place = warning.location.map { " (\($0))" } ?? ""
            var members: [String: JSONValue] = [
                "level": 1, "short": .string(base64Text(Array((rule + warning.message + place).utf8))),
            ]
            if !warning.detail.isEmpty {
                members["detail"] = .array(warning.detail.map { .string(base64Text(Array($0.utf8))) })
            }
            if let url = warning.url { members["url"] = .string(url) }
            if let lines = warning.lines {
                members["range"] = .array(
                    lines.prefix(1000).map { line in
                        let position: JSONValue = ["line": .integer(Int64(line))]
                        return ["start": position, "end": position]
                    }
                )
            }
            return .object(members)
        }
    )
}
