// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildDefinition
import OCI
import Solver
import Testing

struct StepComparisonTests {
    private struct Evidence: StepEvidence {
        var outcomes: [String: InputOutcome] = [:]
        var changes: FileChanges?

        func fileChanges(_ step: StepFacts, input: Int, since former: String, now: String) -> FileChanges? { changes }
        func outcome(of input: StepFacts.Input) -> InputOutcome { outcomes[input.name] ?? .found(nil) }
    }

    private static func exec(
        _ instruction: String = "RUN make",
        environment: [String] = ["A=1", "PATH=/bin"],
        arguments: [String] = [],
        _ change: (inout ExecOp) -> Void = { _ in }
    ) -> StepFacts {
        var op = ExecOp(
            arguments: ["/bin/sh", "-c", "make"],
            environment: environment,
            workingDirectory: "/",
            user: ""
        )
        change(&op)
        var metadata = BuildVertex.Metadata(name: "[2/2] \(instruction)", stage: "s", instruction: instruction)
        metadata.arguments = arguments
        let base = BuildVertex(
            op: .file(FileOp(actions: [.makeDirectory(FileMakeDirectory(path: "/w"))], hasBase: false)),
            inputs: [],
            metadata: .init(name: "base", stage: "s", instruction: "WORKDIR /w")
        )
        let vertex = BuildVertex(op: .exec(op), inputs: [base.id], metadata: metadata)
        return StepFacts(vertex, inputs: [base])
    }

    private func reasons(_ former: StepFacts, _ now: StepFacts, _ evidence: Evidence = Evidence()) -> [StepReason] {
        StepComparison(former, now).reasons(evidence)
    }

    // MARK: Operations

    struct Change: Sendable, CustomTestStringConvertible {
        var now: StepFacts
        var codes: [StepReason.Code]
        var first: StepReason?
        var testDescription: String { "\(codes) \(now.instruction)" }
    }

    @Test(
        arguments: [
            Change(now: exec(), codes: []),
            // What is no part of the operation is no reason.
            Change(now: exec("RUN  make"), codes: []),
            Change(now: exec(arguments: ["A"]), codes: []),
            Change(now: exec { $0.proxyEnvironment = ["HTTP_PROXY=x"] }, codes: []),
            Change(
                now: exec("RUN make all") { $0.arguments[2] = "make all" },
                codes: [.instructionChanged],
                first: StepReason(
                    .instructionChanged,
                    "the instruction changed",
                    details: ["was: RUN make", "now: RUN make all"]
                )
            ),
            Change(
                now: exec("RUN make all", environment: ["A=2", "PATH=/bin"]) { $0.arguments[2] = "make all" },
                codes: [.instructionChanged, .environmentChanged]
            ),
            Change(
                now: exec(environment: ["A=2", "PATH=/bin"]),
                codes: [.environmentChanged],
                first: StepReason(.environmentChanged, "ENV A changed", details: ["A: \"1\" -> \"2\""])
            ),
            Change(
                now: exec(environment: ["A=2", "PATH=/sbin"], arguments: ["A"]),
                codes: [.argumentChanged, .environmentChanged],
                first: StepReason(.argumentChanged, "ARG A changed", details: ["A: \"1\" -> \"2\""])
            ),
            Change(
                now: exec(environment: ["PATH=/bin"]),
                codes: [.environmentChanged],
                first: StepReason(.environmentChanged, "ENV A changed", details: ["A: \"1\" -> not set"])
            ),
            Change(
                now: exec(environment: ["PATH=/bin", "A=1"]),
                codes: [.environmentChanged],
                first: StepReason(.environmentChanged, "the order of the variables changed")
            ),
            Change(
                now: exec(environment: ["A=\(String(repeating: "x", count: 200))", "PATH=/bin"]),
                codes: [.environmentChanged],
                first: StepReason(
                    .environmentChanged,
                    "ENV A changed",
                    details: ["A: \"1\" -> \"\(String(repeating: "x", count: 99))…\""]
                )
            ),
            Change(
                now: exec(environment: ["A=2", "B=2", "C=2", "D=2", "PATH=/bin"]),
                codes: [.environmentChanged],
                first: StepReason(
                    .environmentChanged,
                    "ENV A, B, C and 1 more changed",
                    details: ["A: \"1\" -> \"2\"", "B: not set -> \"2\"", "C: not set -> \"2\"", "D: not set -> \"2\""]
                )
            ),
            Change(
                now: exec { $0.user = "app" },
                codes: [.settingChanged],
                first: StepReason(.settingChanged, "the user changed", details: ["user: \"\" -> \"app\""])
            ),
            Change(
                now: exec {
                    $0.mounts = [ExecMount(.tmpfs(size: nil), target: "/t", readOnly: false)]
                    $0.network = .none
                },
                codes: [.settingChanged],
                first: StepReason(
                    .settingChanged,
                    "the network and 1 more changed",
                    details: ["network: \"default\" -> \"none\"", "mount at /t: not set -> \"tmpfs writable\""]
                )
            ),
        ]
    )
    func operations(_ change: Change) {
        let found = reasons(Self.exec(), change.now)
        #expect(found.map(\.code) == change.codes)
        if let first = change.first { #expect(found.first == first) }
    }

    /// A step's name shows variables replaced.
    @Test func namesShowNoProxy() {
        var metadata = BuildVertex.Metadata(
            name: "[1/1] RUN curl -x secret a",
            instruction: "RUN curl -x $HTTP_PROXY a"
        )
        let op = ExecOp(
            arguments: [],
            environment: ["HTTP_PROXY=secret", "NO_PROXY=", "A=curl"],
            workingDirectory: "/",
            user: ""
        )
        let command = BuildVertex(op: .exec(op), inputs: [], metadata: metadata)
        #expect(StepFacts.name(of: command) == "[1/1] RUN curl -x **** a")
        metadata.replacedVariables = ["https_proxy=secret", "A=curl"]
        let copy = BuildVertex(op: .file(FileOp(actions: [], hasBase: false)), inputs: [], metadata: metadata)
        #expect(StepFacts.name(of: copy) == "[1/1] RUN curl -x **** a")
        #expect(!"\(StepFacts(copy, inputs: []))".contains("secret"))
    }

    /// Nobody may learn from the history what a proxy's password is, or all of a very long command.
    @Test func whatIsKept() {
        let long = String(repeating: "long ", count: 1000)
        let facts = Self.exec(
            "RUN \(long)",
            environment: ["https_proxy=secret", "HTTP_PROXY=secret", "A=1", "B=http://u:secret@h/"]
        ) {
            $0.proxyEnvironment = ["ALL_PROXY=secret"]
            $0.arguments = [long]
        }
        #expect(facts.environment == ["A=1", "B=http://***@h/"])
        #expect(!"\(facts)".contains("secret"))
        #expect(facts.instruction.utf8.count < 2000)
        #expect(facts.settings.allSatisfy { $0.value.utf8.count < 2000 })
    }

    // MARK: Inputs

    private static func input(
        _ kind: StepFacts.Kind,
        _ name: String = "input",
        role: String = "base",
        content: String? = nil,
        identity: String? = nil
    ) -> StepFacts {
        var facts = exec()
        facts.inputs = [
            .init(
                id: VertexID(.sha256(name)),
                kind: kind,
                name: name,
                role: role,
                content: content,
                identity: identity
            )
        ]
        return facts
    }

    struct InputChange: Sendable {
        var former: StepFacts
        var now: StepFacts
        var outcome: InputOutcome = .found(nil)
        var changes: FileChanges?
        var expected: [StepReason]
    }

    @Test(
        arguments: [
            InputChange(former: input(.exec), now: input(.exec), expected: []),
            // The input ran, and what it made is not known.
            InputChange(
                former: input(.exec),
                now: input(.exec),
                outcome: .ran(StepReason(.noCache, "--no-cache")),
                expected: [
                    StepReason(.inputChanged, "follows input, which ran again", details: ["because --no-cache"])
                ]
            ),
            // It ran and made the same: that is no reason.
            InputChange(
                former: input(.exec, identity: "1"),
                now: input(.exec, identity: "1"),
                outcome: .ran(nil),
                expected: []
            ),
            InputChange(
                former: input(.exec, identity: "1"),
                now: input(.exec, identity: "2"),
                outcome: .ran(
                    StepReason(.inputChanged, "follows x, which ran again", details: ["because ENV A changed"])
                ),
                expected: [
                    StepReason(.inputChanged, "follows input, which ran again", details: ["because ENV A changed"])
                ]
            ),
            // It was found, but is another step.
            InputChange(
                former: input(.exec, "old", role: "copy /f"),
                now: input(.exec, "new", role: "copy /f"),
                expected: [
                    StepReason(
                        .inputChanged,
                        "copies from new, which is another one than before",
                        details: ["was: old"]
                    )
                ]
            ),
            InputChange(
                former: input(.exec, role: "mount /m"),
                now: input(.exec, role: "mount /m"),
                outcome: .found(StepReason(.argumentChanged, "ARG A changed")),
                expected: [
                    StepReason(
                        .mountChanged,
                        "mounts input, which is another one than before",
                        details: ["because ARG A changed"]
                    )
                ]
            ),
            InputChange(
                former: input(.image, content: "a@1"),
                now: input(.image, content: "a@2"),
                expected: [StepReason(.baseChanged, "the base image changed", details: ["was: a@1", "now: a@2"])]
            ),
            InputChange(
                former: input(.git, role: "copy /", content: "1"),
                now: input(.git, role: "copy /", content: "2"),
                expected: [StepReason(.sourceChanged, "the git repository changed", details: ["was: 1", "now: 2"])]
            ),
            // Another file of the context is no reason.
            InputChange(
                former: input(.local, role: "copy /f", content: "1"),
                now: input(.local, role: "copy /f", content: "2"),
                changes: FileChanges(count: 0, lines: []),
                expected: []
            ),
            InputChange(
                former: input(.local, role: "copy /f", content: "1"),
                now: input(.local, role: "copy /f", content: "2"),
                changes: FileChanges(count: 1, lines: ["modified f: content"]),
                expected: [StepReason(.filesChanged, "modified f: content")]
            ),
            InputChange(
                former: input(.local, role: "mount /m", content: "1"),
                now: input(.local, role: "mount /m", content: "2"),
                changes: FileChanges(count: 1002, lines: ["added a", "added b"]),
                expected: [
                    StepReason(
                        .mountChanged,
                        "1,002 files changed at the mount /m",
                        details: ["added a", "added b", "and 1,000 more"]
                    )
                ]
            ),
            // What was there before is not known any more.
            InputChange(
                former: input(.local, role: "copy /f", content: "1"),
                now: input(.local, role: "copy /f", content: "2"),
                expected: [StepReason(.filesChanged, "files of the build context changed")]
            ),
        ]
    )
    func inputs(_ change: InputChange) {
        var evidence = Evidence(changes: change.changes)
        for input in change.now.inputs { evidence.outcomes[input.name] = change.outcome }
        #expect(reasons(change.former, change.now, evidence) == change.expected)
    }

    @Test func severalReasonsBecomeOne() {
        #expect(StepComparison.joined([]) == nil)
        let joined = StepComparison.joined([
            StepReason(.instructionChanged, "one", details: ["1"]), StepReason(.inputChanged, "two", details: ["2"]),
        ])
        #expect(joined == StepReason(.instructionChanged, "one", details: ["1", "also: two", "2"]))
        let many = (0..<100).map { StepReason(.inputChanged, "\($0)") }
        #expect(StepComparison.joined(many)?.details.count == 41)
    }
}
