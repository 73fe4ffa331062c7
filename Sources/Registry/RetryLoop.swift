// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A failure that may pass when the exchange is made again.
struct Setback: Error {
    let error: RegistryError
    var retryAfter: Duration?
    /// The transport's failure, when there was no answer at all.
    var failure: TransportFailure?

    init(_ error: RegistryError, retryAfter: Duration? = nil) {
        self.error = error
        self.retryAfter = retryAfter
    }

    init(_ failure: TransportFailure, host: String) {
        error = RegistryError(.unreachable, "\(host): \(failure.reason)", cause: failure)
        self.failure = failure
    }
}

/// Counts the failures of one transfer and says what comes next.
struct RetryLoop: Sendable {
    private let policy: RetryPolicy
    private let clock: RegistryClock
    private let started: Duration
    private var failures = 0

    init(_ policy: RetryPolicy, _ clock: RegistryClock) {
        self.policy = policy
        self.clock = clock
        started = clock.now()
    }

    /// Waits before the next attempt, or throws the error that ends the attempts.
    mutating func pause(after setback: Setback, host: String) async throws {
        failures += 1
        let isConnect = setback.failure?.kind == .connect
        let limit = isConnect ? min(policy.connectionAttempts, policy.attempts) : policy.attempts
        if failures >= limit || setback.failure?.kind == .tls || setback.failure?.kind == .notTLS {
            throw lastWord(setback, host: host)
        }
        try await clock.sleep(policy.delay(afterFailures: failures, retryAfter: setback.retryAfter))
    }

    /// Progress was made: the next failure is a first one.
    mutating func reset() { failures = 0 }

    /// Makes attempts until one succeeds or throws something else than a setback.
    func run<T>(host: String, _ attempt: () async throws -> T) async throws -> T {
        var loop = self
        while true {
            do {
                return try await attempt()
            } catch let setback as Setback {
                try await loop.pause(after: setback, host: host)
            } catch let failure as TransportFailure {
                try await loop.pause(after: Setback(failure, host: host), host: host)
            }
        }
    }

    private func lastWord(_ setback: Setback, host: String) -> RegistryError {
        guard let failure = setback.failure else { return setback.error }
        switch failure.kind {
        case .tls:
            return RegistryError(
                .tls,
                "cannot trust \(host): \(failure.reason)",
                cause: failure,
                nextStep: "add its authority's certificate as ca = [...] under [registry.\"\(host)\"] in galley.toml"
            )
        case .notTLS:
            return RegistryError(
                .tls,
                "cannot speak TLS with \(host): \(failure.reason)",
                cause: failure,
                nextStep: "if it serves plain http, set http = true under [registry.\"\(host)\"] in galley.toml"
            )
        case .connect, .lost, .timeout:
            let times = failures == 1 ? "tried once" : "tried \(failures) times"
            let elapsed = (clock.now() - started).inSeconds
            return RegistryError(
                .unreachable,
                "cannot reach \(host): \(failure.reason) (\(times) in \(elapsed))",
                cause: failure
            )
        }
    }
}
