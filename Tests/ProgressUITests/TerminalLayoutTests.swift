// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Solver
import Testing

@testable import ProgressUI

struct TerminalLayoutTests {
    private func layout(
        _ state: DisplayState,
        at seconds: Double,
        columns: Int = 61,
        rows: Int = 24
    ) -> TerminalLayout {
        let size = TerminalSize(columns: columns, rows: rows)
        return TerminalLayout(state, buildStarted: Script.time(0), now: Script.time(seconds), size: size)
    }

    private func live(_ events: [SolverEvent], at seconds: Double, columns: Int = 61, rows: Int = 24) -> [String] {
        layout(Script.state(events), at: seconds, columns: columns, rows: rows).live().map(\.text)
    }

    @Test func reasonsOfRunningStepsTakeALineAndAtTheEndAll() {
        var state = DisplayState(explains: true)
        let reason = StepReason(.filesChanged, "2 files changed", details: ["added a", "removed b"])
        for event in [
            Script.start("a"), .reason(Script.id("a"), reason), Script.log("a", 1, "output\n"),
        ] { state.apply(event) }
        let live = layout(state, at: 2).live().map(\.text)
        #expect(live.dropFirst(2) == [" => => why: 2 files changed", " => => # output"])
        state.apply(Script.done("a", 3))
        let final = layout(state, at: 3).final(.succeeded).map(\.text)
        #expect(final.dropFirst(2) == [" => => why: 2 files changed", " => =>      added a", " => =>      removed b"])
        // Who did not ask is not told.
        var silent = DisplayState()
        for event in [Script.start("a"), .reason(Script.id("a"), reason)] { silent.apply(event) }
        #expect(layout(silent, at: 2).live().count == 2)
    }

    @Test func aScreenOfEverything() {
        let events = [
            Script.start("[internal] load build definition"), Script.done("[internal] load build definition", 0.04),
            Script.cached("[2/4] WORKDIR /app", 0.2), Script.start("[3/4] RUN make", 1),
            Script.log("[3/4] RUN make", 1.1, "cc a.c\ncc b.c\n"), Script.log("[3/4] RUN make", 1.2, "50%\r51%"),
            Script.start("[1/2] FROM golang", 2),
            .transfer(Script.id("[1/2] FROM golang"), transfer("sha256:abc", 12_300_000, of: 45_600_000, from: 2)),
            .transfer(Script.id("[1/2] FROM golang"), transfer("extracting", 500, from: 2, to: 2.5)),
        ]
        #expect(
            live(events, at: 13.3) == [
                "[+] Building 13.3s (2/4)",
                " => [internal] load build definition                    0.0s",
                " => CACHED [2/4] WORKDIR /app                           0.0s",
                " => [3/4] RUN make                                     12.3s",
                " => => # cc a.c",
                " => => # cc b.c",
                " => => # 51%",
                " => [1/2] FROM golang                                  11.3s",
                " => => sha256:abc                  12.30MB /  45.60MB  11.3s",
                " => => extracting                                500B   0.5s",
            ]
        )
    }

    @Test func theLastScreen() {
        let pull = "[1/2] FROM golang"
        var events = [
            Script.start(pull), Script.start("b"), Script.fail("b", 1), Script.start("c"),
            Script.done("c", 1, .cancelled),
        ]
        events.append(.transfer(Script.id(pull), transfer("naming to my-app", 0, to: 0.1)))
        events.append(Script.done(pull, 2))
        let lines = layout(Script.state(events), at: 2.04, columns: 40).final(.failed)
        #expect(
            lines == [
                ScreenLine(text: "[+] Building 2.0s (3/3) FAILED", style: .failed),
                ScreenLine(text: " => [1/2] FROM golang              2.0s", style: .done),
                ScreenLine(text: " => => naming to my-app            0.1s", style: .done),
                ScreenLine(text: " => ERROR b                        1.0s", style: .failed),
                ScreenLine(text: " => CANCELED c                     1.0s", style: .cancelled),
            ]
        )
    }

    @Test func barsAppearOnWideScreens() {
        let events = [
            Script.start("pull"),
            .transfer(
                Script.id("pull"),
                transfer("sha256:" + String(repeating: "0123456789abcdef", count: 4), 25_000_000, of: 50_000_000)
            ),
        ]
        #expect(
            live(events, at: 1, columns: 81).last
                == " => => sha256:0123456789ab     [==========>         ]  25.00MB /  50.00MB   1.0s"
        )
        #expect(live(events, at: 1, columns: 20).last == " => => sha256:01...")
    }

    /// Every line of every screen fits, whatever it holds.
    @Test(arguments: [1, 2, 5, 12, 20, 40, 80, 200])
    func linesFit(columns: Int) {
        let name = "[日本語 1/2] RUN 👩‍👩‍👧 e\u{301} \t tabs and a very long command line that does not fit anywhere"
        var events = [Script.start(name), Script.cached(name + "2"), Script.log(name, 0, "\t語\t" + name + "\n")]
        events.append(.transfer(Script.id(name), transfer(name, .max, of: .max)))
        let layout = layout(Script.state(events), at: 123_456, columns: columns)
        for line in layout.live() + layout.final(.cancelled) {
            #expect(line.text.displayWidth <= max(1, columns - 1))
            #expect(!line.text.contains("\t"))
        }
    }

    @Test func wideNamesKeepTimersInTheirColumn() {
        let lines = live(
            [Script.start("日本語日本語日本語日本語日本語日本語"), Script.start("ascii"), Script.start("👍🏽 e\u{301}")],
            at: 1,
            columns: 31
        )
        #expect(lines[1] == " => 日本語日本語日本語... 1.0s")
        #expect(lines[2] == " => ascii                 1.0s")
        #expect(lines[3] == " => 👍🏽 e\u{301}                  1.0s")
        #expect(lines.dropFirst().allSatisfy { $0.displayWidth == 30 })
    }

    @Test func moreStepsThanRowsShowsRunningAndRecent() {
        var events: [SolverEvent] = []
        for number in 1...20 {
            events.append(Script.start("step \(number)"))
            if number != 3 { events.append(Script.done("step \(number)", Double(number))) }
        }
        events.append(Script.log("step 3", 1, "one\ntwo\n"))
        #expect(
            live(events, at: 30, columns: 21, rows: 8) == [
                "[+] Building 30.0...",
                " => step 3     30.0s", " => => # one", " => => # two",
                " => step 18    18.0s", " => step 19    19.0s", " => step 20    20.0s",
            ]
        )
    }

    @Test func moreRunningStepsThanRows() {
        let events = (1...20).map { Script.start("step \($0)") }
        #expect(
            live(events, at: 1, columns: 31, rows: 5) == [
                "[+] Building 1.0s (0/20)", " => step 1                1.0s", " => step 2                1.0s",
                " => ... and 18 more running",
            ]
        )
        #expect(live(events, at: 1, columns: 31, rows: 1).count == 1)
        #expect(live(events, at: 1, columns: 31, rows: 2).count == 1)
        #expect(live(events, at: 1, columns: 31, rows: 3).count == 2)
    }

    @Test(arguments: 1...30)
    func neverTallerThanTheScreen(rows: Int) {
        var events: [SolverEvent] = []
        for number in 1...40 {
            let name = "step \(number)"
            events.append(Script.start(name))
            for line in 1...10 { events.append(Script.log(name, 1, "line \(line)\n")) }
            for item in 1...80 { events.append(.transfer(Script.id(name), transfer("item \(item)", 1, of: 2))) }
            if number % (rows % 7 + 1) != 0 { events.append(Script.done(name, 2)) }
        }
        #expect(live(events, at: 3, rows: rows).count <= max(1, rows - 1))
    }

    @Test func manyTransfersAreSummedUp() {
        var events = [Script.start("pull")]
        for number in 1...10 {
            let end: Double? = number <= 7 ? 1 : nil
            events.append(.transfer(Script.id("pull"), transfer("layer \(number)", 1_000_000, of: 2_000_000, to: end)))
        }
        #expect(
            live(events, at: 1, columns: 61, rows: 7) == [
                "[+] Building 1.0s (0/1)",
                " => pull                                                1.0s",
                " => => 7 done, 7.00MB",
                " => => layer 8                      1.00MB /   2.00MB   1.0s",
                " => => layer 9                      1.00MB /   2.00MB   1.0s",
                " => => layer 10                     1.00MB /   2.00MB   1.0s",
            ]
        )
    }

    @Test(arguments: [
        (10, [6, 6], [5, 5]), (10, [2, 20], [2, 8]), (3, [6, 6], [2, 1]), (100, [1, 2, 3], [1, 2, 3]), (0, [4], [0]),
        (-3, [4], [0]), (5, [], []),
    ])
    func sharing(rows: Int, wanted: [Int], granted: [Int]) {
        #expect(TerminalLayout.share(rows, among: wanted) == granted)
    }
}
