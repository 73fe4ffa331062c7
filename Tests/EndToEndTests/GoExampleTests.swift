// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// examples/go, as `make try` builds it.
@Suite(.endToEnd, .serialized, .enabled(if: TestInstallation.exists(TestInstallation.bases + "/golang/rootfs.tar")))
struct GoExampleTests {
    private static let shared = SharedStore(["alpine", "golang"])

    /// A copy of examples/go that a test may change.
    private func example() async throws -> BuildContext {
        let context = try BuildContext()
        try await runScript(
            #"cp -a "$1"/. ."#,
            [TestInstallation.packageRoot + "/examples/go"],
            directory: context.directory.path
        )
        return context
    }

    @Test("the final image greets and holds the program, neither Go nor source")
    func thinImage() async throws {
        let store = try await Self.shared.get()
        try await store.build(example(), tag: "thin")
        let greeting = try await store.galley("run", "--rm", "thin").get().output
        #expect(greeting.hasPrefix("Hello from a thin image"))
        #expect(greeting.contains("no Go toolchain"))
        let found = try await store.shell(
            "thin",
            #"find / -xdev \( -name '*.go' -o -name go.mod -o -path /usr/local/go -o -path /go -o -path /app \); ls /root"#
        )
        #expect(found == "myapp\n")
    }

    @Test("--target builder ends at that stage, which has Go and the source, and is many times as large")
    func builderStage() async throws {
        let store = try await Self.shared.get()
        let context = try await example()
        try await store.build(context, tag: "thin")
        try await store.build(context, tag: "fat", ["--target", "builder"])
        #expect(try await store.run("fat", ["go", "version"]).contains("go1.21"))
        #expect(
            try await store.run("fat", ["ls", "/app"]).split(separator: "\n").sorted() == [
                "go.mod", "main.go", "myapp",
            ]
        )
        let thin = try await store.inspect("thin")["Size"]?.integerValue ?? 0
        let fat = try await store.inspect("fat")["Size"]?.integerValue ?? 0
        #expect(thin > 2_000_000 && thin < 20_000_000)
        #expect(fat > 10 * thin)
    }

    @Test("galley images lists what was tagged and no stage in between")
    func images() async throws {
        let store = try await Self.shared.get()
        try await store.build(example(), tag: "listed:v1")
        let lines = try await store.galley("images").get().output.split(separator: "\n")
        #expect(lines.first?.split(separator: " ").first == "REPOSITORY")
        let names = Set(lines.dropFirst().map { $0.split(separator: " ").prefix(2).joined(separator: ":") })
        #expect(names.isSuperset(of: ["listed:v1", "alpine:latest", "golang:1.21-alpine"]))
        let allowed: Set = [
            "listed:v1", "thin:latest", "fat:latest", "debian:bookworm-slim", "changed:latest",
            "program:latest", "program-again:latest",
        ]
        #expect(names.subtracting(["alpine:latest", "golang:1.21-alpine"]).isSubset(of: allowed))
    }

    @Test("the program may be built again without a change: every step is CACHED and the image is the same")
    func unchanged() async throws {
        let store = try await Self.shared.get()
        let context = try await example()
        let first = try await store.build(context)
        let second = try await store.record(context)
        #expect(second.id == first)
        #expect(second.progress.executed == [])
        let plain = try await store.tryBuild(context).get().errors
        for step in ["COPY . .", "RUN go build -o myapp main.go", "COPY --from=builder /app/myapp ."] {
            let line = try #require(plain.split(separator: "\n").first { $0.hasSuffix(step) })
            let number = try #require(line.split(separator: " ").first)
            #expect(plain.contains("\(number) CACHED"), "\(step) in \(plain)")
        }
    }

    @Test("a changed main.go runs COPY, go build and the final COPY again, and nothing else")
    func changedSource() async throws {
        let store = try await Self.shared.get()
        let context = try await example()
        let before = try await store.build(context)
        let source = String(decoding: try readFile(context.directory.file("main.go")), as: UTF8.self)
        try context.write("main.go", source.replacing("Hello from", with: "Greetings from"))
        let after = try await store.record(context, tag: "changed")
        #expect(after.id != before)
        let executed = after.progress.executed.map { $0.drop { $0 != "]" }.dropFirst(2) }.sorted()
        #expect(executed == ["COPY --from=builder /app/myapp .", "COPY . .", "RUN go build -o myapp main.go"])
        #expect(try await store.galley("run", "--rm", "changed").get().output.hasPrefix("Greetings from"))
    }

    @Test("early cut-off: a comment that compiles to the same program keeps the final COPY CACHED and the image")
    func sameProgram() async throws {
        let store = try await Self.shared.get()
        let context = try await example()
        // By default a Go program carries a hash of its sources' text.
        let dockerfile = String(decoding: try readFile(context.directory.file("Dockerfile")), as: UTF8.self)
        try context.write("Dockerfile", dockerfile.replacing("go build", with: "go build -ldflags=-buildid="))
        let before = try await store.build(context, tag: "program")
        let hash = try await store.run("program", ["sha256sum", "/root/myapp"])
        let again = try await store.build(context, tag: "program-again", ["--no-cache"])
        try #require(
            try await hash == store.run("program-again", ["sha256sum", "/root/myapp"]),
            "go build repeats itself"
        )
        let source = String(decoding: try readFile(context.directory.file("main.go")), as: UTF8.self)
        try context.write("main.go", source + "\n// Nothing that the compiler would look at.\n")
        let after = try await store.record(context)
        #expect(after.id == again || after.id == before)
        #expect(after.progress.executed.contains { $0.hasSuffix("COPY . .") })
        #expect(after.progress.executed.contains { $0.contains("RUN go build") })
        #expect(try after.progress.step("COPY --from=builder").isCached)
    }

    @Test("what .dockerignore leaves out rebuilds nothing")
    func ignoredFile() async throws {
        let store = try await Self.shared.get()
        let context = try await example()
        let before = try await store.build(context)
        try context.write("NOTES.md", "not for the program")
        let after = try await store.record(context)
        #expect(after.id == before)
        #expect(after.progress.executed == [])
    }
}
