// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// What one process at a time does.
extension StoreRoot {
    /// Runs `body` while nobody else, in this process or another that uses the root, does so under this name.
    ///
    /// The claim of a process that died is free at once.
    /// - Parameters:
    ///   - name: of letters and digits.
    ///   - waiting: called once when the wait has become long enough to be noticed.
    public func withClaim<R: Sendable>(
        _ name: String,
        waiting: @Sendable () async -> Void,
        _ body: @Sendable () async throws -> R
    ) async throws -> R {
        // Where dead owners' locks are looked for, this one is found too.
        let path = self.path.appending("tmp").appending("claim-\(name).lock")
        let clock = ContinuousClock()
        let start = clock.now
        var pause = Duration.milliseconds(1)
        var isTold = false
        while true {
            if let lock = try await blocking({ try Self.claim(path) }) {
                let result: Result<R, any Error>
                do { result = .success(try await body()) } catch { result = .failure(error) }
                try? await blocking {
                    // Before the lock is given back: then the name is the next one's.
                    try withExtendedLifetime(lock) { try removeFile(path) }
                }
                return try result.get()
            }
            try await clock.sleep(for: pause)
            pause = min(pause * 2, .milliseconds(50))
            if !isTold, clock.now - start > .seconds(1) {
                isTold = true
                await waiting()
            }
        }
    }

    /// Nil when somebody else has it.
    private static func claim(_ path: RawPath) throws -> FileLock? {
        guard let lock = try FileLock(trying: path) else { return nil }
        // The former holder removed the file between our opening it and our lock.
        return try statusIfPresent(at: workingDirectory, path)?.inode == lock.inode ? lock : nil
    }
}
