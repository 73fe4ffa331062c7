// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import OCI
import Testing

@Suite struct MountTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var flags: String
        var mounts: [ExecMount]
        var testDescription: String { flags }

        init(_ flags: String, _ mounts: ExecMount...) {
            self.flags = flags
            self.mounts = mounts
        }
    }

    private static func cache(_ cache: CacheMount, _ target: String, readOnly: Bool = false) -> ExecMount {
        ExecMount(.cache(cache), target: target, readOnly: readOnly)
    }

    private static func bind(_ path: String, _ target: String, input: Int = 1, readOnly: Bool = true) -> ExecMount {
        ExecMount(.bind(input: input, path: path), target: target, readOnly: readOnly)
    }

    private static func secret(_ secret: SecretMount, _ target: String?) -> ExecMount {
        ExecMount(.secret(secret), target: target, readOnly: true)
    }

    private static func agent(_ agent: SSHMount, _ target: String) -> ExecMount {
        ExecMount(.ssh(agent), target: target, readOnly: true)
    }

    static let cases: [Case] = [
        Case("--mount=target=/x", bind("/", "/x")),
        Case("--mount=type=bind,src=a/../b,dst=x,rw", bind("/b", "/w/x", readOnly: false)),
        Case("--mount=source=/a,destination=.,readwrite=false", bind("/a", "/w")),
        Case("--mount=target=", bind("/", "/w")),
        Case("--mount=from=scratch,target=/x", bind("/", "/x")),
        Case("--mount=TYPE=Bind,Target=/x,ro=0", bind("/", "/x", readOnly: false)),
        Case("--mount=type=cache,target=/c", cache(CacheMount(id: "ns//c"), "/c")),
        Case("--mount=type=cache,target=c/../d", cache(CacheMount(id: "ns/d"), "/w/d")),
        Case("--mount=type=cache,target=/c,ro", cache(CacheMount(id: "ns//c"), "/c", readOnly: true)),
        Case(
            "--mount=type=cache,id=i,target=/c,sharing=LOCKED,mode=0700,uid=1,gid=2",
            cache(CacheMount(id: "ns/i", sharing: .locked, permissions: 0o700, uid: 1, gid: 2), "/c")
        ),
        Case(
            "--mount=type=cache,id=$V,target=/c/$V,sharing=private",
            cache(CacheMount(id: "ns/v", sharing: .private), "/c/v")
        ),
        Case(
            "--mount=type=cache,target=/c,from=tools",
            cache(CacheMount(id: "ns//c", seed: .init(input: 1, path: "/")), "/c")
        ),
        Case(
            "--mount=type=cache,target=/c,from=tools,source=t",
            cache(CacheMount(id: "ns//c", seed: .init(input: 1, path: "/t")), "/c")
        ),
        Case("--mount=type=cache,target=/c,from=tools,uid=7", cache(CacheMount(id: "ns//c", uid: 7), "/c")),
        Case(
            "--mount=type=tmpfs,target=/t,size=1.5k --mount=type=tmpfs,target=/s,readonly",
            ExecMount(.tmpfs(size: nil), target: "/s", readOnly: true),
            ExecMount(.tmpfs(size: 1536), target: "/t", readOnly: false)
        ),
        Case("--mount=type=secret,id=s", secret(SecretMount(id: "s"), "/run/secrets/s")),
        Case("--mount=type=secret,id=a/b/", secret(SecretMount(id: "a/b/"), "/run/secrets/b")),
        Case("--mount=type=secret,source=s,target=/x/y", secret(SecretMount(id: "s"), "/x/y")),
        Case("--mount=type=secret,target=/x/y,required", secret(SecretMount(id: "y", isRequired: true), "/x/y")),
        Case(
            "--mount=type=secret,id=s,env=E,required=false",
            secret(SecretMount(id: "s", environmentName: "E"), nil)
        ),
        Case(
            "--mount=type=secret,id=s,env=E,target=/e,mode=440,uid=1,gid=2",
            secret(SecretMount(id: "s", environmentName: "E", permissions: 0o440, uid: 1, gid: 2), "/e")
        ),
        Case("--mount=type=ssh", agent(SSHMount(), "/run/buildkit/ssh_agent.0")),
        Case(
            "--mount=type=ssh,target=/s --mount=type=ssh,id=b,required,mode=666",
            agent(SSHMount(), "/s"),
            agent(SSHMount(id: "b", isRequired: true, permissions: 0o666), "/run/buildkit/ssh_agent.1")
        ),
        Case(
            "--mount=type=secret,id=s --mount=target=/z --mount=from=tools,target=/a/b --mount=type=tmpfs,target=/a",
            ExecMount(.tmpfs(size: nil), target: "/a", readOnly: false),
            bind("/", "/a/b"),
            bind("/", "/z", input: 2),
            secret(SecretMount(id: "s"), "/run/secrets/s")
        ),
        Case("--mount=from=tools,target=/a --mount=from=tools,target=/b", bind("/", "/a"), bind("/", "/b")),
    ]

    @Test(arguments: cases)
    func mounts(_ mount: Case) async throws {
        let build = try await lowered(
            "FROM debian:bookworm-slim AS tools\nRUN t\nFROM alpine\nENV V=v\nWORKDIR /w\nRUN \(mount.flags) cmd",
            testRequest { $0.buildArguments = ["BUILDKIT_CACHE_MOUNT_NS": "ns"] }
        )
        #expect(try build.exec("cmd").mounts == mount.mounts)
        let inputs = try build.inputs("cmd")
        #expect(inputs.first == "[stage-1 2/3] WORKDIR /w")
        for used in mount.mounts {
            if case .bind(let input, _) = used.source { #expect(inputs.indices.contains(input)) }
        }
    }

    @Test func sourcesAreStagesImagesAndTheContext() async throws {
        let resolver = FakeResolver()
        let build = try await lowered(
            """
            FROM golang:1.21-alpine AS tools
            RUN t
            FROM alpine
            RUN --mount=from=TOOLS,target=/a --mount=from=debian:bookworm-slim,target=/b --mount=source=x,target=/c y
            COPY z /
            """,
            testRequest(),
            resolver
        )
        #expect(resolver.requests.count == 3)
        #expect(
            try build.inputs("RUN --mount") == [
                "[stage-1 1/3] FROM docker.io/library/alpine:latest", "[tools 2/2] RUN t",
                "FROM docker.io/library/debian:bookworm-slim", "[internal] load build context",
            ]
        )
        #expect(build.local?.followPaths == ["x", "z"])
        let whole = try await lowered("FROM alpine\nCOPY z /\nRUN --mount=target=/c y")
        #expect(whole.local?.followPaths == [])
        let number = FakeResolver()
        let found = try await diagnostics(
            "FROM alpine AS a\nFROM alpine\nRUN --mount=from=0,target=/a y",
            testRequest(),
            number
        )
        #expect(
            found?.first?.hasPrefix("3:18: 0: failed to resolve source metadata for docker.io/library/0:latest") == true
        )
    }

    @Test func onScratchTheFirstInputIsAMount() async throws {
        let build = try await lowered("FROM scratch\nRUN --mount=target=/a [\"/a/x\"]")
        let op = try build.exec("RUN")
        #expect(op.emptyRoot)
        #expect(op.mounts == [Self.bind("/", "/a", input: 0)])
        #expect(build.names == ["[internal] load build context", "[stage-0 1/1] RUN --mount=target=/a [\"/a/x\"]"])
    }

    @Test func theAgentIsNamed() async throws {
        let build = try await lowered(
            "FROM alpine\nRUN --mount=type=ssh a\nRUN b\nENV SSH_AUTH_SOCK=/mine\nRUN --mount=type=ssh,target=/s c"
        )
        #expect(try build.exec("ssh a").environment.last == "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0")
        #expect(try build.exec("RUN b").environment == ["PATH=/usr/bin:/bin"])
        #expect(try build.exec("target=/s").environment.last == "SSH_AUTH_SOCK=/mine")
        #expect(build.config.env == ["PATH=/usr/bin:/bin", "SSH_AUTH_SOCK=/mine"])
    }

    @Test func secretsAreMaskedInNames() async throws {
        let build = try await lowered("FROM alpine\nENV T=shown\nRUN --mount=type=secret,id=s,env=T use $T\nRUN see $T")
        #expect(
            build.names.suffix(2) == [
                "[stage-0 2/3] RUN --mount=type=secret,id=s,env=T use ****", "[stage-0 3/3] RUN see shown",
            ]
        )
        #expect(build.ownHistory.dropFirst().first == "RUN /bin/sh -c use $T # buildkit")
    }

    @Test func insecureStepsNeedPermission() async throws {
        let text =
            "FROM alpine\nRUN --security=insecure a\nRUN --network=host b\nRUN --security=sandbox --network=none c"
        #expect(
            try await diagnostics(text) == [
                "2:16: security.insecure is not allowed", "3:15: network.host is not allowed",
            ]
        )
        let build = try await lowered(
            text,
            testRequest {
                $0.allowsInsecure = true
                $0.allowsHostNetwork = true
            }
        )
        #expect(try build.exec("RUN --security=insecure").security == .insecure)
        #expect(try build.exec("RUN --network=host").network == .host)
        #expect(try build.exec("RUN --security=sandbox").security == .sandbox)
        #expect(try build.exec("RUN --security=sandbox").network == ExecOp.Network.none)
    }

    @Test(arguments: [("<<EOF", ""), ("<<-'EOF'", "\t")])
    func scriptsAreFiles(_ word: String, _ indent: String) async throws {
        let build = try await lowered(
            "FROM alpine\nSHELL [\"/bin/ash\", \"-c\"]\nRUN --mount=target=/z \(word)\n\(indent)#!/usr/bin/env python\n\(indent)print($X)\nEOF"
        )
        let op = try build.exec("RUN")
        #expect(op.arguments == ["/bin/ash", "-c", "/dev/pipes/EOF"])
        #expect(op.mounts == [Self.bind("/", "/dev/pipes"), Self.bind("/", "/z", input: 2)])
        let file = try build.file("preparing inline document")
        let content = Array("#!/usr/bin/env python\nprint($X)\n".utf8)
        #expect(file.actions == [.makeFile(FileMakeFile(path: "/EOF", permissions: 0o755, content: content))])
        #expect(build.names.last?.hasSuffix("RUN --mount=target=/z \(word) (#!/usr/bin/env python...)") == true)
        #expect(build.ownHistory.last == "RUN /bin/ash -c /dev/pipes/EOF # buildkit")
    }

    @Test(
        arguments: [
            ("0", nil), ("1", 1), ("10b", 10), ("1k", 1024), ("1KB", 1024), ("1KiB", 1024), ("1.5m", 1_572_864),
            ("2 g", 2 << 30),
            ("1t", 1 << 40), ("1p", 1 << 50),
        ] as [(String, Int64?)]
    )
    func sizes(_ text: String, _ bytes: Int64?) async throws {
        let build = try await lowered("FROM alpine\nRUN --mount=\"type=tmpfs,target=/t,size=\(text)\" x")
        #expect(try build.exec("RUN").mounts == [ExecMount(.tmpfs(size: bytes), target: "/t", readOnly: false)])
    }

    @Test(arguments: ["", "-1", "x", "1kk", "1bb", "1x", "1e3", "nan", "99999999p", "1..2", " 5"])
    func otherSizesAreRefused(_ text: String) async throws {
        let found = try await diagnostics("FROM alpine\nRUN --mount=\"type=tmpfs,target=/t,size=\(text)\" x")
        #expect(found?.first?.contains("invalid value for size: \(text)") == true)
    }
}
