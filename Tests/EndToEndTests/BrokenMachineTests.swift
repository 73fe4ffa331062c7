// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import Testing

/// Machines on which a build cannot work: made in a mount namespace of the test's own.
@Suite(.endToEnd, .needs(program: "unshare")) struct BrokenMachineTests {
    /// Runs a script as root of a new mount namespace; `$galley` is the program with its root directory.
    private func run(_ script: String, _ store: GalleyStore, _ context: BuildContext) async throws -> ProgramResult {
        var environment = store.environment
        environment["root"] = store.root.description
        environment["context"] = context.path
        environment["galley"] = TestInstallation.binary
        return try await runProgram(
            "/usr/bin/env",
            ["unshare", "--mount", "--propagation", "private", "/bin/bash", "-euo", "pipefail", "-c", script],
            environment: environment
        )
    }

    private func store() async throws -> GalleyStore {
        let store = try GalleyStore()
        try await store.importBases(["alpine"])
        return store
    }

    @Test(
        "a full disk in RUN: the command's own words and one message; the finished steps stay and the next build succeeds"
    )
    func fullDiskInRun() async throws {
        let store = try await store()
        let context = try BuildContext("FROM alpine:latest\nRUN echo kept > /kept\nRUN cp /dev/zero /big")
        let result = try await run(
            """
            mkdir "$root-small"; mount -t tmpfs -o size=24m none "$root-small"; cp -a "$root/." "$root-small"
            code=0; "$galley" --root "$root-small" build --progress plain "$context" || code=$?
            printf 'FROM alpine:latest\\nRUN echo small > /small\\n' > "$context/Dockerfile"
            "$galley" --root "$root-small" build --progress plain "$context" >&2
            exit $code
            """,
            store,
            context
        )
        #expect(result.status == 1, "\(result)")
        #expect(result.errorLines.count == 1)
        #expect(result.errorLines.first?.contains("exit code: 1") == true)
        #expect(result.errors.contains("Dockerfile:3"))
    }

    @Test("a full disk in COPY and ADD", arguments: ["COPY big /big", "ADD big.tar /"])
    func fullDiskInFiles(instruction: String) async throws {
        let store = try await store()
        let context = try BuildContext("FROM alpine:latest\n" + instruction)
        try await runScript(
            "head -c 40000000 /dev/urandom > big; tar -cf big.tar big",
            directory: context.directory.path
        )
        let result = try await run(
            """
            mkdir "$root-small"; mount -t tmpfs -o size=24m none "$root-small"; cp -a "$root/." "$root-small"
            code=0; "$galley" --root "$root-small" build --progress plain "$context" || code=$?
            printf 'FROM alpine:latest\\nRUN echo small > /small\\n' > "$context/Dockerfile"
            "$galley" --root "$root-small" build --progress plain "$context" >&2
            exit $code
            """,
            store,
            context
        )
        #expect(result.status == 1, "\(result)")
        #expect(result.errorLines.count == 1)
        #expect(result.errors.lowercased().contains("no space left"))
        #expect(result.errors.contains("hint: free space"))
    }

    @Test("a full disk where an output goes")
    func fullDiskOfOutput() async throws {
        let store = try await store()
        let context = try BuildContext("FROM alpine:latest\nRUN head -c 9000000 /dev/urandom > /big")
        let result = try await run(
            """
            mkdir "$root-out"; mount -t tmpfs -o size=4m none "$root-out"
            code=0
            "$galley" --root "$root" build --progress plain -o "type=oci,dest=$root-out/image.tar" "$context" || code=$?
            [ -z "$(ls -A "$root-out")" ] || echo "left: $(ls -A "$root-out")" >&2
            exit $code
            """,
            store,
            context
        )
        #expect(result.status == 1, "\(result)")
        #expect(result.errorLines.first?.contains("the disk is full") == true, "\(result)")
        #expect(!result.errors.contains("left: "), "no half of an archive stays: \(result)")
        try await expectHealthy(store)
    }

    @Test("a read-only root directory: one message with a way out")
    func readOnly() async throws {
        let store = try await store()
        let context = try BuildContext("FROM alpine:latest\nRUN echo x > /x")
        let result = try await run(
            #"mount --bind "$root" "$root"; mount -o remount,ro,bind "$root"; "$galley" --root "$root" build --progress plain "$context""#,
            store,
            context
        )
        #expect(result.status == 1, "\(result)")
        #expect(result.errorLines.count == 1)
        #expect(result.errors.lowercased().contains("read-only"))
        #expect(result.errors.contains("hint: "))
        try await expectHealthy(store)
    }

    @Test("a read-only directory in which no root exists yet")
    func readOnlyParent() async throws {
        let store = try GalleyStore()
        let context = try BuildContext("FROM scratch\nCOPY f /f", ["f": "f"])
        let result = try await run(
            #"mkdir "$root"; mount -t tmpfs -o ro none "$root"; "$galley" --root "$root/deeper" build --progress plain "$context""#,
            store,
            context
        )
        #expect(result.status == 1, "\(result)")
        #expect(result.errorLines.count == 1)
        #expect(result.errors.lowercased().contains("read-only"))
    }

    @Test("no crun and no runc: RUN says what to install; a build without RUN needs none")
    func noRuntime() async throws {
        let store = try await store()
        let context = try BuildContext("FROM alpine:latest\nRUN echo x > /x")
        // An empty file in place of each program: no directory on the search path is hidden from anyone else.
        let hide = """
            touch "$root-nothing"
            for file in $(type -ap crun runc | sort -u) /usr/bin/crun /usr/sbin/runc /usr/bin/runc /usr/sbin/crun; do
                [ ! -e "$file" ] || mount --bind "$root-nothing" "$(readlink -f "$file")"
            done

            """
        let result = try await run(
            hide + #""$galley" --root "$root" build --progress plain "$context""#,
            store,
            context
        )
        #expect(result.status == 1, "\(result)")
        #expect(result.errorLines.count == 1)
        #expect(result.errors.contains("neither crun nor runc is installed"))
        #expect(result.errors.contains("apt-get install crun"))
        #expect(result.errors.contains("Dockerfile:2"))
        try context.write("Dockerfile", "FROM alpine:latest\nCOPY Dockerfile /x\nWORKDIR /w")
        let without = try await run(
            hide + #""$galley" --root "$root" build --progress plain "$context""#,
            store,
            context
        )
        #expect(without.status == 0, "\(without)")
        try await expectHealthy(store)
    }

    @Test("runc alone serves too", .needs(program: "runc"))
    func runcOnly() async throws {
        let store = try await store()
        let context = try BuildContext("FROM alpine:latest\nRUN echo by-runc; exit 5")
        let result = try await run(
            """
            touch "$root-nothing"
            for file in $(type -ap crun | sort -u); do mount --bind "$root-nothing" "$(readlink -f "$file")"; done
            "$galley" --root "$root" build --progress plain "$context"
            """,
            store,
            context
        )
        #expect(result.errors.contains("by-runc"), "\(result)")
        #expect(result.errors.contains("exit code: 5"))
    }
}
