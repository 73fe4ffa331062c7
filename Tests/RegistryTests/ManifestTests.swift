// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import NIOHTTP1
import OCI
import Registry
import Testing

@Suite struct ManifestTests {
    static let image = Array(#"{"schemaVersion":2,"config":{},"layers":[]}"#.utf8)
    static let index = Array(#"{"schemaVersion":2,"manifests":[]}"#.utf8)

    @Test(arguments: [MediaType.ociManifest, .ociIndex, .dockerManifest, .dockerManifestList])
    func resolvesWithHeadAndReadsTheExactBytes(type: MediaType) async throws {
        let registry = FakeRegistry()
        let stored = registry.add(manifest: Self.image, type: type, "team/app", "v1")
        try await registry.serving { server, client in
            let name = try reference(server, "team/app:v1")
            let found = try await client.resolveManifest(name)
            #expect(found == stored)
            #expect(server.count("GET") == 0)
            #expect(server.requests.first?.headers.filter { $0.name == "Accept" }.count == 4)
            let bytes = try await client.readManifest(name, found)
            #expect(bytes == Self.image)
            let byDigest = Reference(domain: name.domain, path: name.path, digest: stored.digest)
            let again = try await client.resolveManifest(byDigest)
            #expect(again == stored)
        }
    }

    static let brokenHeads: [FakeReply] = [
        FakeReply(status: 405), FakeReply(status: 404), FakeReply(status: 501), FakeReply(status: 200),
        FakeReply(
            status: 200,
            headers: [("Content-Type", "text/plain"), ("Docker-Content-Digest", "nonsense")],
            body: [1, 2, 3]
        ),
    ]

    @Test(arguments: brokenHeads)
    func fallsBackToGet(head: FakeReply) async throws {
        let registry = FakeRegistry { request, _ in request.method == "HEAD" ? head : nil }
        let stored = registry.add(manifest: Self.image, "app", "v1")
        try await registry.serving { server, client in
            let found = try await client.resolveManifest(try reference(server, "app:v1"))
            #expect(found == stored)
        }
    }

    struct Sniffed: Sendable {
        var body: String
        var contentType: String
        var type: MediaType
    }

    @Test(arguments: [
        Sniffed(
            body: #"{"schemaVersion":2,"config":{},"layers":[]}"#,
            contentType: "application/json",
            type: .ociManifest
        ),
        Sniffed(body: #"{"schemaVersion":2,"manifests":[]}"#, contentType: "", type: .ociIndex),
        Sniffed(
            body: #"{"mediaType":"application/vnd.docker.distribution.manifest.v2+json","layers":[]}"#,
            contentType: "text/plain; charset=utf-8",
            type: .dockerManifest
        ),
        Sniffed(
            body: "{}",
            contentType: "application/vnd.oci.image.index.v1+json; charset=utf-8",
            type: .ociIndex
        ),
    ])
    func learnsTheTypeFromTheDocument(_ sniffed: Sniffed) async throws {
        let registry = FakeRegistry { request, _ in
            FakeReply(status: 200, headers: [("Content-Type", sniffed.contentType)], body: Array(sniffed.body.utf8))
        }
        try await registry.serving { server, client in
            let found = try await client.resolveManifest(try reference(server, "app:v1"))
            #expect(found.mediaType == sniffed.type)
            #expect(found.digest == Digest.sha256(sniffed.body))
        }
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var reply: FakeReply
        var code: RegistryError.Code
        var text = ""
    }

    static let schema1 = [("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")]

    static let refusals: [Refusal] = [
        Refusal(
            testDescription: "no tag",
            reply: FakeRegistry.error(404, "MANIFEST_UNKNOWN"),
            code: .manifestNotFound,
            text: "/app:v1 not found"
        ),
        Refusal(
            testDescription: "no repository",
            reply: FakeRegistry.error(404, "NAME_UNKNOWN"),
            code: .repositoryNotFound
        ),
        Refusal(testDescription: "404 without a word", reply: FakeReply(status: 404), code: .manifestNotFound),
        Refusal(
            testDescription: "401 without a challenge",
            reply: FakeRegistry.error(401, "UNAUTHORIZED"),
            code: .unauthorized,
            text: "demands a login"
        ),
        Refusal(testDescription: "403", reply: FakeRegistry.error(403, "DENIED"), code: .denied),
        Refusal(testDescription: "418", reply: FakeReply(status: 418), code: .invalidResponse, text: "418"),
        Refusal(
            testDescription: "schema 1 by header",
            reply: FakeReply(status: 200, headers: schema1, body: Array("{}".utf8)),
            code: .unsupported,
            text: "schema 1"
        ),
        Refusal(
            testDescription: "schema 1 by document",
            reply: FakeReply(status: 200, body: Array(#"{"schemaVersion":1}"#.utf8)),
            code: .unsupported,
            text: "schema 1"
        ),
        Refusal(
            testDescription: "a web page",
            reply: FakeReply(status: 200, body: Array("<html>".utf8)),
            code: .invalidResponse
        ),
        Refusal(
            testDescription: "something else",
            reply: FakeReply(status: 200, body: Array("{}".utf8)),
            code: .unsupported
        ),
        Refusal(
            testDescription: "wrong digest",
            reply: FakeReply(
                status: 200,
                headers: [
                    ("Content-Type", "application/json"),
                    ("Docker-Content-Digest", "sha256:\(String(repeating: "0", count: 64))"),
                ],
                body: image
            ),
            code: .digestMismatch
        ),
        Refusal(
            testDescription: "endless",
            reply: FakeReply(status: 200, body: pattern(100_000), isChunked: true, ending: .endless),
            code: .tooLarge
        ),
        Refusal(
            testDescription: "endless refusal",
            reply: FakeReply(status: 404, body: pattern(100_000), isChunked: true, ending: .endless),
            code: .manifestNotFound
        ),
        Refusal(
            testDescription: "control characters",
            reply: FakeRegistry.error(403, "DENIED", #"go\u001b[31maway\u0007\u202e"#),
            code: .denied,
            text: "go [31maway "
        ),
    ]

    @Test(arguments: refusals)
    func refusalsAreTold(_ refusal: Refusal) async throws {
        let registry = FakeRegistry { _, _ in refusal.reply }
        try await registry.serving { server, client in
            let error = try await #require(throws: RegistryError.self) {
                _ = try await client.resolveManifest(try reference(server, "app:v1"))
            }
            #expect(error.code == refusal.code, "\(error.message)")
            #expect(refusal.text.isEmpty || error.message.contains(refusal.text), "\(error.message)")
            #expect(!error.message.unicodeScalars.contains { $0.properties.generalCategory == .control })
        }
    }

    @Test func aManifestThatIsNotWhatItsDigestSaysIsRefused() async throws {
        let registry = FakeRegistry { _, _ in
            FakeReply(status: 200, headers: [("Content-Type", MediaType.ociManifest.rawValue)], body: Self.index)
        }
        try await registry.serving { server, client in
            let name = try reference(server, "app:v1")
            let wanted = Descriptor(
                mediaType: .ociManifest,
                digest: Digest.sha256(Self.image),
                size: Int64(Self.image.count)
            )
            let error = try await #require(throws: RegistryError.self) {
                _ = try await client.readManifest(name, wanted)
            }
            #expect(error.code == .digestMismatch)
        }
    }

    @Test func descriptorsBeyondTheLimitAreNotAskedFor() async throws {
        try await FakeRegistry().serving { server, client in
            let huge = Descriptor(mediaType: .ociManifest, digest: Digest.sha256("x"), size: 17 << 20)
            let error = try await #require(throws: RegistryError.self) {
                _ = try await client.readManifest(try reference(server, "app:v1"), huge)
            }
            #expect(error.code == .tooLarge)
            #expect(server.requests.isEmpty)
        }
    }

    @Test func nobodyListening() async throws {
        let port = try await FakeServer.run({ _ in FakeReply(status: 200) }) { $0.port }
        let clock = TestClock()
        let client = RegistryClient(credentials: FixedCredentials(), clock: clock)
        let error = try await #require(throws: RegistryError.self) {
            _ = try await client.resolveManifest(try Reference("127.0.0.1:\(port)/app"))
        }
        #expect(error.code == .unreachable)
        #expect(error.message.contains("127.0.0.1:\(port)"))
        #expect(error.message.contains("connection refused"))
        #expect(error.message.contains("tried 3 times in"))
    }

    @Test func unknownHost() async throws {
        let client = RegistryClient(credentials: FixedCredentials(), clock: TestClock())
        let error = try await #require(throws: RegistryError.self) {
            _ = try await client.resolveManifest(try Reference("registry.invalid/app"))
        }
        #expect(error.code == .unreachable, "\(error.message)")
        #expect(error.message.contains("does not resolve"), "\(error.message)")
    }

    @Test func plainHTTPOnLoopbackIsFoundOut() async throws {
        let registry = FakeRegistry()
        let stored = registry.add(manifest: Self.image, "app", "v1")
        try await FakeServer.run({ await registry.answer($0) }) { server in
            let client = RegistryClient(credentials: FixedCredentials())
            let found = try await client.resolveManifest(try reference(server, "app:v1"))
            #expect(found == stored)
            try await client.shutdown()
        }
    }

    @Test func mirrorsAreAskedFirstAndTheOriginLast() async throws {
        let origin = FakeRegistry()
        let mirror = FakeRegistry()
        let both = origin.add(manifest: Self.image, "app", "both")
        mirror.add(manifest: Self.image, "cache/app", "both")
        let onlyOrigin = origin.add(manifest: Self.index, type: .ociIndex, "app", "origin")
        let blob = origin.add(blob: pattern(1000))
        try await FakeServer.run({ await origin.answer($0) }) { originServer in
            try await FakeServer.run({ await mirror.answer($0) }) { mirrorServer in
                let client = RegistryClient(
                    hosts: RegistryHosts([
                        originServer.host: .init(mirrors: ["127.0.0.1:1", "\(mirrorServer.host)/cache"], http: true),
                        mirrorServer.host: .init(http: true),
                    ]),
                    credentials: FixedCredentials(),
                    clock: TestClock()
                )
                let mirrored = try await client.resolveManifest(try reference(originServer, "app:both"))
                #expect(mirrored == both)
                #expect(originServer.requests.isEmpty)
                let original = try await client.resolveManifest(try reference(originServer, "app:origin"))
                #expect(original == onlyOrigin)
                let repository = client.repository(try reference(originServer, "app"))
                let bytes = try await repository.readBlob(blob)
                #expect(bytes == pattern(1000))
                #expect(mirrorServer.requests.allSatisfy { $0.path.hasPrefix("/v2/cache/app/") })
                let written = try await repository.writeBlob(mediaType: .ociLayer, expected: nil) { writer in
                    try await writer.write([1, 2, 3])
                }
                #expect(origin.blob(written.digest) == [1, 2, 3])
                #expect(mirrorServer.requests.allSatisfy { $0.method == "GET" || $0.method == "HEAD" })
                try await client.shutdown()
            }
        }
    }
}
