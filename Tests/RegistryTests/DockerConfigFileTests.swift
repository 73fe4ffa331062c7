// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Foundation
import OCI
import Testing

@testable import Registry

/// A directory that is removed afterwards.
func withTemporaryDirectory<R>(_ body: (String) async throws -> R) async throws -> R {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("registry-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    return try await body(directory.path)
}

@Suite struct DockerConfigFileTests {
    static let me = RegistryCredentials.basic(username: "me", password: RedactedString("pass:word"))

    private func config(_ json: String, _ body: (DockerConfigFile) async throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            try json.write(toFile: "\(directory)/config.json", atomically: true, encoding: .utf8)
            try await body(DockerConfigFile(path: "\(directory)/config.json"))
        }
    }

    struct Lookup: Sendable {
        var json: String
        var host: String
        var expected: RegistryCredentials?
    }

    /// base64 of `me:pass:word`, and of the same with two zero bytes behind.
    static let auth = "bWU6cGFzczp3b3Jk"
    static let padded = "bWU6cGFzczp3b3JkAAA="

    static let lookups: [Lookup] = [
        Lookup(json: "{}", host: "a.example", expected: nil),
        Lookup(json: #"{"auths":{"a.example":{"auth":"\#(auth)"}}}"#, host: "a.example", expected: me),
        Lookup(json: #"{"auths":{"a.example":{"auth":"\#(padded)"}}}"#, host: "a.example", expected: me),
        Lookup(json: #"{"auths":{"a.example":{"auth":"\#(auth)"}}}"#, host: "a.example:5000", expected: nil),
        Lookup(json: #"{"auths":{"https://a.example/v1/":{"auth":"\#(auth)"}}}"#, host: "a.example", expected: me),
        Lookup(
            json: #"{"auths":{"https://index.docker.io/v1/":{"auth":"\#(auth)"}}}"#,
            host: "docker.io",
            expected: me
        ),
        Lookup(json: #"{"auths":{"docker.io":{"auth":"\#(auth)"}}}"#, host: "docker.io", expected: me),
        Lookup(
            json: #"{"auths":{"a.example":{"username":"me","password":"pass:word"}}}"#,
            host: "a.example",
            expected: me
        ),
        Lookup(
            json: #"{"auths":{"a.example":{"auth":"\#(auth)","identitytoken":"t"}}}"#,
            host: "a.example",
            expected: .identityToken(RedactedString("t"))
        ),
        Lookup(
            json: #"{"auths":{"a.example":{"registrytoken":"t"}}}"#,
            host: "a.example",
            expected: .registryToken(RedactedString("t"))
        ),
        Lookup(json: #"{"auths":{"a.example":{}}}"#, host: "a.example", expected: nil),
        Lookup(json: #"{"auths":[1,2]}"#, host: "a.example", expected: nil),
    ]

    @Test(arguments: lookups)
    func entries(_ lookup: Lookup) async throws {
        try await config(lookup.json) { file in
            let found = try await file.credentials(for: lookup.host)
            #expect(found == lookup.expected)
        }
    }

    @Test(arguments: [
        "not json hunter2", "[]", #"{"auths":{"a.example":{"auth":"%%%"}}}"#,
        #"{"auths":{"a.example":{"auth":"aHVudGVyMg=="}}}"#,
    ])
    func whatCannotBeReadIsAnErrorWithoutSecrets(json: String) async throws {
        let error = try await #require(throws: RegistryError.self) {
            try await config(json) { _ = try await $0.credentials(for: "a.example") }
        }
        #expect(error.code == .credentialStore)
        #expect(!"\(error) \(String(reflecting: error))".contains("hunter2"))
    }

    @Test func aMissingFileIsEmptyAndMadePrivate() async throws {
        try await withTemporaryDirectory { directory in
            let path = "\(directory)/new/config.json"
            var file = try DockerConfigFile(path: path)
            let before = try await file.credentials(for: "docker.io")
            #expect(before == nil)
            try await file.store(Self.me, for: "docker.io")
            let found = try await DockerConfigFile(path: path).credentials(for: "docker.io")
            #expect(found == Self.me)
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == 0o600)
            #expect(try String(contentsOfFile: path, encoding: .utf8).contains("\"https://index.docker.io/v1/\""))
            let wasThere = try await file.erase("docker.io")
            #expect(wasThere)
            let isStillThere = try await file.erase("docker.io")
            #expect(!isStillThere)
            let after = try await DockerConfigFile(path: path).credentials(for: "docker.io")
            #expect(after == nil)
        }
    }

    @Test func whatIsNotKnownIsKeptAndLinksStayLinks() async throws {
        try await withTemporaryDirectory { directory in
            let json = #"{"HttpHeaders":{"X":"y"},"auths":{"b.example":{"auth":"x","email":"e"}},"big":12345678901}"#
            try json.write(toFile: "\(directory)/real.json", atomically: true, encoding: .utf8)
            try FileManager.default.createSymbolicLink(
                atPath: "\(directory)/config.json",
                withDestinationPath: "real.json"
            )
            var file = try DockerConfigFile(path: "\(directory)/config.json")
            try await file.store(Self.me, for: "a.example")
            let again = try DockerConfigFile(path: "\(directory)/real.json")
            #expect(again.json["HttpHeaders"]?["X"]?.stringValue == "y")
            #expect(again.json["big"]?.integerValue == 12_345_678_901)
            #expect(again.json["auths"]?["b.example"]?["email"]?.stringValue == "e")
            #expect(again.json["auths"]?["a.example"]?["auth"]?.stringValue == Self.auth)
            let left = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
            #expect(left == ["config.json", "real.json"])
        }
    }

    @Test func theHostsOwnHelperCountsBeforeTheCommonOne() async throws {
        try await config(#"{"credsStore":"common","credHelpers":{"a.example":"own","off.example":""}}"#) { file in
            #expect(file.helper(for: "a.example") == "own")
            #expect(file.helper(for: "docker.io") == "common")
            #expect(file.helper(for: "off.example") == nil)
        }
    }

    @Test func aHelperThatIsMissingIsNamed() async throws {
        try await config(#"{"credsStore":"no-such-helper"}"#) { file in
            let error = try await #require(throws: RegistryError.self) {
                _ = try await file.credentials(for: "a.example")
            }
            #expect(error.code == .credentialStore)
            #expect(error.message.contains("docker-credential-no-such-helper"))
        }
    }
}
