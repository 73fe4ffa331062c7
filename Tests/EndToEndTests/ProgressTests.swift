// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// What a build prints and writes about itself.
@Suite(.endToEnd) struct ProgressTests {
    private static let shared = SharedStore()

    @Test("plain: numbered steps with their output, DONE and CACHED; nothing on standard output")
    func plain() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nRUN echo from the \"step\"", [:])
        let first = try await store.tryBuild(context, ["--no-cache"]).get()
        #expect(first.output == "")
        let number = try #require(
            first.errors.split(separator: "\n").first { $0.hasSuffix("RUN echo from the \"step\"") }?.split(
                separator: " "
            ).first
        )
        #expect(first.errors.contains("\(number) [2/2] RUN echo from the \"step\"\n"))
        let output = try #require(first.errors.split(separator: "\n").first { $0.hasSuffix(" from the step") })
        #expect(output.wholeMatch(of: /#\d+ \d+\.\d{3} from the step/) != nil)
        #expect(first.errors.contains(try Regex("\(number) DONE \\d+\\.\\ds\n")))
        let second = try await store.tryBuild(context).get()
        #expect(second.errors.contains("\(number) CACHED\n"))
        #expect(!second.errors.contains("from the step\n"))
    }

    @Test("rawjson: every line is a JSON object, every vertex has a digest, and inputs name vertices")
    func rawJSON() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nRUN echo hello; echo there >&2\nCOPY f /f", ["f": "f"])
        let result = try await store.galley(["build", "--progress=rawjson", "--no-cache", context.path]).get()
        let record = try ProgressRecord(parsing: result.errorBytes)
        #expect(record.instructions.map(\.name).contains("[2/3] RUN echo hello; echo there >&2"))
        #expect(record.log.contains("hello\n") && record.log.contains("there\n"))
        for step in record.steps { #expect(step.started != nil && step.completed != nil, "\(step)") }
        let digests = Set(record.steps.map(\.digest))
        for line in result.errors.split(separator: "\n") {
            for vertex in try JSONValue(parsing: line.utf8)["vertexes"]?.arrayValue ?? [] {
                #expect(digests.isSuperset(of: vertex["inputs"]?.strings ?? []))
            }
        }
    }

    @Test("-q and --progress=quiet print the image's id and nothing else")
    func quiet() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nRUN echo noise")
        let file = try ScratchDirectory()
        let result = try await store.galley(
            "build",
            "-q",
            "--iidfile",
            file.file("id").description,
            "-t",
            "quiet",
            context.path
        ).get()
        #expect(result.output.wholeMatch(of: /sha256:[0-9a-f]{64}\n/) != nil)
        #expect(result.errors == "")
        #expect(String(decoding: try readFile(file.file("id")), as: UTF8.self) + "\n" == result.output)
        #expect(try await store.inspect("quiet")["Id"]?.stringValue == result.output.trimmingNewline)
        #expect(try await store.galley("build", "--progress", "quiet", context.path).get().output == result.output)
    }

    @Test("the id that -q prints can be run and inspected, also without a tag")
    func untagged() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nENV UNTAGGED=yes")
        let id = try await store.galley("build", "-q", context.path).get().output.trimmingNewline
        let output = try await store.run(id, ["sh", "-c", "echo $UNTAGGED"])
        #expect(output == "yes\n")
    }

    @Test("quiet still tells why a build failed")
    func quietFailure() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nRUN echo reason; exit 3")
        let result = try await store.galley("build", "-q", context.path)
        #expect(result.status != 0)
        #expect(result.output == "")
        #expect(result.errors.contains("reason\n"))
        #expect(result.errorLines.count == 1)
    }

    @Test("a failed step prints its last output, the lines of the Dockerfile with a caret, and the exit code")
    func failedStep() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            "FROM alpine:latest\nRUN echo fine\nRUN echo last words; \\\n  exit 42\nRUN echo nev''er"
        )
        let result = try await store.tryBuild(context)
        #expect(result.status != 0)
        let parts = result.errors.split(separator: "------\n > [3/4] RUN echo last words;", maxSplits: 1)
        let report = try #require(parts.count == 2 ? parts.last : nil)
        #expect(report.contains("last words\n"))
        #expect(report.contains("Dockerfile:3"))
        #expect(report.contains("RUN echo last words; \\"))
        #expect(report.contains("^"))
        #expect(result.errorLines.count == 1)
        #expect(result.errorLines.first?.contains("did not complete successfully: exit code: 42") == true)
        #expect(!result.errors.contains("never"))
    }

    @Test(
        "exit codes, signals and missing programs are told apart",
        arguments: [
            ("RUN exit 7", "exit code: 7"),
            ("RUN sh -c 'kill -9 $$'; exit $?", "137"),
            ("RUN sh -c 'kill -TERM $$'; exit $?", "143"),
            (#"RUN ["/no/such/program"]"#, "/no/such/program"),
            (#"RUN ["/etc/passwd"]"#, "/etc/passwd"),
            ("RUN no-such-command", "exit code: 127"),
            ("USER nobody-here\nRUN true", "nobody-here"),
        ]
    )
    func endings(instructions: String, expected: String) async throws {
        let store = try await Self.shared.get()
        let result = try await store.tryBuild(try BuildContext("FROM alpine:latest\n" + instructions))
        #expect(result.status != 0)
        #expect(result.errorLines.count == 1)
        #expect(result.errorLines.first?.contains(expected) == true, "\(result)")
    }

    @Test("--metadata-file says in BuildKit's words what was built")
    func metadata() async throws {
        let store = try await Self.shared.get()
        let file = try ScratchDirectory()
        let context = try BuildContext("FROM alpine:latest\nENV A=metadata")
        let id = try await store.build(
            context,
            tag: "meta:1",
            ["--metadata-file", file.file("metadata").description]
        )
        let metadata = try JSONValue(parsing: readFile(file.file("metadata")))
        #expect(metadata["containerimage.config.digest"]?.stringValue == id)
        #expect(metadata["image.name"]?.stringValue == "docker.io/library/meta:1")
    }

    @Test("a failed build writes neither --iidfile nor --metadata-file, and tags nothing")
    func failureLeavesNoFiles() async throws {
        let store = try await Self.shared.get()
        let file = try ScratchDirectory()
        let (id, metadata) = (file.file("id").description, file.file("metadata").description)
        let result = try await store.tryBuild(
            try BuildContext("FROM alpine:latest\nRUN false"),
            ["--iidfile", id, "--metadata-file", metadata, "-t", "never"]
        )
        #expect(result.status != 0)
        #expect(!TestInstallation.exists(id) && !TestInstallation.exists(metadata))
        #expect(try await store.galley("inspect", "never").status != 0)
    }

    @Test("auto without a terminal is plain; tty on one ends with the cursor shown and all steps named")
    func terminal() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nRUN echo on a terminal")
        let auto = try await store.galley(["build", "--no-cache", context.path]).get()
        #expect(auto.errors.hasPrefix("#"))
        #expect(!auto.errors.contains("\u{1b}["))
        guard TestInstallation.hasProgram("script") else { return }
        let words = [TestInstallation.binary, "--root", store.root.description, "build", "--no-cache", context.path]
        let typed = try await runScript(
            #"TERM=xterm script --quiet --return --echo never --command "$1" /dev/null"#,
            [words.joined(separator: " ")]
        )
        #expect(typed.contains("\u{1b}["))
        #expect(typed.contains("RUN echo on a terminal"))
        #expect(typed.contains("FINISHED"))
        let shown = typed.split(separator: "\u{1b}[?25l").last ?? ""
        #expect(!typed.contains("\u{1b}[?25l") || shown.contains("\u{1b}[?25h"), "the cursor is shown at the end")
    }

    @Test(
        "usage errors name what is wrong; a wrong option exits with docker's 125",
        arguments: [
            (["build", "--no-such-option", "."], 125, "no-such-option"),
            (["build"], 1, "path"),
            (["no-such-command"], 1, "no-such-command"),
        ]
    )
    func usage(arguments: [String], status: Int32, expected: String) async throws {
        let result = try await runProgram(TestInstallation.binary, arguments)
        #expect(result.status == status)
        #expect(result.errors.lowercased().contains(expected))
    }

    @Test(
        "values of options that make no sense are refused before anything runs",
        arguments: [
            ["--progress", "loud"], ["--network", "moon"], ["--add-host", "nonsense"], ["--ulimit", "nofile"],
            ["--ulimit", "nothing=1"], ["--ulimit", "nofile=9:1"], ["--shm-size", "many"], ["--parallel", "0"],
            ["-t", "UPPER:case"], ["-t", "bad tag"], ["--platform", "a/b/c/d/e"], ["--build-arg", "=x"],
            ["-o", "type=moon"],
        ]
    )
    func values(options: [String]) async throws {
        let store = try await Self.shared.get()
        let result = try await store.tryBuild(try BuildContext("FROM alpine:latest\nRUN echo ran-anyway"), options)
        #expect(result.status != 0)
        #expect(result.errorLines.count == 1, "\(result)")
        #expect(!result.errors.contains("ran-anyway"))
    }
}
