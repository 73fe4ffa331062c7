// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Solver

/// A step that failed, with the end of its output.
public struct FailedStep: Sendable, Hashable {
    public var id: VertexID
    public var name: String
    public var message: String
    /// The last lines, oldest first.
    public var output: [LogLine]

    public init(id: VertexID, name: String, message: String, output: [LogLine]) {
        self.id = id
        self.name = name
        self.message = message
        self.output = output
    }
}

/// What a display knows of a build. Bounded by the number of steps, whatever they write.
struct DisplayState: Sendable {
    enum Phase: Sendable, Hashable {
        case running
        case cached
        case ended(VertexOutcome)
    }

    struct Step: Sendable {
        /// From 1, in the order of appearance.
        let number: Int
        let id: VertexID
        let name: String
        let started: EventTime
        var completed: EventTime?
        var phase = Phase.running
        /// Found, on something else than it was made on.
        var isRebased = false
        var transfers = TransferList()
        /// What the transfers came to, once the step has ended.
        var finishedTransfers: [TransferSample] = []
        /// Kept while the step runs and when it failed.
        var tail = LogTail()
        /// Why it runs, where that is to be shown.
        var reason: StepReason?

        func elapsed(at now: EventTime) -> Int64 { (completed ?? now).since(started) }
    }

    private static let keptTransfers = 8
    private static let keptWarnings = 1000

    private(set) var steps: [Step] = []
    private var positions: [VertexID: Int] = [:]
    /// Positions of the steps that run, oldest first.
    private(set) var running: [Int] = []
    /// Positions of the steps that ended, in that order.
    private(set) var finished: [Int] = []
    private var failed: [Int] = []
    private var rebased: Set<VertexID> = []
    private(set) var warnings: [BuildWarning] = []
    private(set) var warningCount = 0
    private var knownWarnings: Set<BuildWarning> = []
    private let explains: Bool

    /// - Parameter explains: whether steps show why they run.
    init(explains: Bool = false) { self.explains = explains }

    func position(of id: VertexID) -> Int? { positions[id] }

    var failedSteps: [FailedStep] {
        failed.map { steps[$0] }.map { step in
            var message = ""
            if case .ended(.failed(let text)) = step.phase { message = text }
            return FailedStep(id: step.id, name: step.name, message: message, output: step.tail.last())
        }
    }

    mutating func apply(_ event: SolverEvent) {
        switch event {
        case .started(let info, let time):
            _ = announce(info, at: time)
        case .cached(let info, let time):
            let position = announce(info, at: time)
            steps[position].isRebased = rebased.contains(info.id)
            end(position, .cached, at: time)
        case .rebased(let id): rebased.insert(id)
        case .completed(let id, let outcome, let time):
            if let position = positions[id] { end(position, .ended(outcome), at: time) }
        case .log(let id, let stream, let bytes, let time):
            guard let position = positions[id], steps[position].phase == .running else { return }
            steps[position].tail.append(bytes, of: stream, at: time.since(steps[position].started))
        case .transfer(let id, let transfer):
            guard let position = positions[id], steps[position].phase == .running else { return }
            steps[position].transfers.append(transfer)
        case .warning(_, let warning):
            guard knownWarnings.count < Self.keptWarnings else {
                warningCount += 1
                return
            }
            guard knownWarnings.insert(warning).inserted else { return }
            warningCount += 1
            warnings.append(warning)
        case .reason(let id, let reason):
            if explains, let position = positions[id] { steps[position].reason = reason }
        }
    }

    /// Ends the steps that still run, when the build is over.
    mutating func cancelRunning(at time: EventTime) {
        for position in running { end(position, .ended(.cancelled), at: time) }
    }

    private mutating func announce(_ info: VertexInfo, at time: EventTime) -> Int {
        if let known = positions[info.id] { return known }
        let position = steps.count
        steps.append(Step(number: position + 1, id: info.id, name: LogText.name(info.name), started: time))
        positions[info.id] = position
        running.append(position)
        return position
    }

    private mutating func end(_ position: Int, _ phase: Phase, at time: EventTime) {
        guard steps[position].phase == .running else { return }
        steps[position].phase = phase
        steps[position].completed = time
        steps[position].finishedTransfers = Array(steps[position].transfers.samples.prefix(Self.keptTransfers))
        steps[position].transfers = TransferList()
        running.removeAll { $0 == position }
        finished.append(position)
        if case .ended(.failed) = phase {
            failed.append(position)
        } else {
            steps[position].tail = LogTail()
        }
    }
}
