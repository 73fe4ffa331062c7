// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
import Solver
import Testing

@testable import ProgressUI

struct DisplayStateTests {
    @Test func stepsEndOnce() {
        let state = Script.state([
            Script.start("a"), Script.cached("b", 1), Script.start("a", 2), Script.done("a", 3),
            Script.fail("a", 4), Script.cached("a", 5), Script.done("unknown", 6),
            .log(Script.id("unknown"), .standardError, [0x0A], at: Script.time(6)), Script.log("b", 7, "late\n"),
        ])
        #expect(state.steps.map(\.name) == ["a", "b"])
        #expect(state.steps.map(\.phase) == [.ended(.succeeded), .cached])
        #expect(state.steps.map(\.number) == [1, 2])
        #expect(state.steps[0].elapsed(at: Script.time(99)) == 3_000_000_000)
        #expect(state.running.isEmpty)
        #expect(state.finished == [1, 0])
        #expect(state.failedSteps.isEmpty)
    }

    @Test func aFailedStepKeepsItsLastLines() throws {
        var events = [Script.start("a", 10)]
        for number in 1...100 { events.append(Script.log("a", 10 + Double(number) / 10, "line \(number)\n")) }
        events.append(Script.log("a", 25, "no newline", .standardError))
        events.append(Script.fail("a", 26, "exit code: 2"))
        let failed = try #require(Script.state(events).failedSteps.first)
        #expect(failed.message == "exit code: 2")
        #expect(failed.output.count == 30)
        #expect(failed.output.first == LogLine(elapsed: 7_200_000_000, text: "line 72"))
        #expect(failed.output.last?.description == "15.00 no newline")
    }

    @Test func bigPiecesLeaveTheSameTail() {
        let lines = (1...5000).map { "line \($0)\r\n" }
        var whole = LogTail()
        whole.append(Array(lines.joined().utf8), of: .standardOutput, at: 0)
        var single = LogTail()
        for line in lines { single.append(Array(line.utf8), of: .standardOutput, at: 0) }
        #expect(whole.last() == single.last())
        #expect(whole.last(2).map(\.text) == ["line 4999", "line 5000"])
    }

    @Test func warningsAreListedOnceAndBounded() {
        let warning = BuildWarning(rule: "R", message: "m")
        var state = Script.state([.warning(nil, warning), .warning(Script.id("a"), warning)])
        #expect(state.warningCount == 1)
        for number in 0..<3000 { state.apply(.warning(nil, BuildWarning(message: "\(number)"))) }
        #expect(state.warnings.count == 1000)
        #expect(warningSummary(state, expanded: false).hasSuffix("\n - and 2001 more\n"))
    }

    /// 3,000 steps that write a lot and then end leave next to nothing; one that writes on leaves its last lines.
    @Test func memoryIsBounded() {
        var state = DisplayState()
        let piece = [UInt8](repeating: 0x61, count: 65536) + [0x0A]
        for number in 0..<3000 {
            state.apply(Script.start("\(number)"))
            state.apply(.log(Script.id("\(number)"), .standardOutput, piece, at: Script.time(1)))
            state.apply(Script.done("\(number)", 2))
        }
        #expect(state.steps.allSatisfy { $0.tail.last().isEmpty })
        state.apply(Script.start("last"))
        for _ in 0..<4_000 { state.apply(.log(Script.id("last"), .standardOutput, piece, at: Script.time(3))) }
        #expect((state.steps.last?.tail.last() ?? []).allSatisfy { $0.text.utf8.count <= 4096 })
        for number in 0..<10_000 { state.apply(.transfer(Script.id("last"), transfer("\(number)", 5, to: 1))) }
        #expect(state.steps.last?.transfers.items.count == 64)
        #expect(state.steps.last?.transfers.removedCount == 9936)
        #expect(state.steps.last?.transfers.removedBytes == 49680)
    }

    @Test func failureReportIsBuildKits() {
        let report = failureReport(
            vertexName: "[stage 2/3] RUN make",
            logTail: [
                LogLine(elapsed: 123_000_000, text: "cc main.c"), LogLine(elapsed: 12_340_000_000, text: "error"),
            ]
        )
        #expect(report == "------\n > [stage 2/3] RUN make:\n0.123 cc main.c\n12.34 error\n------\n")
    }

    @Test(arguments: [
        (ProgressMode.auto, true, "xterm" as String?, ProgressMode.tty), (.auto, true, "dumb", .plain),
        (.auto, true, nil, .plain), (.auto, false, "xterm", .plain), (.tty, true, "dumb", .tty),
        (.tty, false, "xterm", .plain), (.rawjson, true, "xterm", .rawjson), (.quiet, true, "xterm", .quiet),
    ])
    func modes(mode: ProgressMode, isTerminal: Bool, name: String?, expected: ProgressMode) {
        #expect(mode.resolved(isTerminal: isTerminal, terminalName: name) == expected)
    }
}
