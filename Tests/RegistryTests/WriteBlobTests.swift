// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import NIOHTTP1
import OCI
import Registry
import Synchronization
import Testing

@Suite struct WriteBlobTests {
    @Test(arguments: [0, 1, 65_536, 1_000_003])
    func streamsWithoutKnowingTheLength(size: Int) async throws {
        let bytes = pattern(size)
        let registry = FakeRegistry()
        try await registry.serving { server, client in
            let last = Mutex<Int64>(0)
            let repository = client.repository(try reference(server, "team/app"))
                .reportingProgress { count in last.withLock { $0 = count } }
            let written = try await repository.writeBlob(mediaType: .ociLayerGzip, expected: nil) { writer in
                for start in stride(from: 0, to: size, by: 10_007) {
                    try await writer.write(bytes[start..<min(start + 10_007, size)])
                }
            }
            #expect(written.digest == Digest.sha256(bytes))
            #expect(written.size == Int64(size))
            #expect(written.mediaType == .ociLayerGzip)
            #expect(registry.blob(written.digest) == bytes)
            #expect(last.withLock { $0 } == Int64(size))
            #expect(server.requests.map(\.method) == ["POST", "PATCH", "PUT"])
        }
    }

    @Test func whatIsThereIsNotWritten() async throws {
        let registry = FakeRegistry()
        let stored = registry.add(blob: pattern(100))
        try await registry.serving { server, client in
            let repository = client.repository(try reference(server, "app"))
            let isThere = try await repository.containsBlob(stored)
            #expect(isThere)
            let isElsewhere = try await repository.containsBlob(
                Descriptor(mediaType: .ociLayer, digest: Digest.sha256("x"), size: 1)
            )
            #expect(!isElsewhere)
            let written = try await repository.writeBlob(mediaType: .ociLayer, expected: stored) { _ in
                Issue.record("the blob was produced")
            }
            #expect(written == stored)
            #expect(server.requests.allSatisfy { $0.method == "HEAD" })
        }
    }

    @Test(arguments: [
        ([UInt8]([1, 2]), RegistryError.Code.sizeMismatch), ([1, 2, 4], .digestMismatch),
        ([1, 2, 3, 4], .sizeMismatch),
    ])
    func whatIsNotAsExpectedIsNotStored(bytes: [UInt8], code: RegistryError.Code) async throws {
        let registry = FakeRegistry()
        try await registry.serving { server, client in
            let expected = Descriptor(mediaType: .ociLayer, digest: Digest.sha256([1, 2, 3]), size: 3)
            let repository = client.repository(try reference(server, "app"))
            let error = try await #require(throws: RegistryError.self) {
                _ = try await repository.writeBlob(mediaType: .ociLayer, expected: expected) { writer in
                    try await writer.write(bytes[...])
                }
            }
            #expect(error.code == code)
            #expect(server.count("PUT") == 0)
            #expect(registry.openUploads == 0, "the upload was not abandoned")
        }
    }

    struct ProducerFailure: Error {}

    @Test func theProducersErrorComesThroughAndNothingIsStored() async throws {
        let registry = FakeRegistry()
        try await registry.serving { server, client in
            let repository = client.repository(try reference(server, "app"))
            let calls = Mutex(0)
            await #expect(throws: ProducerFailure.self) {
                _ = try await repository.writeBlob(mediaType: .ociLayer, expected: nil) { writer in
                    calls.withLock { $0 += 1 }
                    try await writer.write(pattern(200_000)[...])
                    throw ProducerFailure()
                }
            }
            #expect(calls.withLock { $0 } == 1)
            #expect(server.count("PUT") == 0)
        }
    }

    static let setbacks: [FakeReply] = [
        FakeReply(status: 503), FakeReply(status: 404), FakeReply(status: 202, claimedLength: 10, ending: .cut),
        FakeReply(status: 429, headers: [("Retry-After", "1")]),
        FakeReply(status: 401, headers: [("WWW-Authenticate", "Bearer realm=\"/token\"")]),
    ]

    @Test(arguments: setbacks)
    func aSetbackLetsTheProducerStartAgain(reply: FakeReply) async throws {
        let registry = FakeRegistry { request, _ in
            if request.path == "/token" { return FakeReply(status: 200, body: Array(#"{"token":"t"}"#.utf8)) }
            return request.method == "PATCH" && request.path.hasSuffix("/u1") ? reply : nil
        }
        try await registry.serving { server, client in
            let repository = client.repository(try reference(server, "app"))
            let calls = Mutex(0)
            let written = try await repository.writeBlob(mediaType: .ociLayer, expected: nil) { writer in
                calls.withLock { $0 += 1 }
                try await writer.write(pattern(200_000)[...])
            }
            #expect(calls.withLock { $0 } == 2)
            #expect(registry.blob(written.digest) == pattern(200_000))
        }
    }

    @Test func aLostAnswerToTheCommitIsNoSetbackWhenTheBlobIsThere() async throws {
        let store = Mutex<FakeRegistry?>(nil)
        let registry = FakeRegistry { request, count in
            guard request.method == "PUT", count == 1 else { return nil }
            _ = await store.withLock { $0 }?.answer(request)
            return FakeReply(status: 201, claimedLength: 10, ending: .cut)
        }
        store.withLock { $0 = registry }
        try await registry.serving { server, client in
            let repository = client.repository(try reference(server, "app"))
            let written = try await repository.writeBlob(mediaType: .ociLayer, expected: nil) {
                try await $0.write([1, 2, 3])
            }
            #expect(registry.blob(written.digest) == [1, 2, 3])
            #expect(server.count("PATCH") == 1)
        }
    }

    @Test func aRefusedUploadIsAnError() async throws {
        let registry = FakeRegistry { request, _ in
            request.method == "PATCH" ? FakeRegistry.error(403, "DENIED", "quota exceeded") : nil
        }
        try await registry.serving { server, client in
            let repository = client.repository(try reference(server, "app"))
            let error = try await #require(throws: RegistryError.self) {
                _ = try await repository.writeBlob(mediaType: .ociLayer, expected: nil) { writer in
                    for _ in 0..<100 { try await writer.write(pattern(100_000)[...]) }
                }
            }
            #expect(error.code == .denied)
            #expect(error.message.contains("quota exceeded"))
        }
    }

    @Test func mountsFromAnotherRepository() async throws {
        let registry = FakeRegistry()
        let stored = registry.add(blob: pattern(10))
        try await registry.serving { server, client in
            let repository = client.repository(try reference(server, "app"))
            let isMounted = try await repository.mountBlob(stored, from: "team/other")
            #expect(isMounted)
            #expect(server.requests.first?.query("from") == "team/other")
            let unknown = Descriptor(mediaType: .ociLayer, digest: Digest.sha256("x"), size: 1)
            let isUnknownMounted = try await repository.mountBlob(unknown, from: "team/other")
            #expect(!isUnknownMounted)
            #expect(registry.openUploads == 0, "the upload that the registry opened instead was not abandoned")
        }
    }

    @Test(arguments: [400, 403, 404, 405])
    func aRefusedMountIsNoError(status: Int) async throws {
        let registry = FakeRegistry { _, _ in FakeReply(status: status) }
        try await registry.serving { server, client in
            let descriptor = Descriptor(mediaType: .ociLayer, digest: Digest.sha256("x"), size: 1)
            let isMounted = try await client.repository(try reference(server, "app")).mountBlob(
                descriptor,
                from: "other"
            )
            #expect(!isMounted)
        }
    }

    @Test func pushesManifests() async throws {
        let registry = FakeRegistry()
        try await registry.serving { server, client in
            let repository = client.repository(try reference(server, "app"))
            let pushed = try await repository.pushManifest(ManifestTests.image, mediaType: .ociManifest, "v2")
            #expect(pushed.digest == Digest.sha256(ManifestTests.image))
            #expect(registry.manifest("app:v2") == ManifestTests.image)
            let found = try await client.resolveManifest(try reference(server, "app:v2"))
            #expect(found == pushed)
        }
    }

    @Test func anotherDigestThanPushedIsAnError() async throws {
        let registry = FakeRegistry { _, _ in
            FakeReply(status: 201, headers: [("Docker-Content-Digest", "\(Digest.sha256("other"))")])
        }
        try await registry.serving { server, client in
            let repository = client.repository(try reference(server, "app"))
            for tag in ["v1", "\(Digest.sha256("third"))"] {
                let error = try await #require(throws: RegistryError.self) {
                    _ = try await repository.pushManifest(ManifestTests.image, mediaType: .ociManifest, tag)
                }
                #expect(error.code == .digestMismatch)
            }
            #expect(server.requests.count == 1)
        }
    }
}
