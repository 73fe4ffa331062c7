// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import BuildDefinition
import Builder
import DockerfileFrontend
import LinuxSystem
import OCI
import ProgressUI
import Testing

@testable import galley

@Suite struct RequestTests {
    private func build(_ words: [String], environment: [String: String] = [:]) throws -> BuildRequest {
        let parsed = try GalleyCommand.parseAsRoot(canonicalArguments(["build"] + words))
        let command = try #require(parsed as? BuildCommand)
        let input = try BuildInput(
            context: command.context,
            file: command.file,
            temporaryDirectory: nil,
            standardInput: { Array("FROM x".utf8) }
        )
        defer { input.remove() }
        return try command.request(input, environment: environment)
    }

    @Test func everything() throws {
        let request = try build(
            [
                "-ta", "--tag", "r.io/b:2", "-f", "x/Dockerfile", "--target", "t", "--build-arg", "A=1=2",
                "--build-arg", "B",
                "--build-arg", "C", "--build-arg=D=", "--label", "k=v", "--label", "bare", "--no-cache", "--pull", "-q",
                "-o", "type=local,dest=out", "-o-", "--push", "--load", "--network", "none", "--add-host", "h:1.2.3.4",
                "--ulimit", "nofile=1:2", "--shm-size", "64m", "--platform", "linux/arm64/v8", "--parallel", "3",
                "--rm",
                "ctx",
            ],
            environment: ["B": "b"]
        )
        #expect(request.context == "ctx")
        #expect(request.tags.map(\.description) == ["docker.io/library/a:latest", "r.io/b:2"])
        #expect(request.target == "t")
        #expect(request.buildArguments == ["A": "1=2", "B": "b", "D": ""])
        #expect(request.labels == [.init(key: "k", value: "v"), .init(key: "bare", value: "")])
        #expect(request.noCache == .all)
        #expect(request.pulls && request.pushes && request.loads)
        #expect(request.outputs == ["type=local,dest=out", "-"])
        #expect(request.network == ExecOp.Network.none)
        #expect(request.extraHosts == [.init(name: "h", address: "1.2.3.4")])
        #expect(request.ulimits == [.init(name: "nofile", soft: 1, hard: 2)])
        #expect(request.sharedMemorySize == 64 << 20)
        #expect(request.platforms.map(\.description) == ["linux/arm64"])
        #expect(request.parallelism == 3)
        guard case .file("x/Dockerfile") = request.recipe else { throw Unexpected() }
    }

    private struct Unexpected: Error {}

    @Test func fromStandardInput() throws {
        guard case .text(let bytes) = try build(["-f", "-", "."]).recipe else { throw Unexpected() }
        #expect(bytes == Array("FROM x".utf8))
        let request = try build(["-"])
        guard case .text = request.recipe else { throw Unexpected() }
        #expect(request.context != "-")
        #expect((try? status(at: workingDirectory, RawPath(request.context))) == nil)
    }

    @Test(arguments: [
        ["-f", "-", "-"], ["-f", "x", "-"], ["https://example.com/x.git"], ["git@example.com:x"], ["-t", "UPPER", "."],
        ["-t", "a@sha256:0000000000000000000000000000000000000000000000000000000000000000", "."],
        ["--network", "bridge", "."],
        ["--platform", "linux/amd64,nothing/", "."], ["--parallel", "0", "."], ["--parallel", "x", "."],
        ["--label", "=v", "."],
        ["--build-arg", "=v", "."], [], [".", "."], ["--unknown", "."],
    ])
    func refused(_ words: [String]) { #expect(throws: (any Error).self) { try build(words) } }

    @Test func archives() {
        var tar = [UInt8](repeating: 0, count: 512)
        tar.replaceSubrange(257..<262, with: "ustar".utf8)
        #expect(BuildInput.isArchive(tar))
        #expect(BuildInput.isArchive([0x1f, 0x8b, 8]))
        #expect(!BuildInput.isArchive(Array("FROM scratch".utf8)))
        #expect(!BuildInput.isArchive([]))
    }

    @Test(
        arguments: [
            (["."], nil, "auto"), (["."], "plain", "plain"), (["--progress=tty", "."], "plain", "tty"),
            (["-q", "--progress=tty", "."], nil, "quiet"), (["."], "", "auto"),
        ] as [([String], String?, String)]
    )
    func progress(_ words: [String], _ variable: String?, _ expected: String) throws {
        let command = try #require(try GalleyCommand.parseAsRoot(["build"] + words) as? BuildCommand)
        #expect(try command.progressMode(variable).rawValue == expected)
    }

    @Test func wrongProgress() throws {
        let command = try #require(try GalleyCommand.parseAsRoot(["build", "."]) as? BuildCommand)
        #expect(throws: (any Error).self) { try command.progressMode("fancy") }
    }

    @Test(arguments: [("-", true), ("dest=-,type=tar", true), ("type=oci,dest=x", false), ("out", false)])
    func standardOutput(_ output: String, _ expected: Bool) throws {
        let command = try #require(try GalleyCommand.parseAsRoot(["build", "-o", output, "."]) as? BuildCommand)
        #expect(command.writesToStandardOutput == expected)
    }

    private func run(_ words: [String]) throws -> RunRequest {
        let command = try #require(try GalleyCommand.parseAsRoot(canonicalArguments(["run"] + words)) as? RunCommand)
        let null = try open("/dev/null", .readWrite).shared()
        var request = RunRequest(image: "", standardInput: null, standardOutput: null, standardError: null)
        try command.fill(&request, workingDirectory: "/here")
        return request
    }

    @Test func runs() throws {
        let request = try run([
            "--rm", "-it", "-w", "/w", "-u", "1:2", "--entrypoint", "sh", "--network=none", "-h", "box", "-v",
            "/a:/b:ro",
            "-v./c:/d", "image", "-c", "echo", "--rm", "--help", "--", "-it",
        ])
        #expect(request.image == "image")
        #expect(request.command == ["-c", "echo", "--rm", "--help", "--", "-it"])
        #expect(request.entrypoint == ["sh"])
        #expect(request.workingDirectory == "/w")
        #expect(request.user == "1:2")
        #expect(request.network == RunRequest.Network.none)
        #expect(request.hostname == "box")
        #expect(request.terminal)
        #expect(
            request.volumes == [
                .init(source: "/a", target: "/b", readOnly: true), .init(source: "/here/./c", target: "/d"),
            ]
        )
        #expect(try run(["--entrypoint", "", "x"]).entrypoint == [])
        #expect(try run(["x"]).entrypoint == nil)
        #expect(try run(["--", "x", "-y"]).command == ["-y"])
    }

    @Test(arguments: [
        [], ["--unknown", "x"], ["-v", "name:/x", "x"], ["-v", "/x", "x"], ["-v", "/x:y", "x"], ["-v", "/x:/y:z", "x"],
        ["-v", "/a:/b:ro:x", "x"], ["--network", "bridge", "x"],
    ])
    func refusedRuns(_ words: [String]) { #expect(throws: (any Error).self) { try run(words) } }
}
