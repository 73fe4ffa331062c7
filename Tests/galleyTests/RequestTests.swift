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
            standardInput: {
                let (read, write) = try makePipe()
                try writeBytes(write.raw, "FROM x".utf8)
                return read
            }
        )
        return try command.request(input, environment: environment)
    }

    @Test(
        arguments: [
            ([], ["SOURCE_DATE_EPOCH": "7"], "7"), ([], [:], nil), ([], ["SOURCE_DATE_EPOCH": ""], nil),
            (["--build-arg", "SOURCE_DATE_EPOCH=8"], ["SOURCE_DATE_EPOCH": "7"], "8"),
            (["--build-arg", "SOURCE_DATE_EPOCH="], ["SOURCE_DATE_EPOCH": "7"], ""),
            (["--build-arg", "SOURCE_DATE_EPOCH"], ["SOURCE_DATE_EPOCH": "7"], "7"),
        ] as [([String], [String: String], String?)]
    )
    func theEpochOfTheEnvironment(_ words: [String], _ environment: [String: String], _ expected: String?) throws {
        #expect(try build(words + ["."], environment: environment).buildArguments["SOURCE_DATE_EPOCH"] == expected)
    }

    @Test func everything() throws {
        let request = try build(
            [
                "-ta", "--tag", "r.io/b:2", "-f", "x/Dockerfile", "--target", "t", "--build-arg", "A=1=2",
                "--build-arg", "B",
                "--build-arg", "C", "--build-arg=D=", "--label", "k=v", "--label", "bare", "--no-cache", "--pull", "-q",
                "-o", "type=local,dest=out", "-o-", "--push", "--load", "--network", "none", "--add-host", "h:1.2.3.4",
                "--ulimit", "nofile=1:2", "--shm-size", "64m", "--platform", "linux/arm64/v8", "--parallel", "3",
                "--rm", "--build-context", "a=b", "--build-context=c=docker-image://d",
                "ctx",
            ],
            environment: ["B": "b"]
        )
        guard case .location("ctx") = request.context else { throw Unexpected() }
        #expect(request.namedContexts == ["a=b", "c=docker-image://d"])
        #expect(request.tags.map(\.description) == ["docker.io/library/a:latest", "r.io/b:2"])
        #expect(request.targets == ["t"])
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
        let request = try build(["-", "-f", "inside/Dockerfile"])
        guard case .file("inside/Dockerfile") = request.recipe, case .stream(let stream) = request.context else {
            throw Unexpected()
        }
        #expect(try readAll(stream.raw) == Array("FROM x".utf8))
    }

    @Test(arguments: [
        ["-f", "-", "-"], ["--memory", "1g", "."], ["-m1g", "."], ["--cgroup-parent", "x", "."], ["-t", "UPPER", "."],
        ["-t", "a@sha256:0000000000000000000000000000000000000000000000000000000000000000", "."],
        ["--network", "bridge", "."],
        ["--platform", "linux/amd64,nothing/", "."], ["--parallel", "0", "."], ["--parallel", "x", "."],
        ["--label", "=v", "."],
        ["--build-arg", "=v", "."], [], [".", "."], ["--unknown", "."],
    ])
    func refused(_ words: [String]) { #expect(throws: (any Error).self) { try build(words) } }

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
