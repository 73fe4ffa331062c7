// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Solver
import Testing

@testable import ProgressUI

struct PlainRendererTests {
    private func renderer(_ limit: LogLimit = LogLimit(), color: Bool = false) -> PlainRenderer {
        PlainRenderer(limit: limit, color: color)
    }

    @Test func aBuildInOrder() {
        var plain = renderer()
        plain.receive(all: [
            Script.start("[internal] load build definition from Dockerfile"),
            Script.done("[internal] load build definition from Dockerfile", 0.01),
            Script.cached("[1/2] FROM alpine", 0.1), Script.start("[2/2] RUN make", 0.2),
            Script.log("[2/2] RUN make", 0.545, "hello\n"), Script.fail("[2/2] RUN make", 1.2, "exit code: 1"),
        ])
        #expect(
            plain.text(at: 2, ending: .failed) == """
                #1 [internal] load build definition from Dockerfile
                #1 DONE 0.0s

                #2 [1/2] FROM alpine
                #2 CACHED

                #3 [2/2] RUN make
                #3 0.345 hello
                #3 ERROR: exit code: 1
                ------
                 > [2/2] RUN make:
                0.345 hello
                ------

                """
        )
    }

    @Test(arguments: [true, false]) func aReasonStandsBelowItsStep(_ explains: Bool) {
        var plain = PlainRenderer(limit: LogLimit(), color: false, explains: explains)
        let reason = StepReason(.filesChanged, "2 files\nchanged", details: ["added \u{1B}[1ma", "removed b"])
        plain.receive(all: [
            Script.start("[2/2] COPY . .", 0.2), .reason(Script.id("[2/2] COPY . ."), reason),
            .reason(Script.id("unknown"), reason), Script.done("[2/2] COPY . .", 1.2),
        ])
        let told = "#1 why: 2 files changed\n#1      added a\n#1      removed b\n"
        #expect(plain.text(at: 2) == "#1 [2/2] COPY . .\n\(explains ? told : "")#1 DONE 1.0s\n")
    }

    @Test func anotherStepInterruptsWithAHeader() {
        var plain = renderer()
        plain.receive(all: [
            Script.start("a"), Script.start("b"), Script.log("a", 1, "a1\n"), Script.log("b", 1, "b1\n"),
        ])
        #expect(plain.text(at: 1) == "#1 a\n#1 1.000 a1\n")
        // a has not been silent for long enough.
        #expect(plain.text(at: 1.4) == "")
        #expect(plain.text(at: 1.6) == "#1 ...\n\n#2 b\n#2 1.000 b1\n")
        _ = plain.receive(Script.done("a", 2))
        #expect(plain.text(at: 2) == "#2 ...\n\n#1 a\n#1 DONE 2.0s\n")
        plain.receive(all: [Script.log("b", 2.5, "b2"), Script.done("b", 3)])
        #expect(plain.text(at: 3, ending: .succeeded) == "\n#2 b\n#2 2.500 b2\n#2 DONE 3.0s\n")
    }

    @Test func twoChattyStepsTakeTurns() {
        var plain = renderer()
        plain.receive(all: [Script.start("a"), Script.start("b")])
        var headers: [String] = []
        for tenth in 1...200 {
            let time = Double(tenth) / 10
            plain.receive(all: [Script.log("a", time, "a\n"), Script.log("b", time, "b\n")])
            let text = plain.text(at: time)
            headers += text.split(separator: "\n").filter { $0 == "#1 a" || $0 == "#2 b" }.map(String.init)
        }
        #expect(headers == ["#1 a", "#2 b", "#1 a", "#2 b"])
    }

    @Test func aSilentStepIsAnnounced() {
        var plain = renderer()
        plain.receive(all: [Script.start("a"), Script.start("b")])
        #expect(plain.text(at: 0) == "#1 a\n")
        #expect(plain.text(at: 0.6) == "#1 ...\n\n#2 b\n")
        #expect(plain.text(at: 20) == "")
    }

    @Test func whatStillRunsAtTheEndIsCanceled() {
        var plain = renderer()
        plain.receive(all: [Script.start("a"), Script.log("a", 1, "part"), Script.start("b")])
        #expect(
            plain.text(at: 2, ending: .cancelled) == "#1 a\n#1 1.000 part\n#1 CANCELED\n\n#2 b\n#2 CANCELED\n"
        )
    }

    @Test func partialLinesOfTwoStreamsStayApart() {
        var plain = renderer()
        plain.receive(all: [
            Script.start("a"), Script.log("a", 1, "out "), Script.log("a", 1.1, "err ", .standardError),
            Script.log("a", 1.2, "put\r\n"), Script.log("a", 1.3, "or\u{1B}[2J\n", .standardError),
            Script.log("a", 1.4, "10%\r20%\r100%\n"),
        ])
        #expect(plain.text(at: 2) == "#1 a\n#1 1.000 out put\n#1 1.100 err or\n#1 1.400 100%\n")
    }

    @Test func transfersAreReportedNowAndThen() {
        var plain = renderer()
        let layer = transfer("sha256:abc", 0, of: 45_600_000)
        plain.receive(all: [Script.start("pull"), .transfer(Script.id("pull"), layer)])
        #expect(plain.text(at: 0.2) == "#1 pull\n")
        layer.set(12_300_000)
        #expect(plain.text(at: 1) == "#1 sha256:abc 12.30MB / 45.60MB 1.0s\n")
        layer.set(20_000_000)
        #expect(plain.text(at: 5.9) == "")
        #expect(plain.text(at: 6) == "#1 sha256:abc 20.00MB / 45.60MB 6.0s\n")
        #expect(plain.text(at: 12) == "")
        layer.set(45_600_000)
        layer.complete(at: Script.time(12.5))
        #expect(plain.text(at: 12.6) == "#1 sha256:abc 45.60MB / 45.60MB 12.5s done\n")
        _ = plain.receive(Script.done("pull", 13))
        #expect(plain.text(at: 13) == "#1 DONE 13.0s\n")
    }

    @Test func quickTransfersGetOneLine() {
        var plain = renderer()
        plain.receive(all: [
            Script.start("load"), .transfer(Script.id("load"), transfer("transferring dockerfile:", 32, to: 0.001)),
            .transfer(Script.id("load"), transfer("half way:", 5)), Script.done("load", 0.02),
        ])
        #expect(
            plain.text(at: 0.1)
                == "#1 load\n#1 transferring dockerfile: 32B done\n#1 half way: 5B 0.1s\n#1 DONE 0.0s\n"
        )
    }

    @Test func outputIsClippedButTheFailureIsNot() {
        var plain = renderer(LogLimit(size: 8, speed: nil))
        plain.receive(all: [
            Script.start("a"), Script.log("a", 1, "1234\n5678\n"), Script.log("a", 2, "the error\n"),
            Script.fail("a", 3),
        ])
        #expect(
            plain.text(at: 4, ending: .failed) == """
                #1 a
                #1 1.000 1234
                #1 1.000 567
                #1 1.000 [output clipped, log limit 8B reached]
                #1 ERROR: exit code: 1
                ------
                 > a:
                1.000 1234
                1.000 5678
                2.000 the error
                ------

                """
        )
    }

    @Test func outputThatNobodyReadsIsDropped() {
        var plain = renderer(LogLimit(size: nil, speed: nil))
        let line = [UInt8](repeating: 0x78, count: 1023) + [0x0A]
        let piece = Array(repeatElement(line, count: 1024).joined())
        _ = plain.receive(Script.start("a"))
        for _ in 0..<20 { _ = plain.receive(.log(Script.id("a"), .standardOutput, piece, at: Script.time(1))) }
        let text = plain.text(at: 1)
        #expect(text.utf8.count < 17 << 20)
        #expect(text.hasSuffix("of output dropped: it is read too slowly]\n"))
        plain.receive(all: [Script.log("a", 2, "after\n")])
        #expect(plain.text(at: 2) == "#1 2.000 after\n")
    }

    @Test func warningsAreShownAtTheirStepAndAtTheEnd() {
        var plain = renderer()
        let warning = BuildWarning(
            rule: "StageNameCasing",
            message: "Stage name 'B' should be lowercase",
            location: "Dockerfile:1",
            url: "https://example.invalid/rule",
            detail: ["Names of stages are lowercase"]
        )
        plain.receive(all: [Script.start("a"), .warning(Script.id("a"), warning), Script.done("a", 1)])
        #expect(
            plain.text(at: 1, ending: .succeeded) == """
                #1 a
                #1 WARN: StageNameCasing: Stage name 'B' should be lowercase (Dockerfile:1)
                #1 DONE 1.0s

                 1 warning found:
                 - StageNameCasing: Stage name 'B' should be lowercase (Dockerfile:1)
                   Names of stages are lowercase
                   More: https://example.invalid/rule

                """
        )
    }

    @Test func colorsOfToolsStayUnlessUnwanted() {
        for color in [true, false] {
            var plain = renderer(color: color)
            plain.receive(all: [Script.start("a"), Script.log("a", 0, "\u{1B}[31mred\n")])
            #expect(plain.text(at: 0) == "#1 a\n#1 0.000 " + (color ? "\u{1B}[31mred\u{1B}[0m\n" : "red\n"))
        }
    }
}
