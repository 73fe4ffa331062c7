// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
import Registry
import Synchronization
import Testing

/// Bytes that repeat at no power of two, so that a part in the wrong place shows.
func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 / 251) } }

func reference(_ server: FakeServer, _ rest: String) throws -> Reference { try Reference("\(server.host)/\(rest)") }

@Suite struct ReadBlobTests {
    let bytes = pattern(300_000)

    /// Reads the blob from a registry whose answers to GET `reply` replaces; gives what was consumed.
    private func read(
        descriptor: Descriptor? = nil,
        clock: TestClock = TestClock(),
        _ reply: @escaping FakeRegistry.Interceptor
    ) async throws -> (consumed: [UInt8], requests: [FakeRequest], error: RegistryError?) {
        let registry = FakeRegistry(reply)
        let stored = registry.add(blob: bytes)
        return try await registry.serving(clock: clock) { server, client in
            let repository = client.repository(try reference(server, "app"))
            var consumed: [UInt8] = []
            do {
                try await repository.readBlob(descriptor ?? stored) { consumed += $0 }
                return (consumed, server.requests, nil)
            } catch let error as RegistryError {
                return (consumed, server.requests, error)
            }
        }
    }

    @Test func readsAndReportsProgress() async throws {
        let registry = FakeRegistry()
        let descriptor = registry.add(blob: bytes)
        try await registry.serving { server, client in
            let last = Mutex<Int64>(0)
            let repository = client.repository(try reference(server, "app")).reportingProgress { count in
                last.withLock { $0 = count }
            }
            let read = try await repository.readBlob(descriptor)
            #expect(read == bytes)
            #expect(last.withLock { $0 } == Int64(bytes.count))
        }
    }

    @Test func emptyBlobNeedsNoRequest() async throws {
        let empty = Descriptor(mediaType: .ociLayer, digest: Digest.sha256([]), size: 0)
        let result = try await read(descriptor: empty) { _, _ in nil }
        #expect(result.error == nil)
        #expect(result.requests.isEmpty)
    }

    @Test func resumesAfterCutsWhereItEnded() async throws {
        let bytes = bytes
        let result = try await read { request, count in
            if count == 1 {
                return FakeReply(
                    status: 200,
                    body: Array(bytes[..<100_000]),
                    claimedLength: bytes.count,
                    ending: .cut
                )
            }
            if count == 2, let range = request.header("Range"), let from = Int(range.dropFirst(6).dropLast()) {
                return FakeReply(
                    status: 206,
                    headers: [("Content-Range", "bytes \(from)-299999/300000")],
                    body: [bytes[from]],
                    claimedLength: 300_000 - from,
                    ending: .cut
                )
            }
            return nil
        }
        #expect(result.error == nil)
        #expect(result.consumed == bytes)
        let starts = result.requests.compactMap { $0.header("Range")?.dropFirst(6).dropLast() }.compactMap { Int($0) }
        #expect(starts.count == 2)
        #expect(starts.allSatisfy { (1...100_001).contains($0) })
    }

    @Test func skipsWhatItHasWhenTheServerIgnoresRange() async throws {
        let bytes = bytes
        let result = try await read { _, count in
            if count == 1 {
                return FakeReply(status: 200, body: Array(bytes[..<150_001]), claimedLength: bytes.count, ending: .cut)
            }
            return FakeReply(status: 200, body: bytes)
        }
        #expect(result.error == nil)
        #expect(result.consumed == bytes)
    }

    @Test func refusesAnotherPartThanItAskedFor() async throws {
        let bytes = bytes
        let result = try await read { _, count in
            if count == 1 {
                return FakeReply(status: 200, body: Array(bytes[..<10]), claimedLength: bytes.count, ending: .cut)
            }
            return FakeReply(
                status: 206,
                headers: [("Content-Range", "bytes 50-299999/300000")],
                body: Array(bytes[50...])
            )
        }
        #expect(result.error?.code == .invalidResponse)
    }

    struct Lie: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var reply: FakeReply
        var code: RegistryError.Code
        /// At most so much may reach the consumer.
        var consumedAtMost = 300_000
    }

    static let lies: [Lie] = [
        Lie(
            testDescription: "other bytes",
            reply: FakeReply(status: 200, body: [UInt8](repeating: 7, count: 300_000)),
            code: .digestMismatch
        ),
        Lie(
            testDescription: "short, length says so",
            reply: FakeReply(status: 200, body: Array(pattern(300_000)[..<1000])),
            code: .sizeMismatch,
            consumedAtMost: 0
        ),
        Lie(
            testDescription: "short, chunked",
            reply: FakeReply(status: 200, body: Array(pattern(300_000)[..<1000]), isChunked: true),
            code: .sizeMismatch,
            consumedAtMost: 1000
        ),
        Lie(
            testDescription: "long, length says so",
            reply: FakeReply(status: 200, body: pattern(300_001)),
            code: .sizeMismatch,
            consumedAtMost: 0
        ),
        Lie(
            testDescription: "long, chunked",
            reply: FakeReply(status: 200, body: pattern(300_001), isChunked: true),
            code: .sizeMismatch
        ),
        Lie(
            testDescription: "endless",
            reply: FakeReply(status: 200, body: pattern(10_000), isChunked: true, ending: .endless),
            code: .sizeMismatch
        ),
        Lie(
            testDescription: "range nobody asked for",
            reply: FakeReply(status: 206, headers: [("Content-Range", "bytes 5-9/10")], body: pattern(5)),
            code: .invalidResponse,
            consumedAtMost: 0
        ),
        Lie(testDescription: "not there", reply: FakeRegistry.error(404, "BLOB_UNKNOWN"), code: .blobNotFound),
        Lie(testDescription: "forbidden", reply: FakeRegistry.error(403, "DENIED"), code: .denied),
        Lie(
            testDescription: "cut again and again",
            reply: FakeReply(status: 200, body: [], claimedLength: 300_000, ending: .cut),
            code: .unreachable
        ),
        Lie(
            testDescription: "redirect in a circle",
            reply: FakeReply(status: 307, headers: [("Location", "?x=1")]),
            code: .invalidResponse
        ),
        Lie(
            testDescription: "redirect to a file",
            reply: FakeReply(status: 307, headers: [("Location", "file:///etc/passwd")]),
            code: .invalidResponse
        ),
    ]

    @Test(arguments: lies)
    func liesAreErrors(_ lie: Lie) async throws {
        let result = try await read { _, _ in lie.reply }
        #expect(result.error?.code == lie.code, "\(result.error?.message ?? "no error")")
        #expect(result.consumed.count <= lie.consumedAtMost)
    }

    @Test func waitsAsToldByRetryAfter() async throws {
        let clock = TestClock()
        let result = try await read(clock: clock) { _, count in
            count == 1 ? FakeReply(status: 429, headers: [("Retry-After", "7")]) : nil
        }
        #expect(result.error == nil)
        #expect(clock.naps == [.seconds(7)])
    }

    @Test func backsOffFromServerErrors() async throws {
        let clock = TestClock()
        let result = try await read(clock: clock) { _, count in count <= 2 ? FakeReply(status: 503) : nil }
        #expect(result.error == nil)
        #expect(result.consumed == bytes)
        #expect(clock.naps.count == 2)
        #expect(zip(clock.naps, [Duration.milliseconds(500), .seconds(1)]).allSatisfy { $0 <= $1 && $0 * 2 >= $1 })
    }

    @Test(arguments: [(429, RegistryError.Code.rateLimited), (500, .serverError), (503, .serverError)])
    func givesUpAfterSomeAttempts(status: Int, code: RegistryError.Code) async throws {
        let result = try await read { _, _ in FakeRegistry.error(status, "BUSY", "come back later") }
        #expect(result.error?.code == code)
        #expect(result.error?.message.contains("come back later") == true)
        #expect(result.requests.count == RetryPolicy().attempts)
    }

    @Test func aSilentServerIsLeftAndTheRestFetchedAgain() async throws {
        let clock = TestClock()
        let bytes = bytes
        let registry = FakeRegistry { request, count in
            guard count == 1 else { return nil }
            return FakeReply(status: 200, body: Array(bytes[..<1000]), claimedLength: bytes.count, ending: .silent)
        }
        let descriptor = registry.add(blob: bytes)
        try await registry.serving(clock: clock) { server, client in
            let repository = client.repository(try reference(server, "app"))
            let isPartRead = Mutex(false)
            async let patience: Void = {
                // The wait before the second attempt ends the pressing: that attempt shall have its time.
                while clock.naps.isEmpty, !Task.isCancelled {
                    if isPartRead.withLock({ $0 }) { clock.advance(by: .seconds(31)) }
                    await Task.yield()
                }
            }()
            var consumed: [UInt8] = []
            try await repository.readBlob(descriptor) { chunk in
                consumed += chunk
                isPartRead.withLock { $0 = true }
            }
            await patience
            #expect(consumed == bytes)
            #expect(server.requests.last?.header("Range") == "bytes=1000-")
        }
    }

    struct ConsumerFailure: Error {}

    @Test func theConsumersErrorComesThroughAndEndsTheTransfer() async throws {
        let registry = FakeRegistry { _, _ in
            FakeReply(status: 200, body: pattern(50_000), isChunked: true, ending: .endless)
        }
        try await registry.serving { server, client in
            let huge = Descriptor(mediaType: .ociLayer, digest: Digest.sha256("x"), size: 1 << 50)
            let repository = client.repository(try reference(server, "app"))
            await #expect(throws: ConsumerFailure.self) {
                try await repository.readBlob(huge) { _ in throw ConsumerFailure() }
            }
            #expect(server.requests.count == 1)
        }
    }

    @Test func cancellationEndsTheTransfer() async throws {
        let registry = FakeRegistry { _, _ in FakeReply(status: 200, body: [1], isChunked: true, ending: .silent) }
        try await registry.serving { server, client in
            let descriptor = Descriptor(mediaType: .ociLayer, digest: Digest.sha256("x"), size: 10)
            let repository = client.repository(try reference(server, "app"))
            let (started, start) = AsyncStream.makeStream(of: Void.self)
            await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await repository.readBlob(descriptor) { _ in start.yield() } }
                for await _ in started { break }
                group.cancelAll()
                await #expect(throws: CancellationError.self) { try await group.next() }
            }
        }
    }

    @Test func sha512IsRefusedBeforeAnyRequest() async throws {
        let digest = try Digest("sha512:" + String(repeating: "a", count: 128))
        let result = try await read(descriptor: Descriptor(mediaType: .ociLayer, digest: digest, size: 1)) { _, _ in nil
        }
        #expect(result.error?.code == .unsupported)
        #expect(result.requests.isEmpty)
    }
}
