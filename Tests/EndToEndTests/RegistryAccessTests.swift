// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// Credentials, certificates and the configuration of registries.
@Suite(
    .enabled(
        if: TestInstallation.isComplete && RegistryServer.isInstalled && TestInstallation.hasProgram("openssl")
            && TestInstallation.hasProgram("htpasswd")
    )
)
struct RegistryAccessTests {
    private static func login(_ store: GalleyStore, _ host: String, _ password: String) async throws -> ProgramResult {
        try await store.galley(
            ["login", "-u", RegistryServer.user, "--password-stdin", host],
            input: password + "\n"
        )
    }

    @Test func loginPushAndPullWithAnAuthorityOfItsOwn() async throws {
        let registry = try await RegistryServer(secure: true)
        let store = try await GalleyStore.pinned()
        let name = "\(registry.host)/private/app"
        try await store.galley("tag", "alpine", name).get()

        let untrusted = try await store.galley("push", name)
        #expect(untrusted.status == 1)
        #expect(try untrusted.message().lowercased().contains("certificate"), "\(untrusted)")

        try store.configure("[registry.\"\(registry.host)\"]\nca = [\"\(registry.authority)\"]\n")
        let anonymous = try await store.galley("push", name)
        #expect(anonymous.status == 1)
        #expect(try anonymous.message().contains(registry.host), "\(anonymous)")
        #expect(anonymous.errors.contains("galley login"), "\(anonymous)")

        let wrong = try await Self.login(store, registry.host, "wrong-and-secret")
        #expect(wrong.status == 1)
        #expect(try wrong.message().contains(registry.host), "\(wrong)")
        #expect(!wrong.description.contains("wrong-and-secret"))

        let right = try await Self.login(store, registry.host, RegistryServer.password).get()
        #expect(right.output.contains("Login Succeeded"))
        #expect(!right.description.contains(RegistryServer.password))
        try await store.galley("push", name).get()

        let context = try BuildContext("FROM \(name)\nRUN echo in > /state\n")
        try await store.galley("rmi", name).get()
        try await store.build(context, tag: "from-private", ["--pull"])
        #expect(try await store.run("from-private", ["cat", "/state"]) == "in\n")

        #expect(try await store.galley("logout", registry.host).get().output.contains("Removing"))
        #expect(try await store.galley("pull", name).status == 1)
        try await store.requireUnharmed()
    }

    @Test func credentialsThatDoNotHold() async throws {
        let registry = try await RegistryServer(secure: true)
        let store = try await GalleyStore.pinned()
        try store.configure("[registry.\"\(registry.host)\"]\nca = [\"\(registry.authority)\"]\n")
        try makeDirectories(store.directory.file("docker"))
        // The Base64 of me:not-the-password.
        let file = #"{"auths":{"\#(registry.host)":{"auth":"bWU6bm90LXRoZS1wYXNzd29yZA=="}}}"#
        try replaceFile(store.directory.file("docker/config.json"), Array(file.utf8))
        for (command, isBuild) in [(["pull", "\(registry.host)/app"], false), (["build"], true)] {
            let context = try BuildContext("FROM \(registry.host)/app\n")
            let result = try await isBuild ? store.tryBuild(context) : store.galley(command)
            #expect(result.status == 1)
            #expect(try result.message().contains(registry.host), "\(result)")
            #expect(!result.description.contains("not-the-password"))
            #expect(!result.description.contains("bWU6bm90LXRoZS1wYXNzd29yZA"))
        }
        try await store.requireUnharmed()
    }

    @Test func insecureTrustsAnyCertificate() async throws {
        let registry = try await RegistryServer(secure: true)
        let store = try await GalleyStore.pinned()
        try store.configure("[registry.\"\(registry.host)\"]\ninsecure = true\n")
        try await Self.login(store, registry.host, RegistryServer.password).get()
        try await store.galley("tag", "alpine", "\(registry.host)/app").get()
        try await store.galley("push", "\(registry.host)/app").get()
    }

    @Test func plainHTTPWhereConfigured() async throws {
        let registry = try await RegistryServer()
        let store = try await GalleyStore.pinned()
        let file = store.directory.file("other.toml")
        // As buildkitd reads it: tables of other parts are passed over.
        let toml = "debug = true\n[worker.oci]\nenabled = true\n[registry.\"\(registry.host)\"]\nhttp = true\n"
        try replaceFile(file, Array(toml.utf8))
        try await store.galley("tag", "alpine", "\(registry.host)/app").get()
        try await store.galley("--config", file.description, "push", "\(registry.host)/app").get()
    }

    @Test func aMirrorThatIsGoneIsPassedOver() async throws {
        let registry = try await RegistryServer()
        let first = try await GalleyStore.pinned()
        try await first.galley("tag", "alpine", "\(registry.host)/library/alpine").get()
        try await first.galley("push", "\(registry.host)/library/alpine").get()
        let store = try GalleyStore()
        let dead = "127.0.0.1:\(try freePort())"
        try store.configure("[registry.\"docker.io\"]\nmirrors = [\"\(dead)\", \"\(registry.host)\"]\n")
        try await store.galley("pull", "alpine").get()
        #expect(try await store.run("alpine", ["echo", "here"]) == "here\n")
    }

    @Test(arguments: [
        ("[registry.\"a\"]\nhtpp = true\n", "htpp"), ("[registry.\"a\"]\nhttp = 3\n", "http"),
        ("[registry", "other.toml"),
        ("[registry.\"127.0.0.1\"]\nca = [\"/nowhere.pem\"]\n", "/nowhere.pem"),
    ])
    func aBrokenConfigurationIsAnError(_ toml: String, _ part: String) async throws {
        let store = try GalleyStore()
        let file = store.directory.file("other.toml")
        try replaceFile(file, Array(toml.utf8))
        let result = try await store.galley("--config", file.description, "pull", "127.0.0.1/app")
        #expect(result.status == 1)
        #expect(try result.message().contains(part), "\(result)")
        let missing = try await store.galley("--config", "/nowhere/galley.toml", "images")
        #expect(missing.status == 1)
        #expect(try missing.message().contains("/nowhere/galley.toml"))
    }
}
