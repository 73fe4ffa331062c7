// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Testing

/// RUN --mount, and what a build lets its steps have.
@Suite(.endToEnd) struct MountTests {
    private static let shared = SharedStore()

    private func output(
        _ dockerfile: String,
        _ files: [String: String] = [:],
        _ options: [String] = [],
        environment: [String: String] = [:]
    ) async throws -> String {
        let store = try await Self.shared.get()
        let context = try BuildContext(dockerfile, files)
        let words = ["build", "--progress", "rawjson", "--no-cache"] + options + [context.path]
        let result = try await store.galley(words, environment: environment, directory: context.directory.path).get()
        return try ProgressRecord(parsing: result.errorBytes).log
    }

    /// What a build that fails says.
    private func failure(_ dockerfile: String, _ options: [String] = []) async throws -> String {
        let store = try await Self.shared.get()
        let result = try await store.tryBuild(try BuildContext(dockerfile), options)
        #expect(!result.succeeded)
        return result.errors
    }

    @Test("the context, without what .dockerignore excludes")
    func context() async throws {
        let text = try await output(
            """
            FROM alpine:latest
            WORKDIR /src
            RUN --mount=target=. --mount=type=tmpfs,target=/src/out find . | sort; touch out/x; touch y 2>&1 || echo refused
            """,
            ["a": "a", "d/b": "b", "d/.env": "secret", ".dockerignore": "**/.env\n.dockerignore\nDockerfile"]
        )
        #expect(text == ".\n./a\n./d\n./d/b\n./out\ntouch: y: Read-only file system\nrefused\n")
    }

    @Test("another stage, another image, and files through variables")
    func stages() async throws {
        let text = try await output(
            """
            FROM alpine:latest AS made
            RUN mkdir /d && echo made > /d/f
            FROM alpine:latest
            ARG DIR=/d
            RUN --mount=from=made,source=$DIR,target=/m,rw cat /m/f; echo lost > /m/f
            RUN --mount=from=made,source=/d/f,target=/one --mount=from=alpine:latest,target=/image \
                cat /one; test -x /image/bin/sh && echo image
            RUN ls -d /m /one /image 2>/dev/null || echo gone
            """
        )
        #expect(text == "made\nmade\nimage\ngone\n")
    }

    @Test("a mounted directory's own mode and owner count too")
    func ownMetadata() async throws {
        let store = try await Self.shared.get()
        for (mode, owner) in [("755", "0"), ("700", "0"), ("700", "9")] {
            let context = try BuildContext(
                """
                FROM alpine:latest AS made
                RUN mkdir /d && echo f > /d/f && chmod \(mode) /d && chown \(owner) /d
                FROM alpine:latest
                RUN --mount=from=made,source=/d,target=/m stat -c '%a %u' /m
                """
            )
            #expect(try await store.record(context).progress.log == "\(mode) \(owner)\n")
        }
    }

    @Test("only what a mount shows decides whether its command runs again")
    func caching() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            FROM alpine:latest
            RUN --mount=source=in,target=/in cat /in > /out
            RUN --mount=type=cache,target=/c date +%N > /c/now && date +%N > /time
            """,
            ["in": "one", "other": "x"]
        )
        let first = try await store.build(context)
        try context.write("other", "changed")
        #expect(try await store.build(context) == first)
        try context.write("in", "two")
        let record = try await store.record(context).progress
        #expect(try !record.step("cat /in").isCached)
    }

    @Test("what a cache starts with decides whether its command runs again; what else its source holds does not")
    func seeds() async throws {
        let store = try await Self.shared.get()
        for (seed, other, seen) in [("one", "x", "one\n"), ("one", "y", ""), ("two", "y", "two\n")] {
            let context = try BuildContext(
                """
                FROM alpine:latest AS made
                RUN mkdir /d && echo \(seed) > /d/f && echo \(other) > /other
                FROM alpine:latest
                RUN --mount=type=cache,id=seeded,from=made,source=/d,target=/c cat /c/f
                """
            )
            #expect(try await store.record(context).progress.log == seen, "\(seed) \(other)")
        }
    }

    @Test("a cache outlives builds and no-cache, and prune removes it")
    func cache() async throws {
        let store = try GalleyStore()
        try await store.importBases(["alpine"])
        let context = try BuildContext(
            "FROM alpine:latest\nRUN --mount=type=cache,target=/c,id=mine echo x >> /c/n; wc -l < /c/n"
        )
        for count in 1...3 { #expect(try await store.record(context, ["--no-cache"]).progress.log == "\(count)\n") }
        #expect(!(try await store.galley("prune", "-f").get().output.contains("mine")))
        #expect(try await store.galley("prune", "-fa").get().output.contains("Deleted cache mount: /mine\n"))
        try await store.importBases(["alpine"])
        #expect(try await store.record(context, ["--no-cache"]).progress.log == "1\n")
    }

    @Test("a killed build leaves its cache for the next one")
    func killed() async throws {
        let store = try GalleyStore()
        try await store.importBases(["alpine"])
        let context = try BuildContext(
            "FROM alpine:latest\nRUN --mount=type=cache,target=/c,sharing=locked cat /c/n; echo x > /c/n; sleep 1000"
        )
        let program = try store.start(["build", "--progress", "plain", context.path])
        try await eventually("the step has written to its cache") {
            guard program.isRunning else { throw ProgramFailure(description: try program.errorsSoFar()) }
            return try store.cacheMount(with: "n") != nil
        }
        program.send(SIGKILL)
        _ = try await program.finish()
        let next = try BuildContext("FROM alpine:latest\nRUN --mount=type=cache,target=/c,sharing=locked cat /c/n")
        #expect(try await store.record(next).progress.log == "x\n")
    }

    @Test("a secret of a file or a variable is a file and a variable of the step that wants it, and nowhere else")
    func secrets() async throws {
        let store = try GalleyStore()
        try await store.importBases(["alpine"])
        let secret = "s3cr3t-\(UInt64.random(in: 0 ... .max))"
        let context = try BuildContext(
            """
            FROM alpine:latest
            RUN --mount=type=secret,id=token,env=TOKEN --mount=type=secret,id=file,mode=0440 \\
                --mount=type=secret,id=none --mount=type=secret,id=file,target=/x/y,uid=7 \\
                test "$TOKEN" = "$(cat /run/secrets/file)" && stat -c %a:%u /run/secrets/file /x/y; ls /run/secrets > /seen
            RUN ls -d /run/secrets /x 2>/dev/null || env | grep TOKEN || echo gone
            """
        )
        let work = try ScratchDirectory()
        try replaceFile(work.file("secret"), secret.utf8)
        let metadata = work.file("metadata.json")
        let result = try await store.galley(
            [
                "build", "--progress", "plain", "-t", "made", "--metadata-file", metadata.description,
                "--secret", "id=token,env=BUILD_TOKEN", "--secret", "id=file,src=\(work.file("secret"))", context.path,
            ],
            environment: ["BUILD_TOKEN": secret]
        ).get()
        #expect(result.errors.contains("440:0") && result.errors.contains("400:7") && result.errors.contains("gone"))
        #expect(try await store.run("made", ["cat", "/seen"]) == "file\n")
        let texts = [
            result.output, result.errors, String(decoding: try readFile(metadata), as: UTF8.self),
            "\(try await store.inspect("made"))", try await store.galley("history", "--no-trunc", "made").get().output,
        ]
        for text in texts { #expect(!text.contains(secret)) }
        #expect(try await runScript("grep -rla '\(secret)' '\(store.root)' || true") == "")
        // Another secret is no other step.
        let again = try await store.record(
            context,
            ["--secret", "id=token,src=\(work.file("secret"))", "--secret", "id=file,src=\(work.file("secret"))"]
        )
        #expect(try again.progress.step("ls /run/secrets").isCached)
    }

    @Test("a required secret or agent that is not there is named, with the option that gives it")
    func missing() async throws {
        let secret = try await failure("FROM alpine:latest\nRUN --mount=type=secret,id=npm,required true")
        #expect(secret.contains("secret npm: not found"))
        #expect(secret.contains("--secret id=npm,src=FILE"))
        #expect(secret.contains("Dockerfile:2"))
        let agent = try await failure("FROM alpine:latest\nRUN --mount=type=ssh,required true")
        #expect(agent.contains("unset ssh forward key default"))
        let file = try await failure("FROM alpine:latest", ["--secret", "id=x,src=/none"])
        #expect(file.contains("/none: No such file or directory"))
        let socket = try await failure("FROM alpine:latest", ["--ssh", "default"])
        #expect(socket.contains("make sure SSH_AUTH_SOCK is set"))
        #expect(try await failure("FROM alpine:latest", ["--allow", "all"]).contains("invalid entitlement: all"))
    }

    @Test("a step reaches the keys of an agent, by a socket of its user", .needs(program: "ssh-agent"))
    func agent() async throws {
        let work = try ScratchDirectory()
        try await runScript("ssh-keygen -q -t ed25519 -N '' -C galley -f key", directory: work.path)
        let text = try await output(
            """
            FROM alpine:latest
            RUN --mount=type=ssh,uid=1000 echo $SSH_AUTH_SOCK; stat -c '%a %u %F' $SSH_AUTH_SOCK
            RUN ls /run/buildkit 2>/dev/null || echo gone ${SSH_AUTH_SOCK-unset}
            """,
            [:],
            ["--ssh", "default=\(work.file("key"))"]
        )
        #expect(text == "/run/buildkit/ssh_agent.0\n600 1000 socket\ngone unset\n")
    }

    @Test("an insecure step needs leave, and may then do what root may")
    func insecure() async throws {
        let dockerfile =
            "FROM alpine:latest\nRUN --security=insecure mount -t tmpfs none /mnt && grep -c ' /mnt ' /proc/mounts"
        #expect(try await failure(dockerfile).contains("security.insecure"))
        #expect(try await output(dockerfile, [:], ["--allow", "security.insecure"]) == "1\n")
        let network = "FROM alpine:latest\nRUN --network=host ls /sys/class/net | grep -c ."
        #expect(try await failure(network).contains("network.host"))
        #expect(try await output(network, [:], ["--allow", "network.host,security.insecure"]) != "")
    }

    @Test("a script in another language is a mount, run by its interpreter")
    func scripts() async throws {
        let text = try await output(
            """
            FROM alpine:latest
            RUN <<EOF
            #!/bin/cat
            printed, not run
            EOF
            RUN echo 'cook:x:1000:1000::/:/bin/sh' >> /etc/passwd
            USER cook
            RUN <<EOF
            #!/bin/sh
            echo "as $(id -u)"
            EOF
            RUN ls /dev/pipes 2>/dev/null || echo gone
            """
        )
        #expect(text == "#!/bin/cat\nprinted, not run\nas 1000\ngone\n")
    }

    @Test("places of mounts are in no layer")
    func places() async throws {
        let store = try await Self.shared.get()
        let work = try ScratchDirectory()
        let context = try BuildContext(
            """
            FROM alpine:latest AS base
            RUN mkdir /r && ln -s /r /link
            FROM base
            RUN --mount=type=cache,target=/new/deep --mount=type=cache,target=/link/in,id=b --mount=type=secret,id=s \\
                --mount=type=tmpfs,target=/var/t touch /new/deep/x /link/in/x /var/t/x && touch /kept
            """
        )
        try replaceFile(work.file("s"), "s".utf8)
        let archive = work.file("tree.tar").description
        try await store.build(
            context,
            ["--secret", "id=s,src=\(work.file("s"))", "-o", "type=tar,dest=\(archive)"]
        )
        let names = try await runScript(
            #"tar -tf "$1" | grep -E '^(new|r/|link/|run/secrets|var/t/|kept)' || true"#,
            [archive]
        )
        #expect(names == "kept\nr/\n")
    }
}
