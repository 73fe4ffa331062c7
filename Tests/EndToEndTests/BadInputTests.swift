// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import Testing

/// A build that must fail, and what its one message must say.
struct BadInput: Sendable, CustomTestStringConvertible {
    let name: String
    var dockerfile: String?
    var files: [String: String] = [:]
    var options: [String] = []
    let expected: [String]

    var testDescription: String { name }
}

/// Issue 2's list of bad input, without registries: exit code, one clear message, the store unharmed.
@Suite(.endToEnd) struct BadInputTests {
    private static let shared = SharedStore()

    private static let table: [BadInput] = [
        BadInput(
            name: "unknown instruction",
            dockerfile: "FROM alpine:latest\nCOPPY a /a",
            expected: ["Dockerfile:2", "COPPY", "COPY", "^"]
        ),
        BadInput(
            name: "missing stage in --from",
            dockerfile: "FROM alpine:latest AS builder\nFROM alpine:latest\nCOPY --from=buidler /a /a",
            expected: ["Dockerfile:3", "buidler", "builder"]
        ),
        BadInput(
            name: "stage index out of range",
            dockerfile: "FROM alpine:latest\nCOPY --from=7 /a /a",
            expected: ["Dockerfile:2", "invalid stage index 7"]
        ),
        BadInput(
            name: "missing stage in --target",
            dockerfile: "FROM alpine:latest AS builder\nFROM alpine:latest AS final",
            options: ["--target", "finnal"],
            expected: ["finnal", "final"]
        ),
        BadInput(
            name: "target index out of range",
            dockerfile: "FROM alpine:latest",
            options: ["--target", "3"],
            expected: ["target stage \"3\""]
        ),
        BadInput(
            name: "stage used before it is defined",
            dockerfile: "FROM alpine:latest AS one\nCOPY --from=two /a /a\nFROM alpine:latest AS two\nRUN touch /a",
            options: ["--target", "one"],
            expected: ["Dockerfile:2", "two", "defined before"]
        ),
        BadInput(
            name: "copy from itself",
            dockerfile: "FROM alpine:latest AS me\nCOPY --from=me /a /a",
            expected: ["Dockerfile:2", "circular dependency", "me"]
        ),
        BadInput(
            name: "two stages that copy from each other",
            dockerfile: "FROM alpine:latest AS a\nCOPY --from=b /x /x\nFROM alpine:latest AS b\nCOPY --from=a /x /x",
            expected: ["Dockerfile:2", "circular dependency"]
        ),
        BadInput(name: "empty Dockerfile", dockerfile: "", expected: ["empty"]),
        BadInput(name: "only comments", dockerfile: "# nothing\n\n# at all\n", expected: ["Dockerfile"]),
        BadInput(name: "only ARG", dockerfile: "ARG A=1\n", expected: ["FROM"]),
        BadInput(
            name: "no FROM first",
            dockerfile: "RUN true\nFROM alpine:latest",
            expected: ["Dockerfile:1", "FROM"]
        ),
        BadInput(
            name: "blank base",
            dockerfile: "ARG B\nFROM ${B}",
            expected: ["Dockerfile:2", "should not be blank"]
        ),
        BadInput(
            name: "impossible base",
            dockerfile: "FROM Not/A/Reference",
            expected: ["Dockerfile:1", "Not/A/Reference"]
        ),
        BadInput(name: "no Dockerfile", expected: ["Dockerfile"]),
        BadInput(
            name: "named Dockerfile is missing",
            dockerfile: "FROM alpine:latest",
            options: ["-f", "/no/such/file"],
            expected: ["/no/such/file"]
        ),
        BadInput(
            name: "missing COPY source",
            dockerfile: "FROM alpine:latest\nCOPY nothing-here /a",
            expected: ["Dockerfile:2", "nothing-here", "not found"]
        ),
        BadInput(
            name: "missing source in a stage",
            dockerfile: "FROM alpine:latest AS b\nFROM alpine:latest\nCOPY --from=b /no/file /a",
            expected: ["Dockerfile:3", "/no/file", "not found"]
        ),
        BadInput(
            name: "source outside the context",
            dockerfile: "FROM alpine:latest\nCOPY ../../../etc/hostname /a",
            expected: ["Dockerfile:2", "etc/hostname"]
        ),
        BadInput(
            name: "source that .dockerignore removed",
            dockerfile: "FROM alpine:latest\nCOPY built/app /a",
            files: [".dockerignore": "built\n", "built/app": "x"],
            expected: ["Dockerfile:2", "built/app", ".dockerignore"]
        ),
        BadInput(
            name: "bad pattern in .dockerignore",
            dockerfile: "FROM alpine:latest\nCOPY . /a",
            files: [".dockerignore": "[a-\n"],
            expected: [".dockerignore", "[a-"]
        ),
        BadInput(
            name: "unknown user in --chown",
            dockerfile: "FROM alpine:latest\nCOPY --chown=ghost a /a",
            files: ["a": ""],
            expected: ["Dockerfile:2", "ghost"]
        ),
        BadInput(
            name: "a device of the host",
            dockerfile: "FROM alpine:latest\nRUN --device=vendor.example/gpu=0 true",
            expected: ["Dockerfile:2", "device"]
        ),
        BadInput(
            name: "the host's rights without leave",
            dockerfile: "FROM alpine:latest\nRUN --security=insecure true",
            expected: ["Dockerfile:2", "security.insecure", "--allow"]
        ),
        BadInput(
            name: "a mount type that does not exist",
            dockerfile: "FROM alpine:latest\nRUN --mount=type=cahce,target=/c true",
            expected: ["Dockerfile:2", "cahce", "did you mean cache"]
        ),
        BadInput(
            name: "a secret that nobody gave",
            dockerfile: "FROM alpine:latest\nRUN --mount=type=secret,id=token,required true",
            expected: ["Dockerfile:2", "token", "--secret"]
        ),
        BadInput(
            name: "ADD from a server that is not there",
            dockerfile: "FROM alpine:latest\nADD http://127.0.0.1:1/x /x",
            expected: ["Dockerfile:2", "127.0.0.1:1"]
        ),
    ]

    @Test("is refused with one message, and the store still builds", arguments: table)
    func badInput(_ input: BadInput) async throws {
        let store = try await Self.shared.get()
        let result = try await store.tryBuild(try BuildContext(input.dockerfile, input.files), input.options)
        #expect(result.status == 1)
        #expect(result.output == "")
        #expect(result.errorLines.count == 1, "\(result)")
        for text in input.expected { #expect(result.errors.contains(text), "'\(text)' in \(result)") }
        try await expectHealthy(store)
    }

    @Test(
        "suggestions come with the message",
        arguments: [
            ("FROM alpine:latest\nCOPPY a /a", [], "did you mean COPY?"),
            ("FROM alpine:latest\nRUUN true", [], "did you mean RUN?"),
            ("FROM alpine:latest AS final", ["--target", "finnal"], "did you mean final?"),
            (
                "FROM alpine:latest AS builder\nFROM alpine:latest\nCOPY --from=buidler /a /a", [],
                "did you mean builder?"
            ),
        ]
    )
    func suggestions(dockerfile: String, options: [String], expected: String) async throws {
        let store = try await Self.shared.get()
        let result = try await store.tryBuild(try BuildContext(dockerfile), options)
        #expect(result.status == 1)
        #expect(result.errors.contains(expected), "\(result)")
    }

    @Test("a context that is missing or a file is named, with what it should be")
    func contexts() async throws {
        let store = try await Self.shared.get()
        let missing = try await store.galley("build", "/no/such/context")
        #expect(missing.status == 1)
        #expect(missing.errorLines.count == 1)
        #expect(missing.errors.contains("/no/such/context") && missing.errors.contains("not found"))
        let context = try BuildContext("FROM alpine:latest")
        let file = try await store.galley("build", context.path + "/Dockerfile")
        #expect(file.status == 1)
        #expect(file.errors.contains("not a directory"))
        try await expectHealthy(store)
    }

    @Test("a symlink in the context that leads outside brings nothing in")
    func linkOutOfTheContext() async throws {
        let store = try await Self.shared.get()
        let outside = try ScratchDirectory()
        try replaceFile(outside.file("secret"), "not yours".utf8)
        let context = try BuildContext(nil)
        try await runScript(
            #"mkdir d; ln -s "$1" d/link"#,
            [outside.path.description],
            directory: context.directory.path
        )
        for source in ["d/link/secret", "d/link", "d/link/"] {
            try context.write("Dockerfile", "FROM alpine:latest\nCOPY \(source) /s")
            let result = try await store.tryBuild(context)
            #expect(result.status == 1)
            #expect(result.errorLines.first?.contains("d/link") == true, "\(result)")
        }
        try context.write("Dockerfile", "FROM alpine:latest\nCOPY d /d\nRUN test -L /d/link && ! cat /d/link/secret")
        #expect(try await !store.record(context).progress.log.contains("not yours"))
        try await expectHealthy(store)
    }

    @Test("several mistakes are told at once")
    func several() async throws {
        let store = try await Self.shared.get()
        let result = try await store.tryBuild(try BuildContext("FROM alpine:latest\nCOPPY a b\nENV\nWORKDIRR /x"))
        #expect(result.status == 1)
        for line in [2, 3, 4] { #expect(result.errors.contains("Dockerfile:\(line)"), "\(result)") }
    }

    @Test("a file that is no Dockerfile is refused without reading it for minutes")
    func binaryDockerfile() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext()
        try context.write("Dockerfile", (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7919) })
        let result = try await store.tryBuild(context)
        #expect(result.status == 1)
        #expect(result.errors.utf8.count < 400_000, "bounded")
        try await expectHealthy(store)
    }

    @Test("a secret-looking build argument is in no message of a failed build that does not use it")
    func unusedArgument() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nRUN false")
        let result = try await store.tryBuild(context, ["--build-arg", "TOKEN=hunter2-hunter2"])
        #expect(result.status != 0)
        #expect(!result.errors.contains("hunter2"))
    }
}

/// What was refused or failed left nothing behind that the next build would trip over.
func expectHealthy(_ store: GalleyStore, sourceLocation: SourceLocation = #_sourceLocation) async throws {
    let context = try BuildContext(
        "FROM alpine:latest\nCOPY f /f\nRUN cat /f",
        ["f": "\(UInt64.random(in: 0 ... .max))"]
    )
    let result = try await store.tryBuild(context)
    #expect(result.status == 0, "the store is unharmed: \(result)", sourceLocation: sourceLocation)
}
