// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import OCI
import Testing

@Suite struct RemoteCopyTests {
    private static let digest = "sha256:" + String(repeating: "ab", count: 32)

    @Test(arguments: [
        ("ADD https://x.org/a/f.txt?q=1#z /d/", "https://x.org/a/f.txt?q=1#z", "f.txt"),
        ("ADD http://x.org /d", "http://x.org", "__unnamed__"),
        ("ADD http://x.org/ /d", "http://x.org/", "__unnamed__"),
        ("ADD http://x.org/a/ /d", "http://x.org/a/", "a"),
        ("ADD http://x.org/a%20b /d", "http://x.org/a%20b", "a b"),
        ("ADD http://x.org/a%2Fb /d", "http://x.org/a%2Fb", "b"),
        ("ADD http://x.org/.. /d", "http://x.org/..", "__unnamed__"),
        ("ADD http://x.org/%zz /d", "http://x.org/%zz", "__unnamed__"),
        ("ARG U=https://x.org\nADD $U/f /d", "https://x.org/f", "f"),
    ])
    func webFiles(_ line: String, _ url: String, _ name: String) async throws {
        let (op, copy) = try op(await lowered("FROM scratch\n\(line)"))
        #expect(copy.source == "/" + name)
        #expect(!copy.allowsWildcards && !copy.unpacksArchives)
        #expect(op == .http(HTTPOp(url: url, fileName: name, permissions: 0o600)))
    }

    private func op(_ build: LoweredBuild) throws -> (BuildOp, FileCopy) {
        let step = try #require(build.vertices.last { if case .file = $0.op { true } else { false } })
        guard case .file(let file) = step.op, case .copy(let copy)? = file.actions.first,
            let source = build.graph[step.inputs[copy.input]]
        else { throw FakeResolver.Unknown(description: "no copy") }
        #expect(source.metadata.name == step.metadata.name)
        return (source.op, copy)
    }

    @Test func webOptions() async throws {
        let (op, copy) = try op(
            await lowered(
                "FROM alpine\nADD --checksum=\(Self.digest) --unpack --chown=1 --chmod=u+x --exclude=a https://x.org/f /d"
            )
        )
        #expect(op == .http(HTTPOp(url: "https://x.org/f", checksum: try Digest(Self.digest), fileName: "f")))
        #expect(copy.unpacksArchives)
        #expect(copy.owner == FileOwner("1"))
        #expect(copy.permissions == FilePermissions(parsing: "u+x"))
        #expect(copy.excludePatterns == ["a"])
    }

    @Test(arguments: [
        ("https://x.org/r.git", "", GitOp(remote: "https://x.org/r.git")),
        (
            "git@x.org:r#v1:sub", "--keep-git-dir --checksum=abc",
            GitOp(
                remote: "git@x.org:r",
                reference: "v1",
                checksum: "abc",
                subdirectory: "sub",
                keepsGitDirectory: true
            )
        ),
        (
            "https://x.org/r.git?tag=v1&commit=abc&submodules=0&mtime=commit&keep-git-dir=1",
            "--checksum=abc --keep-git-dir=true",
            GitOp(
                remote: "https://x.org/r.git",
                reference: "refs/tags/v1",
                checksum: "abc",
                keepsGitDirectory: true,
                fetchesSubmodules: false,
                modificationTime: .commit
            )
        ),
        (
            "https://x.org/r.git?ref=v1&commit=abc&fetch-by-commit", "",
            GitOp(remote: "https://x.org/r.git", reference: "abc", checksum: "abc")
        ),
    ])
    func repositories(_ source: String, _ flags: String, _ expected: GitOp) async throws {
        let (op, copy) = try op(await lowered("FROM alpine\nADD \(flags) \(source) /d/"))
        #expect(op == .git(expected))
        #expect(
            copy
                == FileCopy(
                    input: 1,
                    source: "/",
                    allowsWildcards: false,
                    destination: "/d/",
                    destinationIsDirectory: true
                )
        )
    }

    @Test func pathsThatLookLikeRepositoriesAreFiles() async throws {
        let build = try await lowered("FROM scratch\nADD github.com/a/b ftp://x/y x.git /d/")
        #expect(try build.copies("ADD").map(\.source) == ["/github.com/a/b", "/ftp:/x/y", "/x.git"])
        #expect(try build.copies("ADD").allSatisfy(\.unpacksArchives))
    }

    @Test func sourcesMayBeMixed() async throws {
        let build = try await lowered("FROM scratch\nADD a https://x.org/f git://x.org/r <<E /d/\nq\nE")
        #expect(build.local?.followPaths == ["a"])
        let step = try #require(build.vertices.last)
        guard case .file(let op) = step.op else { throw FakeResolver.Unknown(description: "no copy") }
        #expect(op.actions.count == 4)
        #expect(step.inputs.count == 4)
    }

    // MARK: - Links

    @Test func linksAreLayersOfTheirOwn() async throws {
        let build = try await lowered("FROM alpine\nCOPY --link --chown=1 a /d/\nRUN x")
        let copy = try #require(build.vertices.first { $0.metadata.name == "[2/3] COPY --link --chown=1 a /d/" })
        let merge = try build.vertex("[2/3] LINK COPY")
        #expect(copy.op == .file(FileOp(actions: [.copy(try build.copies("] COPY")[0])], hasBase: false)))
        #expect(merge.op == .merge(MergeOp()))
        #expect(merge.inputs.count == 2 && merge.inputs[1] == copy.id)
        #expect(build.layerVertices.first == merge.id)
        #expect(build.layerVertices.count == 2)
        #expect(build.ownHistory.first == "COPY --chown=1 a /d/ # buildkit")
        #expect(merge.metadata.lines == 2...2)
    }

    @Test(arguments: ["COPY --link --chmod=644 a b", "COPY --link=false a b", "ADD --link --chmod=u+x a b"])
    func othersArePlainCopies(_ line: String) async throws {
        let build = try await lowered("FROM alpine\n\(line)")
        #expect(!build.names.contains { $0.contains("LINK") })
        #expect(try build.file(line).hasBase)
    }

    @Test func onNothingALinkIsTheLayer() async throws {
        let build = try await lowered("FROM scratch\nCOPY --link a b\nCOPY --link c d")
        #expect(
            build.names.suffix(3) == ["[1/2] COPY --link a b", "[2/2] COPY --link c d", "[2/2] LINK COPY --link c d"]
        )
        #expect(build.layerVertices.count == 2)
        #expect(Set(build.layerVertices).count == 2)
    }

    @Test func aLinkIsTheSameOnAnyBase() async throws {
        let line = "COPY --link a /x"
        let one = try await lowered("FROM alpine\n\(line)").vertex("] COPY --link")
        let other = try await lowered("FROM golang:1.21-alpine\nRUN y\n\(line)").vertex("] COPY --link")
        #expect(one.id == other.id)
    }

    // MARK: - Parents and patterns

    @Test(arguments: [
        ("a/b/c", "/a/b/c", "/", ["a/b/c"]),
        ("./a/b", "/a/b", "/", ["a/b"]),
        ("a/./b/c", "/a/b/c", "/a", ["a/b/c"]),
        ("/./a", "/a", "/", ["a"]),
        ("a/../b/./c", "/b/c", "/b", ["b/c"]),
        ("a/./b/./c", "/a/b/c", "/a", ["a/b/c"]),
        ("*/./b", "/*/b", "/*", ["*/b"]),
        ("a/**/c", "/a/**/c", "/", ["a"]),
        ("**/c", "/**/c", "/", []),
    ])
    func parents(_ source: String, _ path: String, _ pivot: String, _ follow: [String]) async throws {
        let build = try await lowered("FROM scratch\nCOPY --parents \(source) /d/")
        let copy = try #require(build.copies("COPY").first)
        #expect(copy.source == path)
        #expect(copy.parentsPivot == pivot)
        #expect(build.local?.followPaths == follow)
        #expect(build.ownHistory == ["COPY --parents \(source) /d/ # buildkit"])
    }

    @Test func patternsAreTakenAsWritten() async throws {
        let build = try await lowered("FROM scratch\nENV X=1\nCOPY --exclude=*.o --exclude=$X/** --exclude=!keep a /d")
        #expect(try build.copies("COPY").first?.excludePatterns == ["*.o", "$X/**", "!keep"])
        #expect(build.ownHistory.last == "COPY a /d # buildkit")
        #expect(try build.copies("COPY").first?.parentsPivot == nil)
    }

    @Test func symbolicModes() async throws {
        let build = try await lowered("FROM scratch\nCOPY --chmod=u=rwX,go=rX a /d")
        #expect(try build.copies("COPY").first?.permissions == FilePermissions(parsing: "u=rwX,go=rX"))
        #expect(build.ownHistory == ["COPY --chmod=u=rwX,go=rX a /d # buildkit"])
    }

    @Test(arguments: ["https://me:hush@x.org/f", "https://me:hush@x.org/r.git#main"])
    func passwordsAreNotShown(url: String) async throws {
        let build = try await lowered("FROM alpine\nADD \(url) /d/\n")
        let shown = build.vertices.flatMap { [$0.metadata.name, $0.metadata.instruction ?? ""] } + build.ownHistory
        #expect(!shown.contains { $0.contains("hush") }, "\(shown)")
        // The step itself needs it.
        #expect(
            build.vertices.contains { vertex in
                switch vertex.op {
                case .http(let op): op.url.contains("hush")
                case .git(let op): op.remote.contains("hush")
                default: false
                }
            }
        )
    }
}
