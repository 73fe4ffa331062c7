// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import OCI
import Solver
import Testing

@testable import Builder
@testable import galley

@Suite struct WhyTests {
    private static func step(_ name: String, _ reason: StepReason? = nil) -> BuildExplanation.Step {
        .init(name: name, stage: "", outcome: reason == nil ? .found : .ran, reason: reason)
    }

    private static let steps = [
        step("[builder  1/12] FROM alpine"), step("[builder  2/12] RUN make"), step("[builder 12/12] RUN test 2"),
        step("[stage-1 2/3] COPY --from=builder /out /", StepReason(.noCache, "--no-cache", details: ["one", "two"])),
        step("exporting 3"),
    ]

    @Test(
        arguments: [
            ("builder 2/12", [1]), ("2/12", [1]), ("2", [1, 3]), ("Builder 12/12", [2]), ("stage-1 2/3", [3]),
            ("RUN", [1, 2]), ("make", [1]), ("/out", [3]), ("3", [3, 4]), ("exporting", [4]), ("run TEST 2", [2]),
        ] as [(String, [Int])]
    )
    func stepsAreFoundByPlaceAndText(_ text: String, _ expected: [Int]) throws {
        let found = try WhyCommand.find(text, in: Self.steps)
        #expect(found.map(\.name) == expected.map { Self.steps[$0].name })
    }

    @Test func aStepThatIsNotThere() {
        #expect(throws: BuilderError.self) { try WhyCommand.find("7/7", in: Self.steps) }
    }

    private func text(_ arguments: [String]) throws -> String {
        let build = BuildExplanation(
            context: "/c",
            dockerfile: "/c/Dockerfile",
            platform: "linux/amd64",
            target: "t",
            time: 100,
            succeeded: false,
            steps: Array(Self.steps.suffix(2))
        )
        return try WhyCommand.parse(arguments).render(build, now: 160)
    }

    @Test func theListAndOneStep() throws {
        let header = "/c (/c/Dockerfile) for linux/amd64, target t, About a minute ago, not successful\n\n"
        let line = "ran          [stage-1 2/3] COPY --from=builder /out /: --no-cache\n"
        #expect(try text([]) == header + line + "found        exporting 3\n")
        #expect(try text(["2/3"]) == header + line + "             one\n             two\n")
        #expect(try text(["--format", "{{.Step}}|{{.Details}}", "2/3"]).hasSuffix("|one; two\n"))
        let json = try JSONValue(parsing: Array(try text(["--format", "json"]).utf8))
        #expect(json["target"] == "t" && json["succeeded"] == .bool(false))
        #expect(json["steps"]?.arrayValue?.first?["reason"]?["details"] == ["one", "two"])
        #expect(json["steps"]?.arrayValue?.last?["reason"] == nil)
    }
}
