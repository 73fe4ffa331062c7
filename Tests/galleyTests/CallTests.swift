// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import OCI
import Solver
import Testing

@testable import galley

@Suite struct CallTests {
    private func call(_ words: String...) throws -> DockerfileCall? {
        let parsed = try GalleyCommand.parseAsRoot(canonicalArguments(["build"] + words + ["."]))
        return try #require(parsed as? BuildCommand).calls.parsed()
    }

    @Test func understandsMethods() throws {
        #expect(try call() == nil)
        #expect(try call("--call=build") == nil)
        #expect(try call("--call", "") == nil)
        #expect(try call("--check") == DockerfileCall(method: .check))
        #expect(try call("--check=true") == DockerfileCall(method: .check))
        #expect(try call("--check=false") == nil)
        #expect(try call("--call=lint") == DockerfileCall(method: .check))
        #expect(try call("--call", "check,format=json") == DockerfileCall(method: .check, isJSON: true))
        #expect(try call("--check", "--call=check,format=json") == DockerfileCall(method: .check, isJSON: true))
        #expect(try call("--call=outline,format=text") == DockerfileCall(method: .outline))
        #expect(
            try call("--call=format=json,targets,ignorestatus=1")
                == DockerfileCall(method: .targets, isJSON: true, ignoresStatus: true)
        )
        #expect(try call("--call=check,ignorestatus=false") == DockerfileCall(method: .check))
    }

    @Test(arguments: [
        "nope", "check,outline", "check,format=yaml", "check,ignorestatus=maybe", "check,other=1",
    ])
    func refusesWhatItDoesNotKnow(_ text: String) {
        #expect(throws: (any Error).self) { try call("--call", text) }
    }

    @Test func refusesTwoQuestions() {
        #expect(throws: (any Error).self) { try call("--check", "--call=outline") }
    }

    @Test func writesWarningsIntoMetadata() {
        let warning = BuildWarning(
            rule: "R",
            message: "m",
            location: "line 2",
            url: "https://u",
            detail: ["d"],
            lines: 2...3
        )
        let two: JSONValue = ["line": 2]
        let three: JSONValue = ["line": 3]
        #expect(
            warningsMetadata([warning, BuildWarning(message: "n")]) == [
                [
                    "level": 1, "short": "UjogbSAobGluZSAyKQ==", "detail": ["ZA=="], "url": "https://u",
                    "range": [["start": two, "end": two], ["start": three, "end": three]],
                ],
                ["level": 1, "short": "bg=="],
            ]
        )
    }
}
