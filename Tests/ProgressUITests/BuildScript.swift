// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
import Solver

@testable import ProgressUI

/// Writes the events of a build by step name and seconds.
enum Script {
    static func time(_ seconds: Double) -> EventTime {
        EventTime(nanoseconds: 1_700_000_000_000_000_000 + Int64((seconds * 1e9).rounded()))
    }
    static func id(_ name: String) -> VertexID { VertexID(Digest.sha256(name)) }

    static func start(_ name: String, _ seconds: Double = 0, inputs: [String] = []) -> SolverEvent {
        .started(VertexInfo(id: id(name), name: name, inputs: inputs.map(id)), at: time(seconds))
    }
    static func cached(_ name: String, _ seconds: Double = 0) -> SolverEvent {
        .cached(VertexInfo(id: id(name), name: name), at: time(seconds))
    }
    static func done(_ name: String, _ seconds: Double, _ outcome: VertexOutcome = .succeeded) -> SolverEvent {
        .completed(id(name), outcome, at: time(seconds))
    }
    static func fail(_ name: String, _ seconds: Double, _ message: String = "exit code: 1") -> SolverEvent {
        done(name, seconds, .failed(message: message))
    }
    static func log(_ name: String, _ seconds: Double, _ text: String, _ stream: LogStream = .standardOutput)
        -> SolverEvent
    {
        .log(id(name), stream, Array(text.utf8), at: time(seconds))
    }

    static func state(_ events: [SolverEvent]) -> DisplayState {
        var state = DisplayState()
        for event in events { state.apply(event) }
        return state
    }
}

/// A transfer that stands at `current`.
func transfer(
    _ name: String,
    _ current: Int64,
    of total: Int64? = nil,
    from start: Double = 0,
    to end: Double? = nil
) -> TransferProgress {
    let progress = TransferProgress(name: name, total: total, started: Script.time(start))
    progress.set(current)
    if let end { progress.complete(at: Script.time(end)) }
    return progress
}

let anySize = TerminalSize(columns: 80, rows: 24)

extension EventRenderer {
    mutating func receive(all events: [SolverEvent]) {
        for event in events { _ = receive(event) }
    }

    mutating func text(at seconds: Double, ending: BuildEnding? = nil, size: TerminalSize = anySize) -> String {
        String(decoding: render(now: Script.time(seconds), size: size, ending: ending), as: UTF8.self)
    }
}
