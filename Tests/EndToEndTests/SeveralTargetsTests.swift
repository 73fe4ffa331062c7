// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// `--target a --target b`: an image each, and every common step once.
@Suite(.endToEnd) struct SeveralTargetsTests {
    private static let shared = SharedStore()

    private static let dockerfile = """
        FROM alpine:latest AS common
        RUN date +%s%N > /stamp
        FROM common AS one
        RUN echo 1 > /n
        FROM common AS two
        RUN echo 2 > /n
        FROM alpine:latest AS three
        RUN false
        """

    @Test("each target is an image with its names; what they share runs once; others do not run")
    func images() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(Self.dockerfile)
        let options = [
            "--target", "one", "--target", "two", "-t", "one=first:1", "-t", "two=second", "-t", "two=third",
        ]
        let metadata = context.directory.file("metadata.json")
        let record = try await store.record(context, ["--metadata-file", metadata.description, "--no-cache"] + options)
        #expect(record.progress.executed.count == 3)
        #expect(record.progress.steps.count { $0.name.hasPrefix("exporting to image") } == 2)
        let ids = record.id.split(separator: "\n").map(String.init)
        for (id, name) in zip([ids[0], ids[1], ids[1]], ["first:1", "second", "third"]) {
            #expect(try await store.inspect(name)["Id"]?.stringValue == id)
        }
        #expect(try await store.shell("first:1", "cat /n") == "1\n")
        #expect(try await store.shell("second", "cat /n") == "2\n")
        let stamps = try await [store.shell("first:1", "cat /stamp"), store.shell("second", "cat /stamp")]
        #expect(stamps[0] == stamps[1])
        let written = try JSONValue(parsing: readFile(metadata))
        #expect(written["one"]?["containerimage.config.digest"]?.stringValue == ids[0])
        #expect(written["two"]?["image.name"]?.stringValue?.contains("third") == true)
        // Each alone is the same image.
        #expect(try await store.build(context, ["--target", "two"]) == ids[1])
    }

    @Test("files of several targets go to places of their own")
    func files() async throws {
        let store = try await Self.shared.get()
        // The other test asks for the result of its own command in this store.
        let context = try BuildContext(Self.dockerfile.replacing("date", with: "date -u"))
        let out = try ScratchDirectory()
        let options = ["--target", "one", "--target", "two", "-o", "type=local,dest=\(out.path)/{target}"]
        try await store.tryBuild(context, options).get()
        for (name, text) in [("one", "1\n"), ("two", "2\n")] {
            let file = out.path.appending(RawPath(name)).appending("n")
            #expect(try String(decoding: readFile(file), as: UTF8.self) == text)
        }
    }

    @Test(
        "what does not fit together is refused before anything runs",
        arguments: [
            (["--target", "one", "--target", "two", "-t", "app"], "say which: -t one=app"),
            (["--target", "one", "--target", "two", "-o", "type=tar,dest=x.tar"], "put {target} into the destination"),
            (
                ["--target", "one", "--target", "two", "-o", "type=image,name=shared"],
                "put {target} into the name, like name=app-{target}"
            ),
            (["--target", "one", "--target", "one"], "a target is named twice"),
            (["--target", "one", "-t", "two=app"], "add --target two"),
            (["--target", "one", "--target", "four"], "target stage \"four\" could not be found"),
        ]
    )
    func refusals(options: [String], message: String) async throws {
        let store = try await Self.shared.get()
        let result = try await store.tryBuild(try BuildContext(Self.dockerfile), options)
        #expect(result.status == 1)
        #expect(result.errors.contains(message), "\(result.errors)")
        #expect(!result.errors.contains("RUN date"))
    }
}
