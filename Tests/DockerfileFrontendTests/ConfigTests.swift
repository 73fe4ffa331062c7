// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileFrontend
import OCI
import Testing

@Suite struct ConfigTests {
    @Test(arguments: [
        ("EXPOSE 80", ["80/tcp"]),
        ("EXPOSE 80/udp 80/TCP 80", ["80/tcp", "80/udp"]),
        ("EXPOSE 7-9/sctp", ["7/sctp", "8/sctp", "9/sctp"]),
        ("ARG P=\"1 2/udp\"\nEXPOSE $P", ["1/tcp", "2/udp"]),
        ("EXPOSE 127.0.0.1:8080:80 9000:90", ["80/tcp", "90/tcp"]),
        ("EXPOSE [::1]:1:2", ["2/tcp"]),
        ("EXPOSE 9-9", ["9/tcp"]),
        ("EXPOSE 8000-8010:80", ["80/tcp"]),
        ("EXPOSE 65535", ["65535/tcp"]),
    ])
    func ports(_ text: String, _ expected: [String]) async throws {
        #expect(try await lowered("FROM scratch\n\(text)").config.exposedPorts.sorted() == expected)
    }

    @Test func commandsAndEntrypoints() async throws {
        let resolver = FakeResolver(["base:latest": image("base") { $0.entrypoint = ["/e"] }])
        func config(_ text: String) async throws -> ImageConfig {
            try await lowered("FROM base\n\(text)", testRequest(), resolver).config
        }
        let inherited = try await config("")
        #expect(inherited.cmd == ["/bin/sh"])
        #expect(inherited.entrypoint == ["/e"])
        let replaced = try await config("ENTRYPOINT [\"/x\"]")
        #expect(replaced.cmd == nil, "a new entrypoint drops the inherited command")
        #expect(replaced.entrypoint == ["/x"])
        let both = try await config("CMD a\nENTRYPOINT b\nCMD [\"c\"]\nCMD [\"d\"]")
        #expect(both.cmd == ["d"])
        #expect(both.entrypoint == ["/bin/sh", "-c", "b"])
        let before = try await config("CMD [\"c\"]\nENTRYPOINT [\"b\"]")
        #expect(before.cmd == ["c"])
        let empty = try await config("CMD []\nENTRYPOINT []")
        #expect(empty.cmd == nil)
        #expect(empty.entrypoint == nil)
        // The parent stage's CMD is an inherited one for the child.
        let child = try await lowered(
            "FROM base AS a\nCMD [\"c\"]\nFROM a\nENTRYPOINT [\"e\"]",
            testRequest(),
            resolver
        )
        #expect(child.config.cmd == nil)
    }

    @Test func everythingElse() async throws {
        let build = try await lowered(
            """
            FROM scratch
            ENV N=1
            LABEL "a b"=c k$N="v $N" k$N=last
            USER u$N
            VOLUME /v$N "/w"
            STOPSIGNAL ${N}5
            SHELL ["/sh", "-x"]
            MAINTAINER Ann
            HEALTHCHECK --interval=5s --retries=2 CMD ["probe", "x"]
            ONBUILD COPY . /src
            CMD run
            """
        )
        let config = build.config
        #expect(config.labels == ["a b": "c", "k1": "last"])
        #expect(config.user == "u1")
        #expect(config.volumes == ["/v1", "/w"])
        #expect(config.stopSignal == "15")
        #expect(config.shell == ["/sh", "-x"])
        #expect(config.author == "Ann")
        #expect(config.onBuild == ["COPY . /src"])
        #expect(config.cmd == ["/sh", "-x", "run"])
        #expect(
            config.healthcheck
                == ["Test": ["CMD", "probe", "x"], "Interval": .integer(5_000_000_000), "Retries": .integer(2)]
        )
        #expect(build.vertices.isEmpty)
        let none = try await lowered("FROM scratch\nHEALTHCHECK NONE")
        #expect(none.config.healthcheck == ["Test": ["NONE"]])
    }

    @Test func labelsOfTheRequestComeLast() async throws {
        let build = try await lowered(
            "FROM scratch\nLABEL a=file b=file",
            testRequest {
                $0.labels = [.init(key: "a", value: "1"), .init(key: "a", value: "2"), .init(key: "c", value: "")]
            }
        )
        #expect(build.config.labels == ["a": "2", "b": "file", "c": ""])
    }

    @Test func howTheBaseWasBuiltIsNotInherited() async throws {
        let base = image("base") {
            $0.document["docker_version"] = "1.2"
            $0.document["container_config"] = ["Cmd": ["x"]]
            $0.document["moby.buildkit.cache.v0"] = "AAAA"
            $0.document["os.features"] = ["f"]
            $0.document["config"]?["Hostname"] = "abc"
            $0.document["config"]?["Image"] = "sha256:0"
            $0.document["config"]?["OnBuild"] = .null
            $0.volumes = ["/v"]
            $0.workingDirectory = "relative/../dir"
            $0.env = ["A=1"]
        }
        let build = try await lowered("FROM base", testRequest(), FakeResolver(["base:latest": base]))
        let document = try #require(build.config.document.objectValue)
        #expect(document.keys.sorted() == ["architecture", "config", "history", "os", "os.features", "rootfs"])
        #expect(document["config"]?.objectValue?.keys.sorted() == ["Cmd", "Env", "Volumes", "WorkingDir"])
        #expect(build.config.workingDirectory == "/dir")
        #expect(build.config.env == ["A=1", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
    }

    @Test func settingsOfTheRequestReachRun() async throws {
        let build = try await lowered(
            "FROM scratch\nRUN --network=none a\nRUN --network=default b\nRUN c",
            testRequest {
                $0.networkMode = .host
                $0.extraHosts = [.init(name: "h", address: "1.2.3.4")]
                $0.ulimits = [.init(name: "nofile", soft: 1, hard: 2)]
                $0.sharedMemorySize = 1 << 20
                $0.hostname = "box"
            }
        )
        #expect(try build.exec("none a").network == .none)
        #expect(try build.exec("default b").network == .host)
        let run = try build.exec("RUN c")
        #expect(run.network == .host)
        #expect(run.extraHosts == [.init(name: "h", address: "1.2.3.4")])
        #expect(run.ulimits == [.init(name: "nofile", soft: 1, hard: 2)])
        #expect(run.sharedMemorySize == 1 << 20)
        #expect(run.hostname == "box")
        #expect(run.arguments == ["/bin/sh", "-c", "c"])
        let named = testRequest { $0.buildArguments = ["BUILDKIT_SANDBOX_HOSTNAME": "sand"] }
        #expect(try await lowered("FROM scratch\nRUN c", named).exec("RUN c").hostname == "sand")
        let allowed = testRequest { $0.allowsHostNetwork = true }
        #expect(try await lowered("FROM scratch\nRUN --network=host c", allowed).exec("RUN").network == .host)
    }

    @Test func noCache() async throws {
        let text = "FROM alpine AS a\nRUN a\nCOPY x /\nWORKDIR /w\nFROM alpine AS b\nRUN b\nCOPY --from=a / /"
        func ignoring(_ noCache: LoweringRequest.NoCache) async throws -> [String] {
            try await lowered(text, testRequest { $0.noCache = noCache }).vertices
                .filter(\.metadata.ignoresCache).map(\.metadata.name)
        }
        #expect(try await ignoring(.none) == [])
        #expect(try await ignoring(.stages(["B"])) == ["[b 2/3] RUN b", "[b 3/3] COPY --from=a / /"])
        #expect(try await ignoring(.all).count == 5)
    }

    @Test(
        arguments: [
            ("arm64", "v8", "arm64", nil), ("x86_64", nil, "amd64", nil), ("arm", "7", "arm", "v7"),
            ("riscv64", nil, "riscv64", nil),
        ] as [(String, String?, String, String?)]
    )
    func platformsAreSpelledTheUsualWay(
        _ architecture: String,
        _ variant: String?,
        _ expected: String,
        _ expectedVariant: String?
    ) async throws {
        let base = image("base") { $0.platform = Platform(os: "linux", architecture: architecture, variant: variant) }
        let build = try await lowered("FROM base\nRUN x", testRequest(), FakeResolver(["base:latest": base]))
        #expect(build.config.platform == Platform(os: "linux", architecture: expected, variant: expectedVariant))
    }

    @Test func whatIsEmptyIsLeftOut() async throws {
        let base = image("base") {
            $0.document["config"] = ["Entrypoint": [], "OnBuild": [], "Labels": [:], "User": "u"]
        }
        let build = try await lowered("FROM base\nRUN x", testRequest(), FakeResolver(["base:latest": base]))
        #expect(build.config.document["config"]?.objectValue?.keys.sorted() == ["Env", "User"])
    }
}
