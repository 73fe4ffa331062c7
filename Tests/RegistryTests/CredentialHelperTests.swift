// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Foundation
import Subprocess
import Testing

@testable import Registry

@Suite struct CredentialHelperTests {
    /// Runs `body` with a helper named `test` whose script is `script`; it sees its directory as `$STATE`.
    private func helper(_ script: String, _ body: (CredentialHelper, String) async throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            let path = "\(directory)/docker-credential-test"
            try "#!/bin/sh\n\(script)\n".write(toFile: path, atomically: true, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
            let environment = Environment.inherit.updating(["PATH": "\(directory):/usr/bin:/bin", "STATE": directory])
            try await body(CredentialHelper("test", environment: environment), directory)
        }
    }

    @Test func getStoreAndErase() async throws {
        let script = """
            case "$1" in
            store) cat > "$STATE/kept" ;;
            get) read -r server; [ -f "$STATE/kept" ] && cat "$STATE/kept" && exit 0
                echo "credentials not found in native keychain"; exit 1 ;;
            erase) rm "$STATE/kept" ;;
            esac
            """
        try await helper(script) { helper, _ in
            let none = try await helper.get("a.example")
            #expect(none == nil)
            for credentials in [
                RegistryCredentials.basic(username: "me", password: RedactedString(#"p"\ä"#)),
                .identityToken(RedactedString("token")),
            ] {
                try await helper.store(credentials, "a.example")
                let found = try await helper.get("a.example")
                #expect(found == credentials)
            }
            try await helper.erase("a.example")
            let gone = try await helper.get("a.example")
            #expect(gone == nil)
        }
    }

    @Test(arguments: ["echo 'the keychain is locked'; exit 1", "echo 'the keychain is locked' >&2; exit 3"])
    func failuresAreTold(script: String) async throws {
        try await helper(script) { helper, _ in
            let error = try await #require(throws: RegistryError.self) { _ = try await helper.get("a.example") }
            #expect(error.code == .credentialStore)
            #expect(error.message.contains("the keychain is locked"))
        }
    }

    @Test(arguments: ["echo nonsense", "echo '{}'", "yes | head -c 3000000", "kill -9 $$"])
    func nonsenseIsAnError(script: String) async throws {
        try await helper(script) { helper, _ in
            let error = try await #require(throws: RegistryError.self) { _ = try await helper.get("a.example") }
            #expect(error.code == .credentialStore)
        }
    }

    @Test func aNameIsNoPath() async throws {
        let error = try await #require(throws: RegistryError.self) {
            _ = try await CredentialHelper("../../tmp/evil").get("a.example")
        }
        #expect(error.message.contains("not a credential helper"))
    }
}
