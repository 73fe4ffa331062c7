// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import OCI
import Testing

@Suite struct CopyTests {
    struct Paths: Sendable, CustomTestStringConvertible {
        var line: String
        var source: String
        var destination: String
        var isDirectory: Bool
        var testDescription: String { line }

        init(_ line: String, _ source: String, _ destination: String, _ isDirectory: Bool = false) {
            self.line = line
            self.source = source
            self.destination = destination
            self.isDirectory = isDirectory
        }
    }

    @Test(arguments: [
        Paths("COPY a b", "/a", "/w/b"),
        Paths("COPY a /b", "/a", "/b"),
        Paths("COPY a b/", "/a", "/w/b/", true),
        Paths("COPY a /b/.", "/a", "/b/", true),
        Paths("COPY a .", "/a", "/w/", true),
        Paths("COPY a ./", "/a", "/w/", true),
        Paths("COPY a ..", "/a", "/", true),
        Paths("COPY a ../../../x", "/a", "/x"),
        Paths("COPY a /", "/a", "/", true),
        Paths("COPY a \"\"", "/a", "/w/", true),
        Paths("COPY . .", "/", "/w/", true),
        Paths("COPY ./a//b/./c d", "/a/b/c", "/w/d"),
        Paths("COPY a/../b d", "/b", "/w/d"),
        Paths("COPY dir/ d", "/dir", "/w/d"),
        Paths("COPY /abs d", "/abs", "/w/d"),
        Paths("COPY target/*.jar app.jar", "/target/*.jar", "/w/app.jar"),
        Paths("COPY [\"a b\", \"c\"]", "/a b", "/w/c"),
        Paths("COPY --from=alpine ../../etc/passwd d", "/etc/passwd", "/w/d"),
        Paths("COPY a/\u{301}b c", "/a/\u{301}b", "/w/c"),
    ])
    func paths(_ paths: Paths) async throws {
        let build = try await lowered("FROM scratch\nWORKDIR /w\n\(paths.line)")
        let copy = try #require(build.copies("] COPY").first)
        #expect(copy.source == paths.source)
        #expect(copy.destination == paths.destination)
        #expect(copy.destinationIsDirectory == paths.isDirectory)
        #expect(copy.allowsWildcards)
        #expect(!copy.unpacksArchives)
    }

    @Test func severalSourcesAreOneStep() async throws {
        let build = try await lowered("FROM alpine\nCOPY --chown=app:staff --chmod=0644 a b /d")
        let copies = try build.copies("COPY")
        #expect(copies.map(\.source) == ["/a", "/b"])
        #expect(copies.map(\.input) == [1, 1])
        #expect(copies.allSatisfy { $0.destination == "/d" && $0.destinationIsDirectory })
        #expect(copies.allSatisfy { $0.owner == FileOwner("app:staff") && $0.permissions == .exact(0o644) })
        #expect(
            try build.inputs("COPY") == ["[1/2] FROM docker.io/library/alpine:latest", "[internal] load build context"]
        )
    }

    @Test func flagsAreExpanded() async throws {
        let build = try await lowered(
            "FROM scratch\nARG U=7 M=711\nCOPY --chown=$U:$U --chmod=$M a b\nADD --chown=$NO a /"
        )
        #expect(try build.copies("COPY").first?.owner == FileOwner("7:7"))
        #expect(try build.copies("COPY").first?.permissions == .exact(0o711))
        #expect(try build.copies("ADD").first?.owner == nil)
    }

    @Test func addUnpacks() async throws {
        let build = try await lowered("FROM scratch\nADD a.tar /x\nADD --unpack=false b.tar /x\nADD --unpack c.tar /x")
        #expect(try build.copies("ADD a.tar").first?.unpacksArchives == true)
        #expect(try build.copies("ADD --unpack=false").first?.unpacksArchives == false)
        #expect(try build.copies("ADD --unpack c").first?.unpacksArchives == true)
    }

    @Test func inlineDocuments() async throws {
        let build = try await lowered(
            """
            FROM scratch
            ENV V=1
            COPY <<conf <<-"raw" plain /etc/
            v=$V "q"
            conf
            \tv=$V
            raw
            """
        )
        let copies = try build.copies("COPY")
        #expect(copies.map(\.source) == ["/plain", "/conf", "/raw"])
        #expect(copies.map(\.allowsWildcards) == [true, false, false])
        let files = build.vertices.compactMap { vertex -> FileMakeFile? in
            guard case .file(let op) = vertex.op, case .makeFile(let make) = op.actions.first else { return nil }
            return make
        }
        #expect(files.map { String(decoding: $0.content, as: UTF8.self) } == ["v=1 \"q\"\n", "v=$V\n"])
        #expect(files.map(\.path) == ["/conf", "/raw"])
        #expect(files.allSatisfy { $0.permissions == 0o644 })
        let inputs = try build.vertex("COPY").inputs
        #expect(copies.map(\.input) == [0, 1, 2])
        #expect(inputs.count == 3)
    }

    @Test(arguments: [
        ("COPY . /", []),
        ("COPY /. /", []),
        ("COPY $EMPTY /", []),
        ("COPY a /\nCOPY . /", []),
        ("COPY b/c ./a /\nADD d*.tar /\nCOPY a /x", ["a", "b/c", "d*.tar"]),
        ("COPY e\u{301} /\nCOPY \u{e9} /", ["e\u{301}", "\u{e9}"]),
    ])
    func contextIsNarrowed(_ lines: String, _ expected: [String]) async throws {
        let build = try await lowered("FROM scratch AS unused\nCOPY unused /\nFROM scratch\n\(lines)")
        #expect(build.local?.followPaths.map { Array($0.utf8) } == expected.map { Array($0.utf8) })
    }

    @Test func theContextIsOneStepWithTheIgnoreFile() async throws {
        let build = try await lowered(
            "FROM scratch AS a\nCOPY x /\nFROM scratch\nCOPY --from=a /x /\nCOPY y /",
            testRequest {
                $0.context = .local(name: "main", ignorePatterns: ["*.log", "!keep.log"])
            }
        )
        #expect(
            build.local == LocalOp(name: "main", followPaths: ["x", "y"], excludePatterns: ["*.log", "!keep.log"])
        )
        #expect(build.names.filter { $0 == "[internal] load build context" }.count == 1)
        let none = try await lowered("FROM alpine\nRUN x")
        #expect(none.local == nil)
        #expect(none.context == nil)
    }
}
