// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
import Testing

@Suite struct PlatformTests {
    @Test(arguments: [
        ("linux/amd64", "linux/amd64"), ("linux/x86_64", "linux/amd64"), ("LINUX/AMD64", "linux/amd64"),
        ("amd64", "linux/amd64"), ("arm64", "linux/arm64"), ("aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"), ("linux/arm64/8", "linux/arm64"), ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"), ("linux/arm", "linux/arm"), ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"), ("armhf", "linux/arm/v7"), ("armel", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("windows/amd64", "windows/amd64"), ("linux", "linux/\(Platform.host.architecture)"),
    ]) func parses(text: String, expected: String) throws {
        #expect(try Platform(text).description == expected)
    }

    @Test(arguments: [
        "", "/", "linux/", "/amd64", "linux/amd64/", "a/b/c/d", "linux/am d64", "linux/ämd64", "linux/a\0", "*",
    ])
    func refuses(text: String) {
        #expect(throws: OCIError.self) { try Platform(text) }
    }

    /// What is asked for, what is offered as manifests spell it, whether it runs there.
    @Test(
        arguments: [
            ("linux/amd64", "linux", "amd64", nil, true), ("linux/amd64", "linux", "x86_64", nil, true),
            ("linux/amd64", "linux", "amd64", "v1", true), ("linux/amd64", "linux", "amd64", "v3", false),
            ("linux/amd64/v3", "linux", "amd64", "v2", true), ("linux/amd64/v3", "linux", "amd64", nil, true),
            ("linux/amd64/v3", "linux", "amd64", "v4", false), ("linux/amd64", "linux", "arm64", nil, false),
            ("linux/amd64", "windows", "amd64", nil, false), ("linux/amd64", "unknown", "unknown", nil, false),
            ("linux/arm64", "linux", "arm64", "v8", true), ("linux/arm64", "linux", "arm64", "", true),
            ("linux/arm64", "linux", "aarch64", nil, true), ("linux/arm64", "linux", "arm64", "v9", false),
            ("linux/arm", "linux", "arm", "v7", true), ("linux/arm", "linux", "arm", "v6", true),
            ("linux/arm/v7", "linux", "arm", nil, true), ("linux/arm/v6", "linux", "arm", "v7", false),
            ("linux/arm/v6", "linux", "arm", nil, false), ("linux/arm/v6", "linux", "arm", "v5", true),
            ("linux/arm/v7", "linux", "arm", "7", true), ("linux/arm/v7", "linux", "arm64", nil, false),
            ("linux/ppc64le", "linux", "ppc64le", nil, true), ("linux/mips/x", "linux", "mips", "y", false),
        ] as [(String, String, String, String?, Bool)]
    )
    func accepts(wanted: String, os: String, architecture: String, variant: String?, expected: Bool) throws {
        let offered = Platform(os: os, architecture: architecture, variant: variant)
        #expect(try Platform(wanted).accepts(offered) == expected)
    }

    private func entry(_ name: String, _ platform: String?, annotations: [String: String]? = nil) throws -> Descriptor {
        let parts = platform?.split(separator: "/").map(String.init)
        return Descriptor(
            mediaType: .ociManifest,
            digest: .sha256(name),
            size: 1,
            platform: parts.map { Platform(os: $0[0], architecture: $0[1], variant: $0.count > 2 ? $0[2] : nil) },
            annotations: annotations
        )
    }

    @Test(
        arguments: [
            ("linux/arm/v7", "linux/arm/v7"), ("linux/arm/v6", "linux/arm/v6"), ("linux/arm/v8", "linux/arm/v7"),
            ("linux/arm/v5", nil), ("linux/amd64", "linux/amd64"), ("linux/amd64/v3", "linux/amd64/v2"),
            ("linux/arm64", "linux/arm64/v8"), ("linux/s390x", nil), ("unknown/unknown", nil),
        ] as [(String, String?)]
    ) func choosesTheClosest(wanted: String, expected: String?) throws {
        let attestation = ["vnd.docker.reference.type": "attestation-manifest"]
        let offered = [
            "linux/arm/v6", "linux/arm/v7", "linux/amd64", "linux/amd64/v2", "linux/amd64/v4", "linux/arm64/v8",
        ]
        var manifests = try offered.map { try entry($0, $0) }
        manifests.insert(try entry("attestation", "unknown/unknown", annotations: attestation), at: 0)
        manifests.insert(try entry("lie", "linux/s390x", annotations: attestation), at: 0)
        let found = Index(manifests: manifests).manifest(for: try Platform(wanted))
        #expect(found?.digest == expected.map { Digest.sha256($0) })
    }

    @Test func entryWithoutPlatform() throws {
        let single = Index(manifests: [try entry("only", nil)])
        #expect(single.manifest(for: .host)?.digest == .sha256("only"))
        let two = Index(manifests: [try entry("a", nil), try entry("b", nil)])
        #expect(two.manifest(for: .host) == nil)
        let attestation = try entry("a", nil, annotations: ["vnd.docker.reference.type": "attestation-manifest"])
        #expect(Index(manifests: [attestation]).manifest(for: .host) == nil)
    }
}
