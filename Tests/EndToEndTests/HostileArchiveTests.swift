// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import Testing

/// Archives that no honest program writes, given to ADD.
@Suite(.endToEnd) struct HostileArchiveTests {
    private static let shared = SharedStore()

    struct Archive: Sendable, CustomTestStringConvertible {
        let name: String
        let expected: String
        let make: @Sendable (inout TarBuilder) throws -> Void
        var testDescription: String { name }
    }

    private static let refused: [Archive] = [
        Archive(name: "a name with ..", expected: "..") { try $0.file("../galley-hostile", "x") },
        Archive(name: "a name with .. inside", expected: "..") { try $0.file("a/b/../../../galley-hostile", "x") },
        Archive(name: "an absolute name with ..", expected: "..") { try $0.file("/../../galley-hostile", "x") },
        Archive(name: "a hard link to nothing", expected: "nothing-there") {
            try $0.hardLink("link", to: "nothing-there")
        },
        Archive(name: "a hard link to the host's file", expected: "passwd") {
            try $0.hardLink("link", to: "../../../../../../etc/passwd")
        },
        Archive(name: "a hard link through a symlink that leads outside", expected: "host") {
            try $0.symlink("out", to: "/etc")
            try $0.hardLink("link", to: "out/host.conf-that-is-not-in-the-image")
        },
    ]

    @Test("is refused with one message that names the entry", arguments: refused)
    func refusal(_ archive: Archive) async throws {
        let store = try await Self.shared.get()
        let result = try await store.tryBuild(try context(archive))
        #expect(result.status == 1)
        #expect(result.errorLines.count == 1, "\(result)")
        #expect(result.errors.contains("Dockerfile:2"))
        #expect(result.errors.contains(archive.expected), "\(result)")
        try expectNothingOutside(store)
        try await expectHealthy(store)
    }

    private static let tamed: [Archive] = [
        Archive(name: "an absolute name", expected: "x") { try $0.file("/galley-hostile", "x") },
        Archive(name: "a file below a symlink to the host's root", expected: "") {
            try $0.symlink("out", to: "/")
            try $0.file("out/galley-hostile", "x")
        },
        Archive(name: "a file below a symlink with ..", expected: "") {
            try $0.symlink("out", to: "../../../../../../../../tmp")
            try $0.file("out/galley-hostile", "x")
        },
        Archive(name: "a file through a symlink with its own name", expected: "") {
            try $0.symlink("galley-hostile", to: "/tmp/galley-hostile")
            try $0.file("galley-hostile", "x")
        },
    ]

    @Test("stays inside the image", arguments: tamed) func taming(_ archive: Archive) async throws {
        let store = try await Self.shared.get()
        let result = try await store.tryBuild(try context(archive))
        #expect(result.status == 0 || result.errorLines.count == 1, "\(result)")
        if result.status == 0 { #expect(result.errors.contains("galley-hostile"), "it is in the image: \(result)") }
        try expectNothingOutside(store)
        try await expectHealthy(store)
    }

    @Test(
        "damaged archives are refused, not half unpacked and accepted",
        arguments: [
            "truncated", "gzip cut", "gzip damaged",
        ]
    )
    func damage(_ kind: String) async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nADD data.tar /x/")
        try await runScript(
            """
            head -c 3000000 /dev/urandom > big; tar -cf data.tar big; rm big
            case "$1" in
            truncated) truncate -s 1000000 data.tar ;;
            'gzip cut') gzip data.tar; mv data.tar.gz data.tar; truncate -s 1000000 data.tar ;;
            'gzip damaged') gzip data.tar; mv data.tar.gz data.tar
                printf 'damage' | dd of=data.tar bs=1 seek=1500000 conv=notrunc status=none ;;
            esac
            """,
            [kind],
            directory: context.directory.path
        )
        let result = try await store.tryBuild(context)
        #expect(result.status == 1, "\(result)")
        #expect(result.errorLines.count == 1)
        #expect(result.errors.contains("data.tar"))
        try await expectHealthy(store)
    }

    private func context(_ archive: Archive) throws -> BuildContext {
        let context = try BuildContext(
            "FROM alpine:latest\nADD evil.tar /x/\nRUN find / -xdev -name galley-hostile | grep . ; [ -z '\(archive.expected)' ] || cat /x/galley-hostile"
        )
        var builder = TarBuilder()
        try archive.make(&builder)
        try context.write("evil.tar", try builder.bytes())
        return context
    }

    private func expectNothingOutside(_ store: GalleyStore) throws {
        for directory in ["/", "/tmp/", "\(store.root)/", "\(store.root)/tmp/", "\(store.root)/snapshots/"] {
            #expect(!TestInstallation.exists(directory + "galley-hostile"))
        }
    }
}
