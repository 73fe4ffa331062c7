// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// What must be seen as a change, however it is hidden; and what must not.
@Suite(.endToEnd) struct FalseHitTests {
    private static let shared = SharedStore()

    /// `base.txt` is what all cases start from: same size, same mtime, different bytes.
    private static let prepare = """
        printf 'aaaa' > f; printf 'bbbb' > other; printf 'cccc' > third; mkdir d; printf x > d/x; ln -s f link
        printf 'ignored' > ignored; printf 'd/*.tmp\\nignored\\n' > .dockerignore; printf t > d/a.tmp
        touch -d @1000000000 f other third d/x d ignored; touch -h -d @1000000000 link
        """

    private func context(_ dockerfile: String) async throws -> BuildContext {
        let context = try BuildContext(dockerfile)
        try await runScript("cd \"$1\"; \(Self.prepare)", [context.path])
        return context
    }

    private static let copyAll = "FROM scratch\nCOPY . /all/\n"

    /// What a build without any cache makes of the context: files with what matters of them.
    private func facts(_ store: GalleyStore, _ context: BuildContext, _ options: [String]) async throws -> String {
        let out = try ScratchDirectory()
        try await store.galley(["build", "-q"] + options + ["-o", out.file("tree").description, context.path]).get()
        let script = #"""
            cd "$1"; find . ! -type d -exec stat -c '%n %F %a %u %g %h' {} + | sort; find . -type d -exec stat -c '%n %a %u %g' {} + | sort; find . -type l -exec readlink {} +
            find . -type f | sort | xargs sha256sum
            """#
        return try await runScript(script, [out.file("tree").description])
    }

    @Test(
        "a change is seen, however it is hidden",
        arguments: [
            "printf 'AAAA' > f; touch -d @1000000000 f",
            "touch -r f stamp; printf 'AAAA' > f; touch -r stamp f; rm stamp",
            "cp -p f g; printf 'AAAA' > g; touch -r f g; mv g f",
            "ln -f other f",
            "mv f tmp; mv other f; mv tmp other",
            "mv d/x tmp; mv f d/x; mv tmp f",
            "chmod 600 f", "chmod 4755 f", "chmod 700 d",
            "ln -sfn other link; touch -h -d @1000000000 link",
            "rm link; cp -p f link",
            "rm f; mkdir f", "rm -r d; printf x > d; touch -d @1000000000 d",
            "mv f F", "rm third", "printf 'dddd' > new; touch -d @1000000000 new", "mkdir empty",
            "printf 'ignored\\n' > .dockerignore", "printf 'third\\n' >> .dockerignore",
            "mv d D", "setfattr -n user.note -v 1 f; touch -d @1000000000 f",
        ]
    )
    func changes(change: String) async throws {
        let store = try await Self.shared.get()
        let context = try await context(Self.copyAll)
        let first = try await store.build(context)
        #expect(try await store.build(context) == first)
        try await runScript("cd \"$1\"; \(change)", [context.path])
        let changed = try await store.record(context)
        #expect(changed.id != first, "nothing was seen of: \(change)")
        #expect(try await facts(store, context, []) == facts(store, context, ["--no-cache"]))
    }

    @Test("two names of one file are not two files, in the context and in a stage")
    func hardLinks() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM scratch\nCOPY . /all/\n", ["a": "same\n", "b": "same\n"])
        let apart = try await store.build(context)
        try context.directory.shell("ln -f a b")
        let together = try await store.build(context)
        #expect(together != apart)
        #expect(try await facts(store, context, []) == facts(store, context, ["--no-cache"]))
        // A name outside of what is copied makes no difference.
        let ignoring = try BuildContext("FROM scratch\nCOPY a b /all/\n", ["a": "same\n", "b": "same\n"])
        let plain = try await store.build(ignoring)
        try ignoring.directory.shell("ln a outside; ln b beside")
        #expect(try await store.build(ignoring) == plain)

        func stage(_ command: String) throws -> BuildContext {
            try BuildContext(
                """
                FROM alpine:latest AS made
                RUN mkdir /o && echo x > /o/a && \(command) /o/a /o/b
                FROM scratch
                COPY --from=made /o /o
                """
            )
        }
        try await store.build(stage("cp"))
        let linked = try stage("ln")
        try await store.build(linked)
        #expect(try await facts(store, linked, []) == facts(store, linked, ["--no-cache"]))
    }

    @Test("a file that changes right after it was read, within one tick of the clock, is read again")
    func sameTick() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM scratch\nCOPY f /f\n")
        var ids: Set<String> = []
        for round in 0..<6 {
            // Written in the moment before the build begins, never with another size.
            try context.write("f", "version \(round)")
            ids.insert(try await store.build(context))
        }
        #expect(ids.count == 6)
    }

    /// Two bind mounts, a stage and a context: each path that a step reads counts.
    @Test(
        "what a command sees through mounts, and what a copy takes of a stage, counts",
        arguments: [
            ("printf 'AAAA' > f; touch -d @1000000000 f", 3), ("chmod 600 f", 3), ("printf 'BBBB' > other", 1),
            ("printf 'CCCC' > third", 1),
        ]
    )
    func inputs(change: String, count: Int) async throws {
        let store = try await Self.shared.get()
        let context = try await context(
            """
            FROM alpine:latest AS stage
            COPY f /in/f
            FROM alpine:latest
            COPY --from=stage /in/f /f
            COPY other /other
            RUN --mount=type=bind,source=third,target=/t cp /t /third
            """
        )
        let first = try await store.build(context)
        try await runScript("cd \"$1\"; \(change)", [context.path])
        let changed = try await store.record(context)
        #expect(changed.id != first)
        #expect(changed.progress.executed.count >= count, "\(changed.progress.executed)")
        #expect(try await facts(store, context, []) == facts(store, context, ["--no-cache"]))
    }

    // MARK: - What is no change

    @Test(
        "what changes no result is no reason to build again",
        arguments: [
            "touch f other d d/x", "cp -a . ../copy-$$; rm -rf ./* ; cp -a ../copy-$$/. .; rm -r ../copy-$$",
            "rm f; printf 'aaaa' > f", "printf 'changed' > ignored", "printf changed > d/a.tmp", "rm ignored",
            "for n in third other f; do mv $n t; cp t $n; rm t; done", "touch -d @5 .",
            "printf '# a comment\\nFROM scratch\\n\\n# another\\nCOPY   .   /all/\\n' > Dockerfile.new; cat Dockerfile.new > Dockerfile; rm Dockerfile.new",
        ]
    )
    func noChange(change: String) async throws {
        let store = try await Self.shared.get()
        let context = try await context("FROM scratch\nCOPY d /all/d/\nCOPY f other third link /all/\n")
        let first = try await store.build(context)
        let dockerfile =
            change.contains("Dockerfile")
            ? "FROM scratch\n# why\nCOPY   d \\\n  /all/d/\n\nCOPY f other third link /all/\n" : nil
        if let dockerfile {
            try context.write("Dockerfile", dockerfile)
        } else {
            try await runScript("cd \"$1\"; \(change)", [context.path])
        }
        let again = try await store.record(context)
        #expect(again.id == first)
        #expect(again.progress.executed == [])
    }

    @Test("another place, another name, other tags and another user's clone make no difference")
    func elsewhere() async throws {
        let store = try await Self.shared.get()
        let context = try await context("FROM alpine:latest\nCOPY f d /all/\nRUN date +%s%N > /stamp\n")
        let first = try await store.build(context)
        let moved = try await self.context("FROM alpine:latest\nCOPY f d /all/\nRUN date +%s%N > /stamp\n")
        try await runScript("cd \"$1\"; umask 077; chown -R 1000:1000 .; touch *", [moved.path])
        for options in [[], ["-t", "other:1", "-t", "other:2"], ["--parallel", "1"], ["--add-host", "x:127.0.0.1"]] {
            let record = try await store.record(moved, options)
            if options.first == "--add-host" {
                #expect(record.progress.executed.count == 1, "a name that is new to the command is a change")
                let address = try await store.record(moved, ["--add-host", "x:127.0.0.2"])
                #expect(address.progress.executed == [], "its address is not")
            } else {
                #expect(record.id == first, "\(options)")
                #expect(record.progress.executed == [], "\(options)")
            }
        }
    }

    @Test("options that no result depends on are in no key")
    func options() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            FROM alpine:latest
            ARG LATE
            RUN --mount=type=cache,id=a,target=/c --mount=type=secret,id=s date +%s%N > /stamp
            ARG LATER=1
            RUN echo $LATER > /later
            LABEL a=b
            """
        )
        try context.write("secret", "one")
        let secret = ["--secret", "id=s,src=\(context.path)/secret"]
        let first = try await store.record(context, secret)
        try context.write("secret", "two")
        #expect(try await store.record(context, secret).progress.executed == [], "a secret's value")
        #expect(try await store.record(context).progress.executed == [], "a secret that is missing")
        #expect(
            try await store.record(context, ["--build-arg", "HTTP_PROXY=http://127.0.0.1:1"]).progress.executed == [],
            "a proxy"
        )
        #expect(try await store.record(context, ["--ulimit", "nofile=100:200"]).id == first.id, "a limit")
        #expect(try await store.record(context, ["--shm-size", "32m"]).id == first.id, "memory to share")
        #expect(try await store.record(context, ["--label", "x=y"]).progress.executed == [], "a label")
        let late = try await store.record(context, ["--build-arg", "LATER=2"])
        #expect(late.progress.executed.count == 1, "a late argument: \(late.progress.executed)")
        let renamed = try BuildContext(
            """
            FROM alpine:latest AS unrelated
            RUN false
            FROM alpine:latest AS named
            ARG LATE
            RUN --mount=type=cache,id=other,target=/c --mount=type=secret,id=s date +%s%N > /stamp
            """
        )
        #expect(try await store.record(renamed).progress.executed == [], "a cache mount's id, a stage's name")
    }

    @Test("a cache mount's content, and what a secret of it was, decide nothing")
    func cacheMountContent() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            "FROM alpine:latest\nRUN --mount=type=cache,id=content,target=/c date +%s%N > /stamp; date >> /c/x\n"
        )
        let first = try await store.build(context)
        let writer = try BuildContext(
            "FROM alpine:latest\nRUN --mount=type=cache,id=content,target=/c echo more > /c/y; rm /c/x\n"
        )
        try await store.build(writer)
        #expect(try await store.build(context) == first)
    }
}
