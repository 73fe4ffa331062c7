// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Synchronization

/// Wall-clock time of an event: nanoseconds since 1970.
public struct EventTime: Hashable, Sendable, Comparable {
    public var nanoseconds: Int64

    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    public static func < (a: EventTime, b: EventTime) -> Bool { a.nanoseconds < b.nanoseconds }
}

public enum LogStream: Int, Sendable, Hashable {
    case standardOutput = 1
    case standardError = 2
}

/// How a step ended.
public enum VertexOutcome: Sendable, Hashable {
    case succeeded
    /// Stopped because the build was cancelled or another step failed.
    case cancelled
    case failed(message: String)
}

/// Bytes or items that a step moves. Written by the engine without waiting, sampled by displays.
public final class TransferProgress: Sendable {
    /// Unique within its step, like `sha256:4bcff…` or `extracting sha256:4bcff…`.
    public let name: String
    /// What is counted, when known beforehand.
    public let total: Int64?
    public let started: EventTime
    private let counter = Atomic<Int64>(0)
    private let finish = Atomic<Int64>(0)

    public init(name: String, total: Int64?, started: EventTime) {
        self.name = name
        self.total = total
        self.started = started
    }

    public var current: Int64 { counter.load(ordering: .relaxed) }
    public var completed: EventTime? {
        let time = finish.load(ordering: .acquiring)
        return time == 0 ? nil : EventTime(nanoseconds: time)
    }

    public func set(_ value: Int64) { counter.store(value, ordering: .relaxed) }
    public func add(_ amount: Int64) { counter.wrappingAdd(amount, ordering: .relaxed) }
    public func complete(at time: EventTime) { finish.store(time.nanoseconds, ordering: .releasing) }
}

/// What happens during a build, in order, each about one step.
///
/// A step is announced once by `started` or `cached`; logs and transfers follow a `started`; `completed` comes last.
public enum SolverEvent: Sendable {
    case started(VertexInfo, at: EventTime)
    /// The step's result was found, so it did not run. No `completed` follows.
    case cached(VertexInfo, at: EventTime)
    case completed(VertexID, VertexOutcome, at: EventTime)
    /// Of a step that will be `cached`: its layer is kept as it is, although what lies below it changed.
    case rebased(VertexID)
    case log(VertexID, LogStream, [UInt8], at: EventTime)
    /// A transfer began; sample it until its `completed` is set.
    case transfer(VertexID, TransferProgress)
    case warning(VertexID?, BuildWarning)
    /// Why a step that was announced as started runs. Comes before the step's `completed`.
    case reason(VertexID, StepReason)
}

/// Something the user should know that does not stop the build.
public struct BuildWarning: Sendable, Hashable {
    /// The rule's name, like `StageNameCasing`; empty for a plain notice.
    public var rule: String
    public var message: String
    /// Where in which file, like `Dockerfile:3`.
    public var location: String?
    /// The page that explains the rule.
    public var url: String?
    /// Further lines, shown below.
    public var detail: [String]
    /// The lines of the Dockerfile that it is about.
    public var lines: ClosedRange<Int>?

    public init(
        rule: String = "",
        message: String,
        location: String? = nil,
        url: String? = nil,
        detail: [String] = [],
        lines: ClosedRange<Int>? = nil
    ) {
        self.rule = rule
        self.message = message
        self.location = location
        self.url = url
        self.detail = detail
        self.lines = lines
    }
}

/// Takes events from any thread. Must not block.
public protocol SolverEventSink: Sendable {
    func send(_ event: SolverEvent)
}
