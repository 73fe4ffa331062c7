// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// `--output type=cacheonly`: the steps run and are kept, and nothing is made of them.
@Suite(.endToEnd) struct CacheOnlyTests {
    private static let shared = SharedStore()

    @Test("no image and no file is made, and the next build finds every step in the cache")
    func cacheOnly() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nCOPY f /f\nRUN date +%s%N > /stamp\n")
        try context.write("f", "1")
        let id = context.directory.file("id")
        let options = ["-q", "-t", "cache-only:1", "--iidfile", id.description, "-o", "type=cacheonly"]
        #expect(try await store.tryBuild(context, options).get().output == "")
        let image = try await store.galley("inspect", "cache-only:1")
        #expect(throws: (any Error).self) { try image.get() }
        #expect(!TestInstallation.exists(id.description))
        let record = try await store.record(context)
        #expect(record.progress.executed == [])
        #expect(try await store.shell(record.id, "cat /f; test -s /stamp && echo there") == "1there\n")
    }

    @Test("beside another output it changes nothing")
    func besideImage() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nRUN echo beside > /f\n")
        let options = ["-t", "beside:1", "-o", "type=cacheonly", "--load"]
        let id = try await store.build(context, options)
        #expect(try await store.inspect("beside:1")["Id"]?.stringValue == id)
    }

    @Test("a failing step fails the build, and two builds are compared by their files")
    func failures() async throws {
        let store = try await Self.shared.get()
        let failing = try await store.tryBuild(
            try BuildContext("FROM alpine:latest\nRUN exit 3\n"),
            ["-o", "type=cacheonly"]
        )
        #expect(throws: (any Error).self) { try failing.get() }
        let context = try BuildContext("FROM alpine:latest\nRUN echo same > /f && touch -d @1 /f\n")
        let same = try await store.tryBuild(context, ["-o", "type=cacheonly", "--verify-reproducible"])
        #expect(throws: Never.self) { try same.get() }
    }
}
