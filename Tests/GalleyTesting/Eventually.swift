// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// How long tests wait for another program. It only ends what hangs, and costs nothing when all is well: on a slow
/// machine that is busy with other work, what takes a second here takes a minute. Shorter than what the tests' own
/// programs sleep, so that nothing ends by itself.
public let hangLimit: Duration = .seconds(300)

/// Waits until a condition holds that another program brings about.
public func eventually(
    _ what: String,
    within limit: Duration = hangLimit,
    _ condition: @Sendable () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < end else { throw ProgramFailure(description: "not within \(limit): \(what)") }
        try await Task.sleep(for: .milliseconds(10))
    }
}
