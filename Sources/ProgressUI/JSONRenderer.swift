// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Solver

/// Writes a build as JSON lines, each in the shape of BuildKit's `client.SolveStatus`.
struct JSONRenderer: EventRenderer {
    /// Beyond this, output is dropped: whoever reads is slower than the build, and the build does not wait.
    private static let backlogLimit = 16 << 20
    private static let logsInLine = 1 << 20

    private struct Source: Sendable {
        var info: VertexInfo
        var started: EventTime
        var clipper: LogClipper
        var transfers: [Transfer] = []
        var isOver = false
    }

    private struct Transfer: Sendable {
        var progress: TransferProgress
        var reported: Int64 = -1
    }

    private var state = DisplayState()
    private var sources: [VertexID: Source] = [:]
    private var active: [VertexID] = []
    private let limit: LogLimit
    private var vertexes: [JSONText] = []
    private var statuses: [JSONText] = []
    private var logs: [JSONText] = []
    private var warnings: [JSONText] = []
    private var rebased: Set<VertexID> = []
    /// BuildKit has no such member; its clients pass over what they do not know.
    private var reasons: [JSONText] = []
    private var logBytes = 0
    private var isDropping = false

    init(limit: LogLimit) { self.limit = limit }

    var failedSteps: [FailedStep] { state.failedSteps }

    mutating func receive(_ event: SolverEvent) -> Bool {
        state.apply(event)
        switch event {
        case .started(let info, let time):
            guard sources[info.id] == nil else { return false }
            sources[info.id] = Source(info: info, started: time, clipper: LogClipper(limit))
            vertexes.append(vertex(info, started: time))
        case .cached(let info, let time):
            guard sources[info.id]?.isOver != true else { return false }
            sources[info.id] = Source(info: info, started: time, clipper: LogClipper(limit), isOver: true)
            vertexes.append(vertex(info, started: time, completed: time, cached: true))
            if rebased.remove(info.id) != nil { addRebase(info.id, at: time) }
        case .rebased(let id):
            rebased.insert(id)
        case .completed(let id, let outcome, let time):
            complete(id, outcome, at: time)
        case .log(let id, let stream, let bytes, let time):
            addLog(id, stream, bytes, at: time)
            return logBytes > 256 << 10
        case .transfer(let id, let transfer):
            guard sources[id]?.isOver == false else { return false }
            if sources[id]?.transfers.isEmpty == true { active.append(id) }
            sources[id]?.transfers.append(Transfer(progress: transfer))
        case .warning(let id, let warning):
            guard warnings.count < 1000 else { return false }
            warnings.append(Self.warning(id, warning))
        case .reason(let id, let reason):
            guard sources[id]?.isOver == false else { return false }
            reasons.append(Self.reason(id, reason))
        }
        return false
    }

    mutating func render(now: EventTime, size: TerminalSize, ending: BuildEnding?) -> [UInt8] {
        for id in active { sample(id, now: now) }
        active.removeAll { sources[$0]?.transfers.isEmpty != false }
        if ending != nil {
            for position in state.running { complete(state.steps[position].id, .cancelled, at: now) }
            state.cancelRunning(at: now)
        }
        var out: [UInt8] = []
        var rest = logs[...]
        repeat {
            var length = 0
            let part = rest.prefix { log in
                defer { length += log.count }
                return length < Self.logsInLine
            }
            rest = rest.dropFirst(part.count)
            flushLine(logs: Array(part), into: &out)
        } while !rest.isEmpty
        logs = []
        logBytes = 0
        isDropping = false
        return out
    }

    private mutating func flushLine(logs: [JSONText], into out: inout [UInt8]) {
        guard !(vertexes.isEmpty && statuses.isEmpty && logs.isEmpty && warnings.isEmpty && reasons.isEmpty) else {
            return
        }
        let line = JSONText.object { object in
            if !vertexes.isEmpty { object.add("vertexes", array: vertexes) }
            if !statuses.isEmpty { object.add("statuses", array: statuses) }
            if !logs.isEmpty { object.add("logs", array: logs) }
            if !warnings.isEmpty { object.add("warnings", array: warnings) }
            if !reasons.isEmpty { object.add("reasons", array: reasons) }
        }
        vertexes = []
        statuses = []
        warnings = []
        reasons = []
        out += line.bytes
        out.append(0x0A)
    }

    private mutating func complete(_ id: VertexID, _ outcome: VertexOutcome, at time: EventTime) {
        guard let source = sources[id], !source.isOver else { return }
        sample(id, now: time)
        sources[id]?.isOver = true
        sources[id]?.transfers = []
        let error: String? =
            switch outcome {
            case .succeeded: nil
            case .cancelled: "context canceled"
            case .failed(let message): message
            }
        vertexes.append(vertex(source.info, started: source.started, completed: time, error: error))
    }

    private mutating func addLog(_ id: VertexID, _ stream: LogStream, _ bytes: [UInt8], at time: EventTime) {
        guard var source = sources[id], !source.isOver else { return }
        var (kept, notice) = source.clipper.admit(bytes.count, elapsed: time.since(source.started))
        sources[id] = source
        if logBytes >= Self.backlogLimit {
            kept = 0
            notice = isDropping ? nil : "[output dropped: it is read too slowly]"
            isDropping = true
        }
        var data = bytes[..<kept]
        if let notice { data += "\n\(notice)\n".utf8 }
        guard !data.isEmpty else { return }
        append(data, id, stream, at: time)
    }

    /// BuildKit's format has no word for it, so it is said as output of the step.
    private mutating func addRebase(_ id: VertexID, at time: EventTime) {
        append(Array("rebased: the same layer on a changed base\n".utf8)[...], id, .standardError, at: time)
    }

    private mutating func append(_ data: ArraySlice<UInt8>, _ id: VertexID, _ stream: LogStream, at time: EventTime) {
        let log = JSONText.object { object in
            object.add("vertex", string: id.description)
            object.add("stream", number: Int64(stream.rawValue))
            object.add("data", data: data)
            object.add("timestamp", time: time)
        }
        logBytes += log.count
        logs.append(log)
    }

    private mutating func sample(_ id: VertexID, now: EventTime) {
        guard var transfers = sources[id]?.transfers else { return }
        var left: [Transfer] = []
        for index in transfers.indices {
            let sample = TransferSample(transfers[index].progress)
            if sample.completed != nil || sample.current != transfers[index].reported {
                statuses.append(Self.status(id, sample, now: now))
            }
            transfers[index].reported = sample.current
            if sample.completed == nil { left.append(transfers[index]) }
        }
        sources[id]?.transfers = left
    }

    // MARK: Objects

    private func vertex(
        _ info: VertexInfo,
        started: EventTime,
        completed: EventTime? = nil,
        cached: Bool = false,
        error: String? = nil
    ) -> JSONText {
        .object { object in
            object.add("digest", string: info.id.description)
            if !info.inputs.isEmpty { object.add("inputs", array: info.inputs.map { .string($0.description) }) }
            object.add("name", string: info.name)
            object.add("started", time: started)
            if let completed { object.add("completed", time: completed) }
            if cached { object.add("cached", true: true) }
            if let error { object.add("error", string: error) }
        }
    }

    private static func status(_ id: VertexID, _ sample: TransferSample, now: EventTime) -> JSONText {
        .object { object in
            object.add("id", string: sample.name)
            object.add("vertex", string: id.description)
            object.add("name", string: sample.name)
            if let total = sample.total, total > 0 { object.add("total", number: total) }
            object.add("current", number: sample.current)
            object.add("timestamp", time: sample.completed ?? now)
            object.add("started", time: sample.started)
            if let completed = sample.completed { object.add("completed", time: completed) }
        }
    }

    private static func reason(_ id: VertexID, _ reason: StepReason) -> JSONText {
        .object { object in
            object.add("vertex", string: id.description)
            object.add("code", string: reason.code.rawValue)
            object.add("summary", string: reason.summary)
            if !reason.details.isEmpty { object.add("details", array: reason.details.map(JSONText.string)) }
        }
    }

    private static func warning(_ id: VertexID?, _ warning: BuildWarning) -> JSONText {
        .object { object in
            if let id { object.add("vertex", string: id.description) }
            object.add("level", number: 1)
            object.add("short", data: headline(warning).utf8)
            if !warning.detail.isEmpty { object.add("detail", array: warning.detail.map { .data($0.utf8) }) }
            if let url = warning.url { object.add("url", string: url) }
        }
    }
}
