// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Content
import GalleyTesting
import LinuxSystem
import OCI
import Testing

@testable import BuildOps

@Suite struct SecretFilesTests {
    @Test func descriptionsShowNothing() throws {
        let value = try SecretValue(Array("hunter2".utf8), of: "x")
        for text in ["\(value)", String(reflecting: value), "\([value])", "\(Optional(value) as Any)"] {
            #expect(!text.contains("hunter2") && !text.contains("104"), "\(text)")
        }
        var dumped = ""
        dump(SecretSource(id: "x", origin: .value(value)), to: &dumped)
        #expect(!dumped.contains("hunter2") && !dumped.contains("104"))
    }

    @Test func filesAreReadOnceWhenTheyAreWanted() async throws {
        let directory = try ScratchDirectory()
        let path = directory.file("secret")
        try replaceFile(path, "first".utf8)
        let files = try SecretFiles([SecretSource(id: "x", origin: .file(path))])
        try replaceFile(path, "second".utf8)
        #expect(try await files.secret("x")?.exposed == Array("second".utf8))
        try removeFile(path)
        #expect(try await files.secret("x")?.exposed == Array("second".utf8))
        #expect(try await files.secret("y") == nil)
    }

    /// Process substitution gives pipes, and a fifo's writer may come late.
    @Test func pipes() async throws {
        let directory = try ScratchDirectory()
        try directory.shell("mkfifo fifo")
        let filled = try filledPipe("piped".utf8)
        let files = try SecretFiles([
            SecretSource(id: "pipe", origin: .file(RawPath("/dev/fd/\(filled.raw)"))),
            SecretSource(id: "fifo", origin: .file(directory.file("fifo"))),
        ])
        #expect(try await files.secret("pipe")?.exposed == Array("piped".utf8))
        async let late = files.secret("fifo")
        try await blocking {
            // Waits for the reader.
            let end = try open(directory.file("fifo"), [.writeOnly])
            try writeBytes(end.raw, "late".utf8)
        }
        #expect(try await late?.exposed == Array("late".utf8))
    }

    @Test("a fifo that nobody writes to can be waited for no longer", .endsHangs)
    func abandonedFifo() async throws {
        let directory = try ScratchDirectory()
        try directory.shell("mkfifo fifo")
        let files = try SecretFiles([SecretSource(id: "x", origin: .file(directory.file("fifo")))])
        let task = Task { try await files.secret("x") }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test func unusableFiles() throws {
        let directory = try ScratchDirectory()
        try replaceFile(directory.file("big"), [UInt8](repeating: 0, count: (500 << 10) + 1))
        try replaceFile(directory.file("fits"), [UInt8](repeating: 0, count: 500 << 10))
        _ = try SecretFiles([SecretSource(id: "x", origin: .file(directory.file("fits")))])
        for (name, message) in [
            ("big", "secret x too big. max size 500KiB"),
            ("none", "secret x: failed to read \(directory.file("none")): No such file or directory"),
            (".", "secret x: failed to read \(directory.file(".")): Is a directory"),
        ] {
            let error = #expect(throws: BuildOpsError.self) {
                try SecretFiles([SecretSource(id: "x", origin: .file(directory.file(name)))])
            }
            #expect(error?.message == message)
        }
        #expect(throws: BuildOpsError.self) { try SecretValue([UInt8](repeating: 0, count: 600 << 10), of: "x") }
    }
}

/// Secrets of commands.
@Suite(.enabled(if: ExecKitchen.isPossible)) struct SecretMountTests {
    private static let secret = "s3cr3t-\(UInt64.random(in: 0 ... .max))"

    private func kitchen(_ secret: String = secret) throws -> ExecKitchen {
        let kitchen = try ExecKitchen()
        let value = try SecretValue(Array(secret.utf8), of: "x")
        kitchen.provide(secrets: try SecretFiles([SecretSource(id: "x", origin: .value(value))]))
        return kitchen
    }

    @Test("a secret is a file with the mode and owner that were asked for, in memory, and gone afterwards")
    func file() async throws {
        let kitchen = try kitchen()
        let mounts: [ExecMount] = [
            .secret(SecretMount(id: "x"), at: "/run/secrets/x"),
            .secret(SecretMount(id: "x", permissions: 0o440, uid: 1000, gid: 1001), at: "/home/cook/token"),
        ]
        let (layers, output) = try await kitchen.run(
            "stat -c %a:%u:%g /run/secrets/x /home/cook/token; wc -c < /home/cook/token; df -T /run/secrets/x 2>/dev/null "
                + "| grep -c tmpfs; echo x 2>/dev/null > /run/secrets/x || true; mkdir -p /root; touch /root/made",
            mounts
        )
        #expect(output == "400:0:0\n440:1000:1001\n\(Self.secret.utf8.count)\n1\n")
        #expect(try kitchen.added(layers) == ["root", "root/made"])
    }

    @Test("a secret is a variable, a file, or both")
    func variable() async throws {
        let kitchen = try kitchen()
        let both = SecretMount(id: "x", environmentName: "TOKEN")
        let script = "test \"$TOKEN\" = \"\(Self.secret)\" && echo equal; if [ -e /t ]; then cat /t | wc -c; fi"
        #expect(try await kitchen.run(script, [.secret(both, at: nil)]).output == "equal\n")
        #expect(try await kitchen.run(script, [.secret(both, at: "/t")]).output == "equal\n\(Self.secret.utf8.count)\n")
        // It hides a variable of the image.
        let (_, output) = try await kitchen.run(script, [.secret(both, at: nil)]) {
            $0.environment.append("TOKEN=image")
        }
        #expect(output == "equal\n")
    }

    @Test("a secret that nobody gave is left out, or named in the error when it is required")
    func missing() async throws {
        let kitchen = try kitchen()
        let optional = SecretMount(id: "other", environmentName: "TOKEN")
        let (layers, output) = try await kitchen.run(
            "test ! -e /run/secrets/other; echo ${TOKEN-unset}",
            [.secret(optional, at: "/run/secrets/other")]
        )
        #expect(output == "unset\n")
        #expect(try kitchen.added(layers) == [])
        let error = await #expect(throws: BuildOpsError.self) {
            try await kitchen.run("true", [.secret(SecretMount(id: "other", isRequired: true), at: "/x")])
        }
        #expect(error?.message == "secret other: not found")
        #expect(error?.nextStep?.contains("--secret id=other,src=FILE") == true)
    }

    @Test("what is no text cannot be a variable, and the error does not show it", arguments: ["a\u{0}bcd-hidden"])
    func binary(text: String) async throws {
        let kitchen = try kitchen(text)
        let error = await #expect(throws: BuildOpsError.self) {
            try await kitchen.run("true", [.secret(SecretMount(id: "x", environmentName: "X"), at: nil)])
        }
        #expect(error?.message == "secret x: a variable cannot hold it: it is not text")
    }

    @Test("no byte of a secret is anywhere in the store, while the command runs and after it")
    func nowhere() async throws {
        let kitchen = try kitchen()
        let mounts: [ExecMount] = [
            .secret(SecretMount(id: "x", environmentName: "TOKEN"), at: "/run/secrets/x"), .cache("/c"),
        ]
        // The store as the command sees it through a mount of its own.
        let root = kitchen.kitchen.root.path
        let step = try kitchen.step("touch /c/started; while [ ! -e /c/go ]; do sleep 0.05; done; false", mounts)
        let running = Task { try await step.run([kitchen.base]) }
        let script = """
            until c=$(ls -d '\(root)'/cache-mounts/*/fs/started 2>/dev/null); do sleep 0.05; done
            grep -rla '\(Self.secret)' '\(root)' || true
            touch "${c%started}go"
            """
        #expect(try await runScript(script) == "")
        let error = await #expect(throws: BuildOpsError.self) { try await running.value }
        #expect(error.map { "\($0) \($0.nextStep ?? "")".contains(Self.secret) } == false)
        #expect(try await runScript("grep -rla '\(Self.secret)' '\(root)' || true") == "")
    }
}
