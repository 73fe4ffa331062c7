// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// When a failed exchange is tried again, and how long a silent peer is waited for.
public struct RetryPolicy: Sendable, Hashable {
    /// Exchanges made before giving up, the first one included.
    public var attempts = 5
    /// Exchanges made when no connection can be set up at all, where more patience seldom helps.
    public var connectionAttempts = 3
    /// The wait after the first failure; doubles with each further one. Half of every wait is random.
    public var baseDelay: Duration = .milliseconds(500)
    public var longestDelay: Duration = .seconds(15)
    /// A registry's Retry-After is honoured up to this.
    public var longestRetryAfter: Duration = .seconds(60)
    /// A transfer in which nothing moves for so long is cut and tried again.
    public var stallTimeout: Duration = .seconds(30)
    /// The time for a whole request that transfers no blob.
    public var requestTimeout: Duration = .seconds(60)
    /// The time a registry has to file a blob after its last byte.
    public var commitTimeout: Duration = .seconds(300)

    public init() {}

    /// The wait before attempt `failures + 1`.
    func delay(afterFailures failures: Int, retryAfter: Duration?) -> Duration {
        if let retryAfter { return min(max(retryAfter, .zero), longestRetryAfter) }
        let doubled = baseDelay * (1 << min(max(failures - 1, 0), 16))
        return min(doubled, longestDelay) * Double.random(in: 0.5...1)
    }

    /// The seconds form of Retry-After (RFC 9110, 10.2.3); the date form is not trusted, clocks differ.
    static func retryAfter(_ value: String?) -> Duration? {
        guard let value, let seconds = UInt32(value.filter { $0 != " " }) else { return nil }
        return .seconds(Int64(seconds))
    }
}

/// Time as the client sees it: any clock, with instants as durations since the client was made.
struct RegistryClock: Sendable {
    let now: @Sendable () -> Duration
    let sleep: @Sendable (Duration) async throws -> Void

    init<C: Clock>(_ clock: C) where C.Duration == Duration {
        let start = clock.now
        now = { start.duration(to: clock.now) }
        sleep = { try await clock.sleep(until: clock.now.advanced(by: $0), tolerance: nil) }
    }

    /// Runs `operation` and cancels it after `limit`, throwing `TransportFailure.timeout`.
    func limit<T: Sendable>(_ limit: Duration, _ operation: @escaping @Sendable () async throws -> T) async throws -> T
    {
        try await withThrowingTaskGroup(of: T.self) { group in
            group.addTask { try await operation() }
            group.addTask {
                try await sleep(limit)
                throw TransportFailure.timeout(limit)
            }
            defer { group.cancelAll() }
            guard let first = try await group.next() else { throw CancellationError() }
            return first
        }
    }
}
