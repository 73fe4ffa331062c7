// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Testing

/// Where the wave of steps that run again ends, and what processes share while they build.
@Suite(.endToEnd) struct CutOffTests {
    private static let shared = SharedStore()

    /// The instructions that ran, without their stage and number.
    private func executed(_ progress: ProgressRecord) -> [String] {
        progress.executed.map { String($0.drop { $0 != "]" }.dropFirst(2)) }.sorted()
    }

    @Test("a changed comment runs the compiler again, and nothing that follows it in another stage")
    func comment() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            FROM alpine:latest AS compile
            COPY main.c /src/
            RUN grep -v '^//' /src/main.c > /program
            FROM alpine:latest AS check
            RUN --mount=type=bind,from=compile,source=/program,target=/p cp /p /checked
            RUN date +%s%N > /stamp
            FROM scratch
            COPY --from=check /checked /stamp /out/
            """
        )
        try context.write("main.c", "// one\nint main;\n")
        let first = try await store.build(context)
        try context.write("main.c", "// another comment\nint main;\n")
        let second = try await store.record(context)
        #expect(second.id == first)
        #expect(executed(second.progress) == ["COPY main.c /src/", "RUN grep -v '^//' /src/main.c > /program"])
        // Known now under its new definition.
        #expect(try await store.record(context).progress.executed == [])
        try context.write("main.c", "// another comment\nint other;\n")
        let third = try await store.record(context)
        #expect(third.id != first)
        #expect(executed(third.progress).count == 5)
    }

    @Test("a command that ran again and made the same ends the wave, also within a stage")
    func runAfterRun() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            FROM alpine:latest
            RUN --mount=type=bind,source=words,target=/w sort -u /w > /sorted; mkdir -p /d/e; ln /sorted /d/e/hard
            RUN date +%s%N > /first
            RUN date +%s%N > /second
            """
        )
        try context.write("words", "b\na\nb\n")
        let first = try await store.build(context)
        try context.write("words", "a\nb\n")
        let second = try await store.record(context)
        #expect(second.id == first)
        #expect(second.progress.executed.count == 1)
        try context.write("words", "a\nc\n")
        #expect(try await store.record(context).progress.executed.count == 3)
        // What was made before is found again, whichever way it came about.
        try context.write("words", "b\nb\na\na\n")
        let fourth = try await store.record(context)
        #expect(fourth.id == first)
        #expect(fourth.progress.executed.count == 1)
    }

    /// A mode, an owner, a link or an attribute that a command makes anew is as much a change as a byte.
    ///
    /// Each case makes a content of its own: of equal layers made at the same time, any may serve the others.
    @Test(
        "the wave goes on where the command made something else",
        arguments: ["chmod 600 /f", "chown 7 /f", "ln -sf other /l", "mkdir /new", "rm /gone", "mv /a /b"]
    )
    func differences(change: String) async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            FROM alpine:latest
            RUN touch /gone
            RUN --mount=type=bind,source=script,target=/s echo '\(change)' > /f; ln -s f /l; mkdir /a; . /s
            RUN date +%s%N > /after
            """
        )
        try context.write("script", "true \(change)\n")
        let first = try await store.build(context)
        try context.write("script", "true another \(change)\n")
        #expect(try await store.build(context) == first)
        try context.write("script", "\(change)\n")
        let changed = try await store.record(context)
        #expect(changed.id != first)
        #expect(changed.progress.executed.count == 2)
    }

    /// What a copy reads is not always what its layer shows.
    @Test(
        "a copy of something else that makes the same layer ends the wave",
        arguments: [
            (
                "ADD app.tar /app/", "mkdir d; echo x > d/f; tar -cf app.tar -C d .",
                "tar -czf app.tar -C d --mtime=@5 ."
            ),
            ("COPY --chmod=755 f /f", "echo x > f", "chmod 600 f"),
            ("COPY a*.txt /a", "echo x > a1.txt", "mv a1.txt a2.txt"),
            (
                "COPY d /d", "mkdir d; echo x > d/f",
                "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"d/s\")'"
            ),
        ]
    )
    func sameLayer(instruction: String, prepare: String, change: String) async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\n\(instruction)\nRUN date +%s%N > /stamp\n")
        try context.directory.shell(prepare)
        let first = try await store.build(context)
        try context.directory.shell(change)
        let second = try await store.record(context)
        #expect(second.id == first)
        #expect(!second.progress.executed.contains { $0.contains("RUN") })
    }

    @Test("a copy keeps its layer when the base changed beside it, and says so", arguments: ["", "--link "])
    func rebase(flag: String) async throws {
        let store = try await Self.shared.get()
        func base(_ text: String) async throws {
            let base = try BuildContext("FROM alpine:latest\nRUN echo \(text) > /version\n")
            try await store.build(base, tag: "rebased-base\(flag.isEmpty ? "" : "-link"):latest")
        }
        let context = try BuildContext(
            """
            FROM rebased-base\(flag.isEmpty ? "" : "-link"):latest
            COPY \(flag)files /opt/app/
            """
        )
        try context.write("files/one", "1")
        try await base("1")
        try await store.build(context, tag: "kept\(flag.count):1")
        try await base("2")
        let record = try await store.record(context, tag: "kept\(flag.count):2")
        #expect(record.progress.executed == [])
        let layers = try await [store.inspect("kept\(flag.count):1"), store.inspect("kept\(flag.count):2")].map {
            $0["RootFS"]?["Layers"]?.strings ?? []
        }
        #expect(layers[0].last == layers[1].last)
        #expect(layers[0].dropLast().last != layers[1].dropLast().last)
        #expect(try await store.shell("kept\(flag.count):2", "cat /version /opt/app/one") == "2\n1")
        if flag.isEmpty {
            #expect(record.progress.log.contains("rebased"))
        }
    }

    @Test("a copy into something that the base changed is made anew")
    func noRebase() async throws {
        let store = try await Self.shared.get()
        func base(_ mode: String) async throws {
            let base = try BuildContext("FROM alpine:latest\nRUN mkdir -m \(mode) /opt/app\n")
            try await store.build(base, tag: "other-base:latest")
        }
        let context = try BuildContext("FROM other-base:latest\nCOPY files /opt/app/\n")
        try context.write("files/one", "1")
        try await base("750")
        try await store.build(context)
        try await base("700")
        #expect(try await store.record(context, tag: "app3").progress.executed.count == 1)
        #expect(try await store.shell("app3", "stat -c %a /opt/app") == "700\n")
    }

    // MARK: - Several processes

    /// A step that counts how often it was done, and waits until the host lets it go on.
    private func countingContext(_ name: String) throws -> BuildContext {
        try BuildContext(
            """
            FROM alpine:latest
            RUN --mount=type=cache,id=\(name),target=/c echo done >> /c/log; \\
                until test -e /c/go; do sleep 0.1; done; cp /c/log /log
            RUN cat /log
            """
        )
    }

    @Test("two builds that need one step at the same time do it once", arguments: [false, true])
    func oneStep(firstIsKilled: Bool) async throws {
        let store = try GalleyStore()
        try await store.importBases(["alpine"])
        let context = try countingContext("count")
        let first = try store.start(["build", "--progress", "plain", "-t", "one", context.path])
        try await eventually("the step runs") {
            guard first.isRunning else { throw ProgramFailure(description: try first.errorsSoFar()) }
            return try store.cacheMount(with: "log") != nil
        }
        let directory = try #require(try store.cacheMount(with: "log"))
        let second = try store.start(["build", "--progress", "plain", "-t", "two", context.path])
        try await eventually("the other build says that it waits") {
            try second.errorsSoFar().contains("waiting for another build, which does the same step")
        }
        if firstIsKilled {
            first.send(SIGKILL)
            _ = try await first.finish()
        }
        if firstIsKilled {
            try await eventually("the other build takes over") {
                try String(decoding: readFile(directory.appending("log")), as: UTF8.self) == "done\ndone\n"
            }
        }
        _ = try open(directory.appending("go"), [.writeOnly, .create])
        if !firstIsKilled { #expect(try await first.finish().status == 0) }
        #expect(try await second.finish().status == 0)
        let log = try String(decoding: readFile(directory.appending("log")), as: UTF8.self)
        #expect(log == (firstIsKilled ? "done\ndone\n" : "done\n"))
        if !firstIsKilled {
            #expect(try await store.inspect("one")["Id"] == store.inspect("two")["Id"])
        }
        #expect(try await store.galley("images").succeeded)
        try expectNothingLeft(store.leftovers())
    }
}
