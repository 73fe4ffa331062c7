// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import NIOHTTP1
import OCI
import Registry
import Synchronization
import Testing

/// A registry that wants tokens, with its token server on the same port.
private final class TokenRegistry: Sendable {
    let issued = Mutex<[(token: String, scope: String)]>([])
    let isExpired = Mutex(false)
    let registry = FakeRegistry()
    private let lifetime: Int
    private let login: String?
    private let refresh: String?

    init(lifetime: Int = 300, login: String? = nil, refresh: String? = nil) {
        self.lifetime = lifetime
        self.login = login
        self.refresh = refresh
    }

    func answer(_ request: FakeRequest) async -> FakeReply {
        if request.path == "/token" { return token(request) }
        let shown = request.header("Authorization") ?? ""
        let isKnown = issued.withLock { $0.contains { "Bearer \($0.token)" == shown } }
        let isExpired = isExpired.withLock { isExpired in
            defer { isExpired = false }
            return isExpired
        }
        if isKnown, !isExpired {
            return await registry.answer(request)
        }
        let host = request.header("Host") ?? ""
        let challenge =
            #"Bearer realm="http://\#(host)/token",service="registry, \"main\"",scope="repository:app:pull",error="x""#
        var reply = FakeRegistry.error(401, "UNAUTHORIZED", "authentication required")
        reply.headers.append(("WWW-Authenticate", challenge))
        return reply
    }

    private func token(_ request: FakeRequest) -> FakeReply {
        if let refresh {
            let body = FakeRequest.decoded(Substring(String(decoding: request.body, as: UTF8.self)))
            guard request.method == "POST", body.contains("grant_type=refresh_token"),
                body.contains("refresh_token=\(refresh)&"), body.contains("service=registry")
            else { return FakeReply(status: 400, body: Array(#"{"error":"invalid_grant"}"#.utf8)) }
        } else if request.query("service") != #"registry, "main""# {
            return FakeReply(status: 400)
        }
        if let login, request.header("Authorization") != login {
            return FakeReply(status: 401, body: Array(#"{"details":"incorrect username or password"}"#.utf8))
        }
        let token = issued.withLock { issued in
            let token = "token\(issued.count + 1)"
            issued.append((token, request.query("scope") ?? ""))
            return token
        }
        let body =
            refresh == nil
            ? #"{"token":"\#(token)","expires_in":\#(lifetime)}"#
            : #"{"access_token":"\#(token)","token_type":"Bearer"}"#
        return FakeReply(status: 200, body: Array(body.utf8))
    }

    func serving<R: Sendable>(
        credentials: RegistryCredentials? = nil,
        clock: TestClock = TestClock(),
        _ body: @Sendable (FakeServer, RegistryClient) async throws -> R
    ) async throws -> R {
        try await FakeServer.run({ await self.answer($0) }) { server in
            let client = RegistryClient(
                hosts: RegistryHosts([server.host: .init(http: true)]),
                credentials: FixedCredentials(credentials.map { [server.host: $0] } ?? [:]),
                clock: clock
            )
            do {
                let result = try await body(server, client)
                try await client.shutdown()
                return result
            } catch {
                try? await client.shutdown()
                throw error
            }
        }
    }
}

@Suite struct AuthTests {
    /// base64 of `me:pä:ss`
    static let basic = "Basic bWU6cMOkOnNz"
    static let me = RegistryCredentials.basic(username: "me", password: RedactedString("pä:ss"))

    @Test func anonymousTokensAreFetchedOnceAndKept() async throws {
        let tokens = TokenRegistry()
        let blob = tokens.registry.add(blob: pattern(1000))
        let manifest = tokens.registry.add(manifest: ManifestTests.image, "app", "v1")
        try await tokens.serving { server, client in
            let found = try await client.resolveManifest(try reference(server, "app:v1"))
            #expect(found == manifest)
            let repository = client.repository(try reference(server, "app"))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 { group.addTask { _ = try await repository.readBlob(blob) } }
                try await group.waitForAll()
            }
            #expect(tokens.issued.withLock { $0.map(\.scope) } == ["repository:app:pull"])
            #expect(
                server.requests.filter { $0.path.hasPrefix("/v2/") && $0.header("Authorization") == nil }.count == 1
            )
        }
    }

    @Test func pushAsksForAWiderScope() async throws {
        let tokens = TokenRegistry()
        try await tokens.serving { server, client in
            let repository = client.repository(try reference(server, "app"))
            _ = try await repository.writeBlob(mediaType: .ociLayer, expected: nil) { try await $0.write([1, 2]) }
            #expect(tokens.issued.withLock { $0.map(\.scope) } == ["repository:app:pull,push"])
        }
    }

    @Test func tokensAreRenewedBeforeTheyExpire() async throws {
        let tokens = TokenRegistry(lifetime: 100)
        tokens.registry.add(manifest: ManifestTests.image, "app", "v1")
        let clock = TestClock()
        try await tokens.serving(clock: clock) { server, client in
            for pause in [0, 80, 11, 1] {
                clock.advance(by: .seconds(pause))
                _ = try await client.resolveManifest(try reference(server, "app:v1"))
            }
            #expect(tokens.issued.withLock { $0.count } == 2)
        }
    }

    @Test func aTokenThatExpiresEarlyIsRenewedOnce() async throws {
        let tokens = TokenRegistry()
        let blob = tokens.registry.add(blob: pattern(1000))
        try await tokens.serving { server, client in
            let repository = client.repository(try reference(server, "app"))
            _ = try await repository.readBlob(blob)
            tokens.isExpired.withLock { $0 = true }
            let bytes = try await repository.readBlob(blob)
            #expect(bytes == pattern(1000))
            #expect(tokens.issued.withLock { $0.count } == 2)
        }
    }

    @Test func credentialsBuyAToken() async throws {
        let tokens = TokenRegistry(login: Self.basic)
        let manifest = tokens.registry.add(manifest: ManifestTests.image, "app", "v1")
        try await tokens.serving(credentials: Self.me) { server, client in
            let found = try await client.resolveManifest(try reference(server, "app:v1"))
            #expect(found == manifest)
            #expect(server.requests.allSatisfy { $0.path == "/token" || $0.header("Authorization") != Self.basic })
        }
    }

    @Test func identityTokensBuyATokenByOAuth() async throws {
        let tokens = TokenRegistry(refresh: "re+fresh/1")
        let manifest = tokens.registry.add(manifest: ManifestTests.image, "app", "v1")
        try await tokens.serving(credentials: .identityToken(RedactedString("re+fresh/1"))) { server, client in
            // The form decoder of the test turns %2B back; a raw plus would have become a space.
            let found = try await client.resolveManifest(try reference(server, "app:v1"))
            #expect(found == manifest)
        }
    }

    @Test(arguments: [true, false])
    func wrongAndMissingCredentialsAreToldApart(given: Bool) async throws {
        let tokens = TokenRegistry(login: "Basic other")
        try await tokens.serving(credentials: given ? Self.me : nil) { server, client in
            let error = try await #require(throws: RegistryError.self) {
                _ = try await client.resolveManifest(try reference(server, "app:v1"))
            }
            #expect(error.code == .unauthorized)
            #expect(error.message.contains(given ? "refused the credentials" : "demands a login"), "\(error.message)")
            #expect(error.message.contains("incorrect username or password"))
            #expect(error.nextStep?.contains("galley login \(server.host)") == true)
            #expect(!"\(error)\(String(reflecting: error))".contains("pä:ss"))
        }
    }

    private func basicRegistry() -> FakeRegistry {
        FakeRegistry { request, _ in
            if request.header("Authorization") == Self.basic { return nil }
            var reply = FakeRegistry.error(401, "UNAUTHORIZED")
            reply.headers.append(("WWW-Authenticate", #"Basic realm="Registry Realm""#))
            return reply
        }
    }

    @Test func basicAuthentication() async throws {
        let registry = basicRegistry()
        let stored = registry.add(manifest: ManifestTests.image, "app", "v1")
        try await FakeServer.run({ await registry.answer($0) }) { server in
            let client = RegistryClient(credentials: FixedCredentials([server.host: Self.me]))
            let found = try await client.resolveManifest(try reference(server, "app:v1"))
            #expect(found == stored)
            let requests = server.requests
            #expect(requests.filter { $0.header("Authorization") == nil }.count <= 2)
            try await client.shutdown()
        }
    }

    @Test func pingTellsGoodCredentialsFromBad() async throws {
        let registry = basicRegistry()
        try await registry.serving { server, client in
            try await client.ping(server.host, credentials: Self.me)
            for wrong in [nil, RegistryCredentials.basic(username: "me", password: RedactedString("no"))] {
                let error = try await #require(throws: RegistryError.self) {
                    try await client.ping(server.host, credentials: wrong)
                }
                #expect(error.code == .unauthorized)
            }
        }
        try await FakeServer.run({ _ in FakeReply(status: 404) }) { server in
            let client = RegistryClient(credentials: FixedCredentials())
            let error = try await #require(throws: RegistryError.self) {
                try await client.ping(server.host, credentials: nil)
            }
            #expect(error.code == .unsupported)
            try await client.shutdown()
        }
    }

    @Test func pingVerifiesThroughTheTokenServer() async throws {
        let tokens = TokenRegistry(login: Self.basic)
        try await tokens.serving { server, client in
            try await client.ping(server.host, credentials: Self.me)
            await #expect(throws: RegistryError.self) {
                try await client.ping(server.host, credentials: .basic(username: "me", password: RedactedString("no")))
            }
        }
    }

    @Test(arguments: [301, 302, 303, 307, 308])
    func redirectsToAnotherHostCarryNoCredentials(status: Int) async throws {
        let bytes = pattern(5000)
        try await FakeServer.run({ _ in FakeReply(status: 200, body: bytes) }) { storage in
            let target = "http://\(storage.host)/bucket/blob?X-Signature=a%2Bb"
            let registry = FakeRegistry { request, _ in
                guard request.header("Authorization") == Self.basic else {
                    return FakeReply(status: 401, headers: [("WWW-Authenticate", "Basic realm=x")])
                }
                return FakeReply(status: status, headers: [("Location", target)])
            }
            let descriptor = registry.add(blob: bytes)
            try await FakeServer.run({ await registry.answer($0) }) { server in
                let client = RegistryClient(credentials: FixedCredentials([server.host: Self.me]))
                let read = try await client.repository(try reference(server, "app")).readBlob(descriptor)
                #expect(read == bytes)
                #expect(storage.requests.count == 1)
                #expect(storage.requests.allSatisfy { $0.header("Authorization") == nil })
                #expect(storage.requests.first?.uri == "/bucket/blob?X-Signature=a%2Bb")
                try await client.shutdown()
            }
        }
    }

    @Test func credentialsDoNotTravelToATokenServerOverPlainHTTP() async throws {
        let registry = FakeRegistry { _, _ in
            FakeReply(
                status: 401,
                headers: [("WWW-Authenticate", #"Bearer realm="http://tokens.invalid/t",service="s""#)]
            )
        }
        try await FakeServer.run({ await registry.answer($0) }) { server in
            let client = RegistryClient(credentials: FixedCredentials([server.host: Self.me]))
            let error = try await #require(throws: RegistryError.self) {
                _ = try await client.resolveManifest(try reference(server, "app:v1"))
            }
            #expect(error.message.contains("not sent to tokens.invalid over plain http"), "\(error.message)")
            try await client.shutdown()
        }
    }

    @Test func aTokenWithALineBreakIsRefused() async throws {
        let registry = FakeRegistry { request, _ in
            if request.path == "/token" {
                return FakeReply(status: 200, body: Array(#"{"token":"a\r\nX-Evil: 1"}"#.utf8))
            }
            return FakeReply(status: 401, headers: [("WWW-Authenticate", #"Bearer realm="/token""#)])
        }
        try await registry.serving { server, client in
            let error = try await #require(throws: RegistryError.self) {
                _ = try await client.resolveManifest(try reference(server, "app:v1"))
            }
            #expect(error.code == .invalidResponse)
        }
    }
}
