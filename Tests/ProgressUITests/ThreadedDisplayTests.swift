// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import OCI
import Solver
import Synchronization
import Testing

@testable import ProgressUI

struct ThreadedDisplayTests {
    /// Runs `body` with the writing end of a pipe and returns what was written.
    private func collecting(_ body: (CInt) -> Void) -> String {
        var ends: [CInt] = [-1, -1]
        guard pipe(&ends) == 0 else {
            Issue.record("no pipe")
            return ""
        }
        let reader = Reader(ends[0])
        body(ends[1])
        close(ends[1])
        return String(decoding: reader.finish(), as: UTF8.self)
    }

    @Test func manyThreadsSend() {
        let text = collecting { descriptor in
            let limit = LogLimit(size: nil, speed: nil)
            let display = ThreadedDisplay(PlainRenderer(limit: limit, color: false), output: .stream(descriptor))
            inThreads(8) { thread in
                for number in 0..<50 {
                    let name = "step \(thread)-\(number)"
                    display.send(Script.start(name))
                    for line in 0..<20 { display.send(Script.log(name, 1, "line \(line)\n")) }
                    display.send(Script.done(name, 2))
                }
            }
            display.finish(.succeeded)
            display.finish(.failed)
            display.send(Script.start("late"))
        }
        let lines = text.split(separator: "\n")
        #expect(lines.filter { $0.hasSuffix(" DONE 2.0s") }.count == 400)
        #expect(lines.filter { $0.contains(" 1.000 line ") }.count == 8000)
        #expect(Set(lines.filter { $0.contains("step ") }).count == 400)
    }

    @Test func rawJSONOfManyThreadsParses() throws {
        let text = collecting { descriptor in
            let display = makeProgressDisplay(.rawjson, on: descriptor, environment: { _ in nil })
            inThreads(4) { thread in
                for number in 0..<50 {
                    display.send(Script.start("step \(thread)-\(number)"))
                    display.send(Script.log("step \(thread)-\(number)", 1, "x\n"))
                    display.send(Script.done("step \(thread)-\(number)", 2))
                }
            }
            display.finish(.succeeded)
        }
        let objects = try text.split(separator: "\n").map { try JSONValue(parsing: Array($0.utf8)) }
        let vertexes = objects.flatMap { $0["vertexes"]?.arrayValue ?? [] }
        #expect(vertexes.count == 400)
        #expect(vertexes.filter { $0["completed"] != nil }.count == 200)
        #expect(objects.flatMap { $0["logs"]?.arrayValue ?? [] }.count == 200)
    }

    /// The reader of a pipe never reads: events still go through, and only `finish` would wait.
    @Test func sendDoesNotWaitForTheOutput() {
        var ends: [CInt] = [-1, -1]
        #expect(pipe(&ends) == 0)
        let limit = LogLimit(size: nil, speed: nil)
        let display = ThreadedDisplay(PlainRenderer(limit: limit, color: false), output: .stream(ends[1]))
        display.send(Script.start("a"))
        let piece = Array(String(repeating: "0123456789\n", count: 10_000).utf8)
        for _ in 0..<40 { display.send(.log(Script.id("a"), .standardOutput, piece, at: Script.time(1))) }
        // A closed reader is not the end of the process either.
        close(ends[0])
        display.finish(.cancelled)
        close(ends[1])
    }

    @Test func quietShowsNothingAndKnowsWhatFailed() {
        let text = collecting { descriptor in
            let display = makeProgressDisplay(.quiet, on: descriptor, environment: { _ in nil })
            display.send(Script.start("a"))
            display.send(Script.log("a", 1, "oops\n"))
            display.send(Script.fail("a", 2, "exit code: 1"))
            display.finish(.failed)
            #expect(display.failedSteps.map(\.output) == [[LogLine(elapsed: 1_000_000_000, text: "oops")]])
        }
        #expect(text == "")
    }

    @Test func aTerminalShowsTheBuildAndGetsItsCursorBack() throws {
        var controller: CInt = -1
        var terminal: CInt = -1
        var window = winsize(ws_row: 12, ws_col: 50, ws_xpixel: 0, ws_ypixel: 0)
        try #require(openpty(&controller, &terminal, nil, nil, &window) == 0)
        let reader = Reader(controller)
        let display = makeProgressDisplay(.auto, on: terminal, environment: { $0 == "TERM" ? "xterm" : nil })
        for number in 1...30 {
            display.send(Script.start("step \(number)"))
            display.send(Script.log("step \(number)", 1, "日本語 \(number)\u{1B}[2J\n"))
            if number % 2 == 0 { display.send(Script.done("step \(number)", 2)) }
        }
        display.finish(.cancelled)
        close(terminal)
        var emulation = TerminalEmulation(columns: 50, rows: 12)
        emulation.feed(reader.finish())
        close(controller)
        #expect(emulation.text.count == 31)
        #expect(emulation.text[0].hasSuffix("(30/30) CANCELED"))
        #expect(emulation.text[1].hasPrefix(" => CANCELED step 1 "))
        #expect(emulation.text[30].hasPrefix(" => step 30 ") && emulation.text[30].hasSuffix("2.0s"))
        #expect(emulation.text[30].count == 49)
        #expect(emulation.isCursorVisible)
        #expect(emulation.unknown.isEmpty)
        #expect(emulation.clampedMoves == 0)
    }

    @Test func theWindowSizeIsAskedForEveryFrame() throws {
        var controller: CInt = -1
        var terminal: CInt = -1
        try #require(openpty(&controller, &terminal, nil, nil, nil) == 0)
        let reader = Reader(controller)
        let asked = Atomic<Int>(0)
        do {
            let narrow = Gate()
            let display = ThreadedDisplay(
                TerminalRenderer(color: false, startedAt: Script.time(0)),
                output: .terminal(terminal),
                clock: { Script.time(5) },
                size: {
                    let count = asked.add(1, ordering: .relaxed).newValue
                    if count >= 3 { narrow.open() }
                    return TerminalSize(columns: count < 3 ? 60 : 30, rows: 10)
                }
            )
            display.send(Script.start("a step"))
            narrow.wait()
            display.finish(.succeeded)
        }
        close(terminal)
        let text = String(decoding: reader.finish(), as: UTF8.self)
        close(controller)
        #expect(text.contains(" => a step" + String(repeating: " ", count: 45) + "5.0s"))
        #expect(text.contains(" => CANCELED a step      5.0s"))
    }
}

/// Lets one thread wait for another.
private final class Gate: Sendable {
    private let state = Monitor(false)

    func open() {
        state.withLock { $0 = true }
    }
    func wait() { state.wait(until: { $0 ? 0 : nil }) }
}

/// Reads a descriptor on a thread until nobody can write to it any more.
private final class Reader: Sendable {
    private struct State {
        var bytes: [UInt8] = []
        var isDone = false
    }
    private let state = Monitor(State())

    init(_ descriptor: CInt) {
        let state = state
        spawn {
            var buffer = [UInt8](repeating: 0, count: 65536)
            while true {
                let count = read(descriptor, &buffer, buffer.count)
                // A pseudo-terminal without a user ends with EIO.
                if count < 0, errno == EINTR { continue }
                if count <= 0 { break }
                state.withLock { $0.bytes += buffer[..<count] }
            }
            state.withLock { $0.isDone = true }
        }
    }

    func finish() -> [UInt8] {
        state.wait(until: { $0.isDone ? 0 : nil })
        return state.withLock { $0.bytes }
    }
}

private func inThreads(_ count: Int, _ run: @escaping @Sendable (Int) -> Void) {
    let left = Monitor(count)
    for index in 0..<count {
        spawn {
            run(index)
            left.withLock { $0 -= 1 }
        }
    }
    left.wait(until: { $0 == 0 ? 0 : nil })
}

private func spawn(_ run: @escaping @Sendable () -> Void) { startDisplayThread(run) }
