// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI

/// What `--progress=rawjson` told of a build, in BuildKit's `SolveStatus` lines.
public struct ProgressRecord: Sendable {
    /// One step, as it was told last.
    public struct Step: Sendable {
        public let digest: String
        public let name: String
        /// RFC 3339 in UTC with nine digits after the point: sorts as text.
        public var started: String?
        public var completed: String?
        public var isCached: Bool
        public var error: String?
        /// Why it ran.
        public var reason: Reason?

        /// Whether both steps were running at some moment.
        public func overlaps(_ other: Step) -> Bool {
            guard let started, let completed, let otherStarted = other.started, let otherCompleted = other.completed
            else { return false }
            return started < otherCompleted && otherStarted < completed
        }
    }

    /// Why a step ran, as `reasons` tell it.
    public struct Reason: Sendable, Equatable {
        public let code: String
        public let summary: String
        public let details: [String]

        public init(code: String, summary: String, details: [String] = []) {
            self.code = code
            self.summary = summary
            self.details = details
        }
    }

    /// In the order in which they were first told.
    public private(set) var steps: [Step] = []
    /// All output of steps.
    public private(set) var log = ""

    /// Throws for a line that is not a JSON object or a vertex without a digest.
    public init(parsing bytes: [UInt8]) throws {
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            guard let status = try? JSONValue(parsing: line), status.objectValue != nil else {
                throw ProgramFailure(description: "not a JSON object: \(String(decoding: line, as: UTF8.self))")
            }
            for vertex in status["vertexes"]?.arrayValue ?? [] { try add(vertex) }
            for reason in status["reasons"]?.arrayValue ?? [] { try add(reason: reason) }
            for entry in status["logs"]?.arrayValue ?? [] {
                log += String(decoding: decodeBase64(entry["data"]?.stringValue ?? ""), as: UTF8.self)
            }
        }
    }

    /// The steps of the Dockerfile's instructions, `[stage 2/3] RUN x`, without `[internal]` ones.
    public var instructions: [Step] {
        steps.filter { $0.name.hasPrefix("[") && $0.name.contains("/") && !$0.name.hasPrefix("[internal") }
    }

    /// Instructions that were carried out, not taken from the cache; FROM is told as carried out only if it pulls.
    public var executed: [String] { instructions.filter { !$0.isCached }.map(\.name) }

    /// The only step whose name contains the text.
    public func step(_ text: String) throws -> Step {
        let found = steps.filter { $0.name.contains(text) }
        guard found.count == 1 else {
            throw ProgramFailure(description: "\(found.count) steps have '\(text)' in their name: \(steps.map(\.name))")
        }
        return found[0]
    }

    private mutating func add(_ vertex: JSONValue) throws {
        guard let text = vertex["digest"]?.stringValue, let digest = try? Digest(text) else {
            throw ProgramFailure(description: "a vertex without a digest: \(vertex)")
        }
        let position = steps.firstIndex { $0.digest == digest.description } ?? steps.count
        if position == steps.count {
            steps.append(Step(digest: digest.description, name: vertex["name"]?.stringValue ?? "", isCached: false))
        }
        if let time = vertex["started"]?.stringValue { steps[position].started = Self.sortable(time) }
        if let time = vertex["completed"]?.stringValue { steps[position].completed = Self.sortable(time) }
        if vertex["cached"]?.boolValue == true { steps[position].isCached = true }
        if let error = vertex["error"]?.stringValue { steps[position].error = error }
    }

    private mutating func add(reason: JSONValue) throws {
        guard let position = steps.firstIndex(where: { $0.digest == reason["vertex"]?.stringValue }),
            let code = reason["code"]?.stringValue, let summary = reason["summary"]?.stringValue,
            steps[position].reason == nil
        else { throw ProgramFailure(description: "a reason for no step, or a second one: \(reason)") }
        let details = (reason["details"]?.arrayValue ?? []).compactMap(\.stringValue)
        steps[position].reason = Reason(code: code, summary: summary, details: details)
    }

    /// Go leaves out zeros at the end of the fraction.
    private static func sortable(_ time: String) -> String {
        let parts = time.dropLast().split(separator: ".")
        let fraction = parts.count > 1 ? String(parts[1]) : ""
        return "\(parts.first ?? "").\(fraction)\(String(repeating: "0", count: max(0, 9 - fraction.count)))"
    }
}

private func decodeBase64(_ text: String) -> [UInt8] {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var result: [UInt8] = []
    var bits: UInt32 = 0
    var count = 0
    for byte in text.utf8 {
        guard let value = alphabet.firstIndex(of: byte) else { continue }
        bits = bits << 6 | UInt32(value)
        count += 6
        if count >= 8 {
            count -= 8
            result.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
        }
    }
    return result
}
