// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// Why steps run: told by `--explain`, by rawjson and afterwards by `galley why`.
@Suite(.endToEnd)
struct ExplainTests {
    private static let shared = SharedStore()

    /// A build, a change, and what a second build has to say of one step.
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var dockerfile: String
        var files: [String: String] = [:]
        var change: @Sendable (BuildContext) async throws -> Void = { _ in }
        var options: [String] = []
        /// A part of the step's name.
        var step: String
        var code: String
        var summary: String
        var details: [String] = []

        var testDescription: String { name }
    }

    static let cases: [Case] = [
        Case(
            name: "the instruction's text",
            dockerfile: "FROM alpine\nRUN echo text-1\n",
            change: { try $0.write("Dockerfile", "FROM alpine\nRUN echo text-2\n") },
            step: "RUN",
            code: "instruction-changed",
            summary: "the instruction changed",
            details: ["was: RUN echo text-1", "now: RUN echo text-2"]
        ),
        Case(
            name: "a new instruction",
            dockerfile: "FROM alpine\nRUN echo new-1\nRUN echo new-3\n",
            change: { try $0.write("Dockerfile", "FROM alpine\nRUN echo new-1\nCOPY Dockerfile /\nRUN echo new-3\n") },
            step: "COPY",
            code: "instruction-added",
            summary: "a new instruction"
        ),
        Case(
            name: "what follows a new instruction",
            dockerfile: "FROM alpine AS b\nRUN echo after-1\nRUN echo after-3\nFROM b\n",
            change: {
                try $0.write(
                    "Dockerfile",
                    "FROM alpine AS b\nRUN echo after-1\nRUN echo after-2\nRUN echo after-3\nFROM b\n"
                )
            },
            step: "after-3",
            code: "input-changed",
            summary: "follows [b 3/4] RUN echo after-2, which ran again",
            details: ["because a new instruction"]
        ),
        Case(
            name: "an ARG",
            dockerfile: "FROM alpine\nARG ONE=1\nARG TWO=1\nRUN echo arg\n",
            options: ["--build-arg", "TWO=2"],
            step: "RUN",
            code: "argument-changed",
            summary: "ARG TWO changed",
            details: ["TWO: \"1\" -> \"2\""]
        ),
        Case(
            name: "an ARG in the text of a COPY",
            dockerfile: "FROM alpine\nARG NAME=one\nARG OTHER=x\nCOPY $NAME /copied\n",
            files: ["one": "arg 1", "two": "arg 2"],
            options: ["--build-arg", "NAME=two", "--build-arg", "OTHER=y"],
            step: "COPY",
            code: "argument-changed",
            summary: "ARG NAME changed",
            details: ["NAME: \"one\" -> \"two\""]
        ),
        Case(
            name: "an ENV",
            dockerfile: "FROM alpine\nENV ONE=1 TWO=1\nRUN echo env\n",
            change: { try $0.write("Dockerfile", "FROM alpine\nENV ONE=1\nENV THREE=3\nRUN echo env\n") },
            step: "RUN",
            code: "environment-changed",
            summary: "ENV THREE, TWO changed",
            details: ["THREE: not set -> \"3\"", "TWO: \"1\" -> not set"]
        ),
        Case(
            name: "the user",
            dockerfile: "FROM alpine\nUSER 1\nRUN echo user\n",
            change: { try $0.write("Dockerfile", "FROM alpine\nUSER 2\nRUN echo user\n") },
            step: "RUN",
            code: "setting-changed",
            summary: "the user changed",
            details: ["user: \"1\" -> \"2\""]
        ),
        Case(
            name: "files: content, mode, added, removed, kind; and not those that are not copied",
            dockerfile: "FROM alpine\nCOPY unrelated /\nCOPY src /src\n",
            files: [
                "src/content": "files 1", "src/mode": "x", "src/gone": "x", "src/kind": "x", "src/d/same": "x",
                "unrelated": "1",
            ],
            change: { context in
                try context.write("src/content", "files 2")
                try context.write("src/d/new", "x")
                try context.write("unrelated", "2")
                try await runScript("cd $1/src; chmod 755 mode; rm gone kind; ln -s content kind", [context.path])
            },
            step: "COPY src",
            code: "files-changed",
            summary: "5 files changed",
            details: [
                "modified src/content: content", "added src/d/new", "removed src/gone",
                "replaced src/kind: file -> symlink", "modified src/mode: mode 0644 -> 0755",
                "also: follows [2/3] COPY unrelated /, which ran again", "because modified unrelated: content",
            ]
        ),
        Case(
            name: "one file, behind wildcards and --exclude",
            dockerfile: "# syntax=docker/dockerfile:1\nFROM scratch\nCOPY --exclude=*.md s*/* /\n",
            files: ["src/a.md": "1", "src/b": "1", "src/c": "1", "other/d": "1"],
            change: { context in
                for name in ["src/a.md", "src/b", "other/d"] { try context.write(name, "22") }
            },
            step: "COPY",
            code: "files-changed",
            summary: "modified src/b: content"
        ),
        Case(
            name: "more files than are shown",
            dockerfile: "FROM scratch\nCOPY many /\n",
            files: ["many/0": "many"],
            change: { try await runScript("cd $1/many; for i in $(seq 1234); do echo $i > $i; done", [$0.path]) },
            step: "COPY",
            code: "files-changed",
            summary: "1,234 files changed",
            details: [
                "1", "10", "100", "1000", "1001", "1002", "1003", "1004", "1005", "1006", "1007", "1008", "1009", "101",
                "1010", "1011", "1012", "1013", "1014", "1015",
            ].map { "added many/\($0)" } + ["and 1,214 more"]
        ),
        Case(
            name: "another stage",
            dockerfile: "FROM alpine AS b\nRUN echo stage-1 > /f\nFROM alpine\nCOPY --from=b /f /\n",
            change: {
                try $0.write("Dockerfile", "FROM alpine AS b\nRUN echo stage-2 > /f\nFROM alpine\nCOPY --from=b /f /\n")
            },
            step: "COPY",
            code: "input-changed",
            summary: "copies from [b 2/2] RUN echo stage-2 > /f, which ran again",
            details: ["because the instruction changed"]
        ),
        Case(
            name: "a mount of the context",
            dockerfile: "FROM alpine\nRUN --mount=type=bind,source=src,target=/m cat /m/mounted\n",
            files: ["src/mounted": "mount 1", "src/other": "1"],
            change: { try $0.write("src/mounted", "mount 2") },
            step: "RUN",
            code: "mount-changed",
            summary: "modified src/mounted: content at the mount /m"
        ),
        Case(
            name: "a mount of another stage",
            dockerfile:
                "FROM alpine AS b\nRUN echo mounted-1 > /f\nFROM alpine\nRUN --mount=from=b,target=/m cat /m/f\n",
            change: {
                try $0.write(
                    "Dockerfile",
                    "FROM alpine AS b\nRUN echo mounted-2 > /f\nFROM alpine\nRUN --mount=from=b,target=/m cat /m/f\n"
                )
            },
            step: "--mount",
            code: "mount-changed",
            summary: "mounts [b 2/2] RUN echo mounted-2 > /f, which ran again",
            details: ["because the instruction changed"]
        ),
        Case(
            name: "a document in the instruction",
            dockerfile: "FROM alpine\nCOPY <<E /f\ndocument 1\nE\n",
            change: { try $0.write("Dockerfile", "FROM alpine\nCOPY <<E /f\ndocument 2\nE\n") },
            step: "COPY",
            code: "instruction-changed",
            summary: "the document in the instruction changed"
        ),
        Case(
            name: "--no-cache",
            dockerfile: "FROM alpine\nRUN echo no-cache\n",
            options: ["--no-cache"],
            step: "RUN",
            code: "no-cache",
            summary: "--no-cache"
        ),
        Case(
            name: "--no-cache-filter",
            dockerfile: "FROM alpine AS b\nRUN echo filter\nFROM b AS c\nRUN echo unnamed\n",
            options: ["--no-cache-filter", "b"],
            step: "filter",
            code: "no-cache",
            summary: "--no-cache-filter names its stage"
        ),
        Case(
            name: "first for another platform",
            dockerfile: "FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /$TARGETARCH\n",
            options: ["--platform", "linux/arm64"],
            step: "COPY",
            code: "platform-changed",
            summary: "first build for linux/arm64; the last one was for linux/amd64"
        ),
    ]

    @Test(arguments: cases)
    func aSecondBuildSaysWhatChanged(_ item: Case) async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(item.dockerfile, item.files)
        let first = try await store.record(context).progress
        for step in first.instructions where !step.isCached && !step.name.contains("FROM") {
            #expect(step.reason?.code == "first-build", "\(step)")
        }
        try await item.change(context)
        let second = try await store.record(context, item.options).progress
        let step = try second.step(item.step)
        let expected = ProgressRecord.Reason(code: item.code, summary: item.summary, details: item.details)
        #expect(step.reason == expected)
        #expect(second.steps.allSatisfy { !$0.isCached || $0.reason == nil })
    }

    // MARK: The store and other machines

    @Test func aBaseImage() async throws {
        let store = try GalleyStore()
        func tagBase(_ mode: String) async throws -> String {
            try await store.build(BuildContext("FROM scratch\nCOPY --chmod=\(mode) f /d/\n", ["f": "1"]), tag: "base:1")
        }
        // Into a directory of the base that is another one then, or the copy's layer would be kept.
        let context = try BuildContext("FROM base:1\nCOPY Dockerfile /d/\nCOPY --from=base:1 /d/f /g\n")
        let old = try await tagBase("755")
        try await store.build(context)
        let new = try await tagBase("700")
        let progress = try await store.record(context).progress
        let details = ["was: docker.io/library/base:1 (\(old))", "now: docker.io/library/base:1 (\(new))"]
        let reason = try progress.step("COPY Dockerfile").reason
        #expect(reason == .init(code: "base-changed", summary: "the base image changed", details: details))
    }

    @Test func aRecordThatIsGone() async throws {
        let store = try GalleyStore()
        let context = try BuildContext("FROM scratch\nCOPY f /1\nCOPY f /2\n", ["f": "1"])
        try await store.build(context)
        try await store.galley("prune", "-f", "--all").get()
        let progress = try await store.record(context).progress
        let gone = "nothing changed, but its former result is no longer in the store"
        #expect(try progress.step("f /1").reason == .init(code: "record-gone", summary: gone))
        #expect(
            try progress.step("f /2").reason
                == .init(
                    code: "input-changed",
                    summary: "follows [1/2] COPY f /1, which ran again",
                    details: ["because \(gone)"]
                )
        )
    }

    @Test func aStepThatFailed() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine\nRUN test -e /failing\nRUN echo after failing\n")
        #expect(try await store.tryBuild(context).status == 1)
        let second = try await store.tryBuild(context, ["--explain"])
        #expect(second.errors.contains("why: it failed the last time, and never succeeded"), "\(second)")
        let why = try await store.galley("why", "--context", context.path).get().output
        #expect(why.contains("failed       [2/3] RUN test -e /failing: it failed the last time"), "\(why)")
        #expect(why.contains("not-reached  [3/3] RUN echo after failing\n"), "\(why)")
        // What was done before is what is compared with, whatever failed since.
        let good = "FROM alpine\nRUN echo good 1\n"
        try context.write("Dockerfile", good)
        try await store.build(context)
        try context.write("Dockerfile", good.replacing("echo good 1", with: "echo good 2; false"))
        #expect(try await store.tryBuild(context).status == 1)
        try context.write("Dockerfile", good.replacing("1", with: "3"))
        let reason = try await store.record(context).progress.step("good 3").reason
        #expect(reason?.details == ["was: RUN echo good 1", "now: RUN echo good 3"])
    }

    @Test func aFileOnTheWeb() async throws {
        let server = try WebServer { request in .text("content", ["ETag: \"\(request.target)\""]) }
        let store = try GalleyStore()
        let context = try BuildContext("FROM scratch\nADD \(server.url)/f /\n")
        try await store.build(context)
        let unchanged = try await store.record(context).progress
        #expect(unchanged.steps.compactMap(\.reason).allSatisfy { $0.code == "source-checked" })
        let other = try WebServer(["/f": .text("changed")])
        try context.write("Dockerfile", "FROM scratch\nADD \(other.url)/f /\n")
        let progress = try await store.record(context).progress
        #expect(
            progress.steps.contains { $0.reason?.code == "instruction-changed" || $0.reason?.code == "source-changed" }
        )
    }

    @Test(.needs(program: "git")) func aGitRepository() async throws {
        let server = try await GitServer()
        let first = try await server.make("r", "echo 1 > f; git add f; git commit -qm 1; git rev-parse HEAD")
        let store = try GalleyStore()
        let context = try BuildContext("FROM scratch\nADD \(server.url("r"))#main /\n")
        try await store.build(context)
        let second = try await server.make("r", "echo 2 > f; git commit -qam 2; git rev-parse HEAD")
        let progress = try await store.record(context).progress
        func commit(_ output: String) -> String { output.split(separator: "\n").first.map(String.init) ?? "" }
        let details = ["was: commit \(commit(first))", "now: commit \(commit(second))"]
        let reasons = progress.steps.compactMap(\.reason)
        #expect(!reasons.isEmpty)
        #expect(
            reasons.allSatisfy {
                $0 == .init(code: "source-changed", summary: "the git repository changed", details: details)
            },
            "\(reasons)"
        )
    }

    // MARK: Where it is told

    @Test func explainPrintsItAndOtherwiseNothingIsSaid() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine\nCOPY f /\nRUN echo explain\n", ["f": "explain 1"])
        let silent = try await store.tryBuild(context).get().errors
        #expect(!silent.contains("why:"))
        try context.write("f", "explain 2")
        let told = try await store.tryBuild(context, ["--explain"]).get().errors
        // Without the steps' numbers.
        let lines = told.split(separator: "\n").map { $0.drop { $0 != " " }.dropFirst() }
        let copy = try #require(lines.firstIndex(of: "[2/3] COPY f /"))
        #expect(lines[(copy + 1)...].prefix(1) == ["why: modified f: content"])
        let run = try #require(lines.firstIndex(of: "[3/3] RUN echo explain"))
        #expect(
            lines[(run + 1)...].prefix(2) == [
                "why: follows [2/3] COPY f /, which ran again", "     because modified f: content",
            ]
        )
        let again = try await store.tryBuild(context, ["--explain"]).get().errors
        #expect(!again.contains("why:"))
    }

    @Test func whyTellsOfTheLastBuild() async throws {
        let store = try GalleyStore()
        let nothing = try await store.galley("why")
        #expect(nothing.status == 1 && nothing.errors.contains("nothing was built in this root so far"), "\(nothing)")
        let context = try BuildContext("FROM scratch AS s\nCOPY f /\nCOPY g /\n", ["f": "1", "g": "1"])
        try await store.build(context)
        try context.write("g", "2")
        try await store.build(context)
        let all = try await store.galley("why").get().output
        #expect(
            all.contains("found        [1/2] COPY f /\nran          [2/2] COPY g /: modified g: content\n"),
            "\(all)"
        )
        for step in ["2/2", "2", "g /", "copy G"] {
            let one = try await store.galley("why", step).get().output
            #expect(one.contains("COPY g /: modified g: content") && !one.contains("COPY f"), "\(one)")
        }
        let missing = try await store.galley("why", "3/7")
        #expect(missing.status == 1 && missing.errors.contains("has no step \"3/7\""), "\(missing)")
        let json = try JSONValue(parsing: try await store.galley("why", "--format", "json", "2/2").get().outputBytes)
        let reason = json["steps"]?.arrayValue?.first?["reason"]
        #expect(reason?["code"] == "files-changed" && reason?["summary"] == "modified g: content", "\(json)")
        let template = try await store.galley("why", "--format", "{{.Outcome}} {{.Code}}").get().output
        #expect(template == "found \nran files-changed\n")
        // The same once more finds everything, and says so.
        try await store.build(context)
        let found = try await store.galley("why", "--format", "{{.Outcome}} {{.Code}}").get().output
        #expect(found == "found \nfound \n")
        // Another build is the last one then; the former is found by its context.
        let other = try BuildContext("FROM scratch\nCOPY other /\n", ["other": "1"])
        try await store.build(other)
        #expect(try await store.galley("why").get().output.contains("COPY other"))
        for options in [["--context", context.path], ["-f", context.path + "/Dockerfile"]] {
            #expect(try await store.galley(["why"] + options).get().output.contains("COPY g /"))
        }
        let none = try await store.galley("why", "--context", "/nowhere")
        #expect(none.status == 1 && none.errors.contains("nothing like that was built"), "\(none)")
    }

    @Test func whyTellsOfABuildWhoseOutputFailed() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine\nCOPY f /\n", ["f": "1"])
        #expect(try await store.tryBuild(context, ["-o", "type=oci,dest=/proc/none/x.tar"]).status != 0)
        // The store's last build may be another test's.
        let why = ["why", "--context", context.path]
        #expect(try await store.galley(why).get().output.contains("not successful"))
        try await store.build(context)
        #expect(try await !store.galley(why).get().output.contains("not successful"))
    }

    @Test func secretsAndProxiesAreNeverKept() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            FROM alpine
            ARG HTTPS_PROXY
            ARG unused=un-used-value
            ARG kept=kept-value-1
            RUN --mount=type=secret,id=s,env=SECRET --mount=type=secret,id=s,target=/s test -s /s
            COPY f /$kept
            """,
            ["f": "1"]
        )
        let secret = context.directory.file("../\(context.directory.path.lastComponent ?? "").secret")
        try replaceFile(secret, Array("se-cret-bytes".utf8))
        let options = [
            "--secret", "id=s,src=\(secret)", "--build-arg", "HTTP_PROXY=http://proxy-name-1:1",
            "--build-arg", "HTTPS_PROXY=http://proxy-name-2:1", "--build-arg", "nobody=no-body-asks",
        ]
        try await store.build(context, options)
        try await store.build(context, options + ["--build-arg", "kept=kept-value-2"])
        try removeFile(secret)
        let found = try await runScript(
            #"cat "$1"/galley.db* > "$2"; for w in "${@:3}"; do printf '%s %s\n' "$w" "$(grep -ac -e "$w" "$2" || true)"; done"#,
            [
                store.root.description, context.directory.file("all").description, "se-cret-bytes", "proxy-name-1",
                "proxy-name-2", "no-body-asks", "kept-value-1",
            ]
        )
        let lines = found.split(separator: "\n").map { $0.split(separator: " ") }
        #expect(lines.prefix(4).allSatisfy { $0[1] == "0" }, "\(found)")
        #expect(lines.last?[1] != "0", "the search finds what is there: \(found)")
    }
}
