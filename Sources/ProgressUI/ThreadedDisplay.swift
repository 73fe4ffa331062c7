// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import Solver

/// Runs a renderer on a thread of its own: whoever sends events waits neither for drawing nor for the terminal.
final class ThreadedDisplay<Renderer: EventRenderer>: ProgressDisplay {
    fileprivate struct State: Sendable {
        var renderer: Renderer
        var isUrgent = false
        var ending: BuildEnding?
        var isDone = false
    }

    private let monitor: Monitor<State>

    init(
        _ renderer: Renderer,
        output: DisplayOutput,
        clock: @escaping @Sendable () -> EventTime = { .now },
        size: (@Sendable () -> TerminalSize)? = nil
    ) {
        monitor = Monitor(State(renderer: renderer))
        let loop = DisplayLoop(monitor: monitor, output: output, clock: clock, size: size ?? { output.size })
        startDisplayThread { loop.run() }
    }

    deinit { end(.cancelled) }

    var failedSteps: [FailedStep] { monitor.withLock(waking: .none) { $0.renderer.failedSteps } }

    func send(_ event: SolverEvent) {
        let wake = monitor.withLock(waking: .none) { state in
            guard state.ending == nil, state.renderer.receive(event), !state.isUrgent else { return false }
            state.isUrgent = true
            return true
        }
        if wake { monitor.wake(.all) }
    }

    func finish(_ ending: BuildEnding) {
        end(ending)
        monitor.wait(until: { $0.isDone ? 0 : nil })
    }

    private func end(_ ending: BuildEnding) {
        monitor.withLock { if $0.ending == nil { $0.ending = ending } }
    }
}

/// What the thread of a display does.
private struct DisplayLoop<Renderer: EventRenderer>: Sendable {
    static var tick: Int64 { 100_000_000 }
    /// The least time between two frames, however urgent.
    static var pause: Int64 { 20_000_000 }

    let monitor: Monitor<ThreadedDisplay<Renderer>.State>
    let output: DisplayOutput
    let clock: @Sendable () -> EventTime
    let size: @Sendable () -> TerminalSize

    func run() {
        if output.isTerminal { HiddenCursor.set(output.descriptor) }
        var isWritable = true
        var isOver = false
        var last = monotonicNanoseconds() - Self.tick
        while !isOver {
            monitor.wait(until: { state in
                state.ending != nil ? 0 : last + (state.isUrgent ? Self.pause : Self.tick)
            })
            last = monotonicNanoseconds()
            let size = size()
            let bytes = monitor.withLock(waking: .none) { state in
                state.isUrgent = false
                isOver = state.ending != nil
                return state.renderer.render(now: clock(), size: size, ending: state.ending)
            }
            if isWritable { isWritable = output.write(bytes) }
        }
        if output.isTerminal { HiddenCursor.clear() }
        monitor.withLock { $0.isDone = true }
    }
}

/// Shows nothing; remembers what failed.
final class QuietDisplay: ProgressDisplay {
    private let state = Monitor(DisplayState())

    var failedSteps: [FailedStep] { state.withLock(waking: .none) { $0.failedSteps } }

    func send(_ event: SolverEvent) { state.withLock(waking: .none) { $0.apply(event) } }

    func finish(_ ending: BuildEnding) {}
}

/// Starts a thread that takes no signals, so that writing to a closed pipe is an error and not the end of the process.
func startDisplayThread(_ run: @escaping @Sendable () -> Void) {
    final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
    let body = Unmanaged.passRetained(Body(run))
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
    defer { pthread_attr_destroy(&attributes) }
    var id = pthread_t()
    let status = pthread_create(
        &id,
        &attributes,
        { raw in
            guard let raw else { return nil }
            var signals = sigset_t()
            sigfillset(&signals)
            pthread_sigmask(SIG_SETMASK, &signals, nil)
            Unmanaged<Body>.fromOpaque(raw).takeRetainedValue().run()
            return nil
        },
        body.toOpaque()
    )
    precondition(status == 0, "the system has no thread left")
}
