// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// How much of a step's output is shown.
public struct LogLimit: Sendable, Hashable {
    /// Bytes of one step; nil for all of them.
    public var size: Int?
    /// Bytes of one step a second; nil for no limit.
    public var speed: Int?

    public init(size: Int? = 2 << 20, speed: Int? = 200 << 10) {
        self.size = size
        self.speed = speed
    }

    /// The defaults, overridden by `BUILDKIT_STEP_LOG_MAX_SIZE` and `BUILDKIT_STEP_LOG_MAX_SPEED` (-1 for no limit;
    /// what is not a number is ignored).
    public init(environment: (String) -> String?) {
        self.init()
        if let value = environment("BUILDKIT_STEP_LOG_MAX_SIZE").flatMap({ Int($0) }) {
            size = value < 0 ? nil : value
        }
        if let value = environment("BUILDKIT_STEP_LOG_MAX_SPEED").flatMap({ Int($0) }) {
            speed = value < 0 ? nil : value
        }
    }
}

/// Applies a `LogLimit` to the output of one step.
struct LogClipper: Sendable {
    private let limit: LogLimit
    private var seen = 0
    private var clipping = false

    init(_ limit: LogLimit) { self.limit = limit }

    /// How many bytes of the next `count` are to be shown, `elapsed` nanoseconds after the step began, and what to say
    /// after them when this is where clipping begins.
    mutating func admit(_ count: Int, elapsed: Int64) -> (kept: Int, notice: String?) {
        let before = seen
        seen = before.addingReportingOverflow(count).overflow ? .max : before + count
        var allowed = Int.max
        var reason = ""
        if let speed = limit.speed {
            // A step that has just begun already has its first second's share.
            let seconds = max(1, elapsed / 1_000_000_000 + (elapsed % 1_000_000_000 > 0 ? 1 : 0))
            let (product, overflow) = Int(seconds).multipliedReportingOverflow(by: speed)
            allowed = overflow ? Int.max : product
            reason = binarySize(speed) + "/s"
        }
        if let size = limit.size, size < allowed {
            allowed = size
            reason = binarySize(size)
        }
        let kept = max(0, min(count, allowed - before))
        if kept == count {
            clipping = false
            return (kept, nil)
        }
        defer { clipping = true }
        return (kept, clipping ? nil : "[output clipped, log limit \(reason) reached]")
    }
}
