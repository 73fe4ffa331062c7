// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
import Solver
import Testing

@testable import ProgressUI

struct JSONRendererTests {
    private func parse(_ text: String) throws -> [JSONValue] {
        try text.split(separator: "\n").map { try JSONValue(parsing: Array($0.utf8)) }
    }

    /// Always, and where BuildKit's clients, which know no such member, pass over it.
    @Test func reasonsAreAMemberOfTheirOwn() throws {
        var renderer = JSONRenderer(limit: LogLimit())
        renderer.receive(all: [
            Script.start("a"), .reason(Script.id("a"), StepReason(.noCache, "--no-cache", details: ["1", "2"])),
            Script.start("b"), .reason(Script.id("b"), StepReason(.firstBuild, "first")), Script.done("a", 1),
            // Of steps that are over or never were, nothing is told.
            .reason(Script.id("a"), StepReason(.noCache, "late")), .reason(Script.id("c"), StepReason(.noCache, "no")),
        ])
        let lines = try parse(renderer.text(at: 1))
        let first: JSONValue = [
            "vertex": .string(Script.id("a").description), "code": "no-cache", "summary": "--no-cache",
            "details": ["1", "2"],
        ]
        let second: JSONValue = [
            "vertex": .string(Script.id("b").description), "code": "first-build", "summary": "first",
        ]
        #expect(lines.compactMap { $0["reasons"] } == [[first, second]])
    }

    @Test func oneOfEach() throws {
        var renderer = JSONRenderer(limit: LogLimit())
        let name = "[2/2] RUN \"echo\" \\ \u{1B}\u{7F}\n\u{1} 日本"
        renderer.receive(all: [
            Script.start(name, 0, inputs: ["base"]), Script.log(name, 0.5, "hi\n\u{1B}[1m", .standardError),
            .transfer(Script.id(name), transfer("sha256:abc", 5, of: 10)), Script.cached("c", 0.25),
            .warning(
                Script.id(name),
                BuildWarning(rule: "R", message: "m", location: "Dockerfile:3", url: "https://u", detail: ["d"])
            ),
        ])
        let first = try parse(renderer.text(at: 1))
        #expect(first.count == 1)
        let digest = JSONValue.string(Script.id(name).description)
        #expect(
            first[0]
                == .object([
                    "vertexes": .array([
                        .object([
                            "digest": digest, "name": .string(name), "started": .string("2023-11-14T22:13:20Z"),
                            "inputs": .array([.string(Script.id("base").description)]),
                        ]),
                        .object([
                            "digest": .string(Script.id("c").description), "name": .string("c"),
                            "started": .string("2023-11-14T22:13:20.25Z"),
                            "completed": .string("2023-11-14T22:13:20.25Z"), "cached": .bool(true),
                        ]),
                    ]),
                    "statuses": .array([
                        .object([
                            "id": .string("sha256:abc"), "name": .string("sha256:abc"), "vertex": digest,
                            "total": .integer(10), "current": .integer(5),
                            "timestamp": .string("2023-11-14T22:13:21Z"), "started": .string("2023-11-14T22:13:20Z"),
                        ])
                    ]),
                    "logs": .array([
                        .object([
                            "vertex": digest, "stream": .integer(2), "data": .string("aGkKG1sxbQ=="),
                            "timestamp": .string("2023-11-14T22:13:20.5Z"),
                        ])
                    ]),
                    "warnings": .array([
                        .object([
                            "vertex": digest, "level": .integer(1), "short": .string("UjogbSAoRG9ja2VyZmlsZTozKQ=="),
                            "detail": .array([.string("ZA==")]), "url": .string("https://u"),
                        ])
                    ]),
                ])
        )
        #expect(renderer.text(at: 1.1) == "")
        _ = renderer.receive(Script.fail(name, 2, "exit code: 1"))
        let last = try parse(renderer.text(at: 2, ending: .failed))
        let vertex = last.first?["vertexes"]?.arrayValue?.first
        #expect(vertex?["error"] == .string("exit code: 1"))
        #expect(vertex?["completed"] == .string("2023-11-14T22:13:22Z"))
        #expect(last.count == 1)
    }

    @Test func whatRunsAtTheEndIsCanceled() throws {
        var renderer = JSONRenderer(limit: LogLimit())
        renderer.receive(all: [Script.start("a"), .transfer(Script.id("a"), transfer("t", 1))])
        let lines = try parse(renderer.text(at: 1, ending: .cancelled))
        let vertexes = lines.first?["vertexes"]?.arrayValue
        #expect(vertexes?.count == 2)
        #expect(vertexes?.last?["error"] == .string("context canceled"))
    }

    @Test func logsAreSplitAndClipped() throws {
        var renderer = JSONRenderer(limit: LogLimit(size: 3 << 20, speed: nil))
        _ = renderer.receive(Script.start("a"))
        for _ in 0..<8 {
            _ = renderer.receive(
                .log(Script.id("a"), .standardOutput, [UInt8](repeating: 0x78, count: 1 << 19), at: Script.time(1))
            )
        }
        let text = renderer.text(at: 1)
        let lines = try parse(text)
        #expect(lines.count == 4)
        let logs = lines.flatMap { $0["logs"]?.arrayValue ?? [] }
        #expect(logs.count == 7)
        #expect(logs.last?["data"] == .string("CltvdXRwdXQgY2xpcHBlZCwgbG9nIGxpbWl0IDNNaUIgcmVhY2hlZF0K"))
    }

    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("\u{FF}~", "w79+"),
    ])
    func base64(text: String, encoded: String) {
        #expect(String(decoding: JSONText.data(text.utf8).bytes, as: UTF8.self) == "\"\(encoded)\"")
    }

    @Test func outputThatNobodyReadsIsDropped() throws {
        var renderer = JSONRenderer(limit: LogLimit(size: nil, speed: nil))
        _ = renderer.receive(Script.start("a"))
        let piece = [UInt8](repeating: 0x78, count: 1 << 20)
        for _ in 0..<20 { _ = renderer.receive(.log(Script.id("a"), .standardOutput, piece, at: Script.time(1))) }
        #expect(renderer.text(at: 1).utf8.count < 20 << 20)
    }
}
