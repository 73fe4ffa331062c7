// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Solver
import Testing

@testable import ProgressUI

struct TerminalScreenTests {
    private func lines(_ texts: [String]) -> [ScreenLine] { texts.map { ScreenLine(text: $0, style: .done) } }
    private let size = TerminalSize(columns: 20, rows: 6)

    @Test func aFrameIsThis() {
        var screen = TerminalScreen(color: true)
        let frame = screen.draw([ScreenLine(text: "a"), ScreenLine(text: "b", style: .failed)], size: size)
        #expect(
            String(decoding: frame, as: UTF8.self)
                == "\u{1B}[?25l\u{1B}[?2026h\u{1B}[?7l\ra\u{1B}[K\r\n\u{1B}[31mb\u{1B}[0m\u{1B}[J\u{1B}[1A\r\u{1B}[?7h\u{1B}[?2026l"
        )
        #expect(screen.draw([ScreenLine(text: "a"), ScreenLine(text: "b", style: .failed)], size: size) == [])
    }

    @Test func withoutColorOnlyTheCursorMoves() {
        var screen = TerminalScreen(color: false)
        let frame = String(decoding: screen.draw(lines(["a", "b"]), size: size), as: UTF8.self)
        #expect(!frame.contains("\u{1B}[34m") && !frame.contains("\u{1B}[0m"))
    }

    @Test func shrinkingLeavesNothingBehind() {
        var terminal = TerminalEmulation(columns: 20, rows: 6)
        terminal.feed("$ one\r\n$ two\r\n$ build\r\n")
        var screen = TerminalScreen(color: true)
        terminal.feed(screen.draw(lines(["head", "a long line", "b", "c", "d"]), size: size))
        #expect(terminal.text == ["$ one", "$ two", "$ build", "head", "a long line", "b", "c", "d"])
        #expect(!terminal.isCursorVisible)
        terminal.feed(screen.draw(lines(["head", "a", "c"]), size: size))
        #expect(terminal.text == ["$ one", "$ two", "$ build", "head", "a", "c"])
        terminal.feed(screen.draw(lines(["head", "a", "c", "x"]), size: size))
        #expect(terminal.text == ["$ one", "$ two", "$ build", "head", "a", "c", "x"])
        terminal.feed(screen.close(lines(["head", "a", "b", "c", "d", "e", "f", "g"]), then: "report\nmore\n"))
        #expect(
            terminal.text
                == ["$ one", "$ two", "$ build", "head", "a", "b", "c", "d", "e", "f", "g", "report", "more"]
        )
        #expect(terminal.isCursorVisible)
        #expect(terminal.unknown.isEmpty)
        #expect(terminal.clampedMoves == 0)
    }

    @Test(arguments: [(12, 6), (20, 3), (7, 4), (60, 20), (11, 40)])
    func aResizeLeavesNothingBehind(columns: Int, rows: Int) {
        var terminal = TerminalEmulation(columns: 40, rows: 10)
        terminal.feed("$ build\r\n")
        var renderer = TerminalRenderer(color: true, startedAt: Script.time(0))
        for number in 1...4 {
            renderer.receive(all: [
                Script.start("step \(number) 日本語"), Script.log("step \(number) 日本語", 0, "some output\n"),
            ])
        }
        let before = TerminalSize(columns: 40, rows: 10)
        terminal.feed(renderer.render(now: Script.time(1), size: before, ending: nil))
        terminal.resize(columns: columns, rows: rows)
        let after = TerminalSize(columns: columns, rows: rows)
        terminal.feed(renderer.render(now: Script.time(2), size: after, ending: nil))
        let state = (1...4).reduce(into: DisplayState()) { state, number in
            state.apply(Script.start("step \(number) 日本語"))
            state.apply(Script.log("step \(number) 日本語", 0, "some output\n"))
        }
        let expected = TerminalLayout(state, buildStarted: Script.time(0), now: Script.time(2), size: after).live()
        let shown = terminal.text.drop { !$0.hasPrefix("[+]") }
        #expect(Array(shown) == expected.map { $0.text.trimmingTrailingSpaces })
        #expect(terminal.text.filter { $0.hasPrefix("[+]") }.count == 1)
        #expect(terminal.clampedMoves == 0)
    }

    @Test func aWholeBuildEndsInTheScrollback() {
        var terminal = TerminalEmulation(columns: 40, rows: 8)
        let size = TerminalSize(columns: 40, rows: 8)
        var renderer = TerminalRenderer(color: true, startedAt: Script.time(0))
        for number in 1...30 {
            let time = Double(number)
            renderer.receive(all: [
                Script.start("step \(number)", time), Script.log("step \(number)", time, "x\ny\nz\n"),
            ])
            terminal.feed(renderer.render(now: Script.time(time + 0.5), size: size, ending: nil))
            _ = renderer.receive(Script.done("step \(number)", time + 0.5))
            terminal.feed(renderer.render(now: Script.time(time + 0.6), size: size, ending: nil))
            #expect(terminal.text.count <= 8)
        }
        terminal.feed(renderer.render(now: Script.time(31), size: size, ending: .succeeded))
        #expect(terminal.text.count == 31)
        #expect(terminal.text.first == "[+] Building 31.0s (30/30) FINISHED")
        #expect(terminal.text.last == " => step 30                        0.5s")
        #expect(terminal.isCursorVisible)
    }

    @Test func aCancelledBuildRestoresTheTerminal() {
        var terminal = TerminalEmulation(columns: 40, rows: 8)
        var renderer = TerminalRenderer(color: false, startedAt: Script.time(0))
        renderer.receive(all: [Script.start("a"), Script.log("a", 0.1, "working\n")])
        terminal.feed(renderer.render(now: Script.time(1), size: size, ending: nil))
        terminal.feed(
            renderer.render(now: Script.time(2), size: TerminalSize(columns: 40, rows: 8), ending: .cancelled)
        )
        #expect(terminal.text == ["[+] Building 2.0s (1/1) CANCELED", " => CANCELED a                     2.0s"])
        #expect(terminal.isCursorVisible)
    }
}

extension String {
    fileprivate var trimmingTrailingSpaces: String {
        var text = self
        while text.last == " " { text.removeLast() }
        return text
    }
}
