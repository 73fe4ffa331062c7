// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Foundation
import OCI
import Registry
import Testing

/// Against the registry that everybody runs, compared with what skopeo sees.
@Suite(
    .enabled(
        if: isInstalled("docker-registry", "skopeo", "openssl", "htpasswd"),
        "needs docker-registry, skopeo, openssl and htpasswd"
    )
)
struct DockerRegistryTests {
    static let me = RegistryCredentials.basic(username: "me", password: RedactedString("pass:word"))
    static let config = Array(
        #"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]},"history":[]}"#.utf8
    )

    /// Pushes an image of one layer; gives its manifest's descriptor and the layer's.
    private func push(_ repository: RegistryRepository, _ layer: [UInt8], tag: String) async throws
        -> (manifest: Descriptor, layer: Descriptor)
    {
        let layer = try await repository.writeBlob(mediaType: .ociLayerGzip, expected: nil) { writer in
            for start in stride(from: 0, to: layer.count, by: 100_000) {
                try await writer.write(layer[start..<min(start + 100_000, layer.count)])
            }
        }
        let expected = Descriptor(
            mediaType: .ociConfig,
            digest: Digest.sha256(Self.config),
            size: Int64(Self.config.count)
        )
        let config = try await repository.writeBlob(mediaType: .ociConfig, expected: expected) {
            try await $0.write(Self.config[...])
        }
        let manifest = Manifest(config: config, layers: [layer]).encoded()
        return (try await repository.pushManifest(manifest, mediaType: .ociManifest, tag), layer)
    }

    @Test func pushPullAndMountOverPlainHTTP() async throws {
        try await DockerRegistry.run { registry in
            let client = RegistryClient(credentials: FixedCredentials())
            let name = try Reference("\(registry.host)/team/app:v1")
            let repository = client.repository(name)
            let bytes = pattern(5_000_000)
            let (manifest, layer) = try await push(repository, bytes, tag: "v1")

            let found = try await client.resolveManifest(name)
            #expect(found == manifest)
            let parsed = try Manifest(parsing: try await client.readManifest(name, found))
            #expect(parsed.layers == [layer])
            let pulled = try await repository.readBlob(layer)
            #expect(pulled == bytes)

            let seen = try await command(
                "skopeo",
                ["inspect", "--tls-verify=false", "--format", "{{.Digest}}", "docker://\(name)"]
            )
            #expect(seen.trimmingCharacters(in: .whitespacesAndNewlines) == manifest.digest.description)

            let other = client.repository(try Reference("\(registry.host)/other"))
            let isThere = try await other.containsBlob(layer)
            #expect(!isThere)
            let isMounted = try await other.mountBlob(layer, from: "team/app")
            #expect(isMounted)
            let isThereNow = try await other.containsBlob(layer)
            #expect(isThereNow)
            let unknown = Descriptor(mediaType: .ociLayer, digest: Digest.sha256("x"), size: 1)
            let isUnknownMounted = try await other.mountBlob(unknown, from: "team/app")
            #expect(!isUnknownMounted)

            for (missing, code) in [
                ("team/app:v9", RegistryError.Code.manifestNotFound), ("team/none:v1", .repositoryNotFound),
            ] {
                let error = try await #require(throws: RegistryError.self) {
                    _ = try await client.resolveManifest(try Reference("\(registry.host)/\(missing)"))
                }
                // docker-registry 2.8 says "manifest unknown" for both.
                #expect(error.code == code || error.code == .manifestNotFound, "\(error.message)")
            }
            try await client.shutdown()
        }
    }

    @Test func whatSkopeoPushedIsPulledAndBack() async throws {
        try await DockerRegistry.run { registry in
            let client = RegistryClient(credentials: FixedCredentials())
            let name = try Reference("\(registry.host)/app:v1")
            let pushed = try await push(client.repository(name), pattern(200_000), tag: "v1")
            let copy = try Reference("\(registry.host)/copy:v2")
            try await command(
                "skopeo",
                [
                    "copy", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false",
                    "--preserve-digests",
                    "docker://\(name)", "docker://\(copy)",
                ]
            )
            let found = try await client.resolveManifest(copy)
            #expect(found == pushed.manifest)
            let bytes = try await client.repository(copy).readBlob(pushed.layer)
            #expect(bytes == pattern(200_000))
            try await client.shutdown()
        }
    }

    @Test func passwordsAndTLSWithAnOwnAuthority() async throws {
        try await DockerRegistry.run(secure: true) { registry in
            let hosts = RegistryHosts([registry.host: .init(ca: ["\(registry.directory)/ca.pem"])])
            let client = RegistryClient(hosts: hosts, credentials: FixedCredentials([registry.host: Self.me]))
            let name = try Reference("\(registry.host)/app:v1")
            let pushed = try await push(client.repository(name), pattern(3_000_000), tag: "v1")
            let seen = try await command(
                "skopeo",
                [
                    "inspect", "--creds", "me:pass:word", "--cert-dir", "\(registry.directory)/trusted",
                    "--format", "{{.Digest}}", "docker://\(name)",
                ]
            )
            #expect(seen.trimmingCharacters(in: .whitespacesAndNewlines) == pushed.manifest.digest.description)

            try await client.ping(registry.host, credentials: Self.me)
            for wrong in [nil, RegistryCredentials.basic(username: "me", password: RedactedString("wrong"))] {
                let error = try await #require(throws: RegistryError.self) {
                    try await client.ping(registry.host, credentials: wrong)
                }
                #expect(error.code == .unauthorized)
            }
            try await client.shutdown()
        }
    }

    @Test func anUnknownAuthorityIsNotTrustedUnlessToldSo() async throws {
        try await DockerRegistry.run(secure: true) { registry in
            let credentials = FixedCredentials([registry.host: Self.me])
            let strict = RegistryClient(credentials: credentials)
            let error = try await #require(throws: RegistryError.self) {
                _ = try await strict.resolveManifest(try Reference("\(registry.host)/app"))
            }
            #expect(error.code == .tls, "\(error.message)")
            #expect(error.message.contains("not signed by a trusted authority"), "\(error.message)")
            #expect(error.nextStep?.contains("ca = ") == true)
            try await strict.shutdown()

            let lax = RegistryClient(
                hosts: RegistryHosts([registry.host: .init(insecure: true)]),
                credentials: credentials
            )
            try await lax.ping(registry.host, credentials: Self.me)
            let pushed = try await push(lax.repository(try Reference("\(registry.host)/app")), [1, 2, 3], tag: "v1")
            #expect(pushed.layer.size == 3)
            try await lax.shutdown()
        }
    }

    @Test func httpToATLSPortAndNonsenseCertificateFiles() async throws {
        try await DockerRegistry.run(secure: true) { registry in
            let plain = RegistryClient(
                hosts: RegistryHosts([registry.host: .init(http: true)]),
                credentials: FixedCredentials()
            )
            let refused = try await #require(throws: RegistryError.self) {
                _ = try await plain.resolveManifest(try Reference("\(registry.host)/app"))
            }
            #expect(refused.message.contains("400"), "\(refused.message)")
            try await plain.shutdown()
            let broken = RegistryClient(
                hosts: RegistryHosts([registry.host: .init(ca: ["\(registry.directory)/none.pem"])]),
                credentials: FixedCredentials()
            )
            let unreadable = try await #require(throws: RegistryError.self) {
                _ = try await broken.resolveManifest(try Reference("\(registry.host)/app"))
            }
            #expect(unreadable.code == .tls)
            #expect(unreadable.message.contains("none.pem"))
            try await broken.shutdown()
        }
    }
}
