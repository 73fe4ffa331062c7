// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import OCI
import Testing

/// Instructions that end up in the image's config and in the environment of commands.
@Suite(.endToEnd) struct ConfigurationTests {
    private static let shared = SharedStore()

    @Test("ENV, LABEL, EXPOSE, VOLUME, USER, WORKDIR, STOPSIGNAL, ENTRYPOINT and CMD arrive in the config")
    func config() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            FROM alpine:latest
            ARG VERSION=7
            ENV A=1 B="two words" C=$VERSION-${MISSING:-fallback}
            ENV A=2 D=$A
            ENV LEGACY the rest of the line
            LABEL org.example.version=$VERSION "with space"='x y'
            EXPOSE 80 443/udp
            VOLUME /data
            VOLUME ["/more"]
            USER 1000:1001
            WORKDIR /srv
            WORKDIR app
            STOPSIGNAL SIGUSR1
            ENTRYPOINT ["/bin/echo", "entry"]
            CMD ["cmd", "$A"]
            """
        )
        try await store.build(context, tag: "config")
        let config = try #require(try await store.inspect("config")["Config"])
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        #expect(
            config["Env"]?.strings == [
                path, "A=2", "B=two words", "C=7-fallback", "D=1", "LEGACY=the rest of the line",
            ]
        )
        #expect(config["Labels"]?["org.example.version"] == "7")
        #expect(config["Labels"]?["with space"] == "x y")
        #expect(config["Labels"]?["org.galley.stand-in"] == "true", "labels of the base stay")
        #expect(config["ExposedPorts"]?.names == ["443/udp", "80/tcp"])
        #expect(config["Volumes"]?.names == ["/data", "/more"])
        #expect(config["User"] == "1000:1001")
        #expect(config["WorkingDir"] == "/srv/app")
        #expect(config["StopSignal"] == "SIGUSR1")
        #expect(config["Entrypoint"]?.strings == ["/bin/echo", "entry"])
        #expect(config["Cmd"]?.strings == ["cmd", "$A"])
        #expect(try await store.run("config", []) == "entry cmd $A\n")
        #expect(try await store.run("config", ["other"]) == "entry other\n")
        let identity = try await store.run(
            "config",
            ["-c", "id -u; id -g; pwd; echo $B; umask"],
            ["--entrypoint", "/bin/sh"]
        )
        #expect(identity == "1000\n1001\n/srv/app\ntwo words\n0022\n")
    }

    @Test("shell forms run through /bin/sh -c; ENTRYPOINT drops the CMD of the base")
    func shellForms() async throws {
        let store = try await Self.shared.get()
        try await store.build(try BuildContext("FROM alpine:latest\nENV A=1\nCMD echo $A *"), tag: "shell-form")
        #expect(try await store.inspect("shell-form")["Config"]?["Cmd"]?.strings == ["/bin/sh", "-c", "echo $A *"])
        #expect(try await store.run("shell-form", []).hasPrefix("1 bin dev etc"))
        try await store.build(try BuildContext("FROM shell-form\nENTRYPOINT [\"/bin/echo\", \"only\"]"), tag: "entry")
        let config = try await store.inspect("entry")["Config"]
        #expect(config?["Cmd"]?.strings ?? [] == [])
        #expect(try await store.run("entry", []) == "only\n")
    }

    @Test("SHELL changes what shell forms run through")
    func shellInstruction() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            "FROM alpine:latest\nSHELL [\"/bin/sh\", \"-e\", \"-c\"]\nRUN echo $- > /flags\nCMD x"
        )
        try await store.build(context, tag: "shell")
        #expect(try await store.inspect("shell")["Config"]?["Cmd"]?.strings == ["/bin/sh", "-e", "-c", "x"])
        #expect(try await store.run("shell", ["cat", "/flags"]).contains("e"))
    }

    @Test("ARG: defaults, --build-arg, before FROM, per stage, never in the image's environment")
    func arguments() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            ARG BASE=does-not-exist
            ARG GLOBAL=global
            FROM $BASE AS first
            ARG GLOBAL
            ARG GIVEN=default
            ARG EMPTY
            RUN echo "$GLOBAL $GIVEN [$EMPTY]" > /one
            FROM first
            RUN echo "[$GIVEN]" > /two
            ARG GIVEN=again
            ENV KEPT=$GIVEN
            ENV GIVEN=env-wins
            RUN echo "$GIVEN" > /three
            """
        )
        let options = ["--build-arg", "BASE=alpine:latest", "--build-arg", "GIVEN=cli"]
        try await store.build(context, tag: "args", options)
        let text = try await store.shell("args", "cat /one /two /three")
        #expect(text == "global cli []\n[cli]\nenv-wins\n")
        let environment = try await store.inspect("args")["Config"]?["Env"]?.strings ?? []
        #expect(environment.dropFirst() == ["KEPT=cli", "GIVEN=env-wins"])
    }

    @Test("--build-arg without a value takes it from the environment; one that nothing uses is warned of")
    func argumentsFromEnvironment() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nARG FROM_ENV\nRUN echo \"got $FROM_ENV\"")
        let result = try await store.galley(
            [
                "build", "--progress", "plain", "--build-arg", "FROM_ENV", "--build-arg", "UNUSED=1", context.path,
            ],
            environment: ["FROM_ENV": "value-of-the-environment"]
        ).get()
        #expect(result.errors.contains("got value-of-the-environment"))
        #expect(result.errors.contains("[UNUSED] were not consumed"))
    }

    @Test("a changed ARG runs what follows its declaration again, and not what comes before")
    func argumentsAndCache() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nRUN echo before\nARG V=1\nRUN echo after")
        try await store.build(context)
        let record = try await store.record(context, ["--build-arg", "V=2"]).progress
        #expect(try record.step("RUN echo before").isCached)
        #expect(try !record.step("RUN echo after").isCached)
    }

    @Test("USER by name, looked up in the image's own passwd and group files, with further groups")
    func users() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            FROM alpine:latest
            RUN echo 'app:x:1234:1234::/home/app:/bin/sh' >> /etc/passwd && printf 'app:x:1234:\\nextra:x:77:app\\n' >> /etc/group
            USER app
            WORKDIR /home/app
            RUN id -u > /tmp/id; id -G >> /tmp/id; echo $HOME >> /tmp/id; chmod 666 /tmp/id
            USER app:extra
            RUN id -g >> /tmp/id
            USER 4321
            RUN id -u >> /tmp/id; id -g >> /tmp/id
            """
        )
        try await store.build(context, tag: "users")
        #expect(try await store.run("users", ["cat", "/tmp/id"]) == "1234\n1234 77\n/home/app\n77\n4321\n0\n")
        #expect(try await store.run("users", ["id", "-u"], ["-u", "app"]) == "1234\n")
        #expect(try await store.inspect("users")["Config"]?["User"] == "4321")
    }

    @Test("--label wins over LABEL")
    func labels() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nLABEL a=file b=file")
        try await store.build(context, tag: "labels", ["--label", "a=cli", "--label", "c=d=e"])
        let labels = try await store.inspect("labels")["Config"]?["Labels"]
        #expect(labels?["a"] == "cli")
        #expect(labels?["b"] == "file")
        #expect(labels?["c"] == "d=e")
    }

    @Test("ONBUILD runs in the image that builds on this one, once")
    func triggers() async throws {
        let store = try await Self.shared.get()
        try await store.build(
            try BuildContext("FROM alpine:latest\nONBUILD COPY seed /seed\nONBUILD RUN echo sown >> /seed"),
            tag: "parent"
        )
        try await store.build(try BuildContext("FROM parent\nRUN cat /seed > /seen", ["seed": "corn\n"]), tag: "child")
        #expect(try await store.run("child", ["cat", "/seen"]) == "corn\nsown\n")
        #expect(try await store.inspect("child")["Config"]?["OnBuild"]?.strings ?? [] == [])
        try await store.build(try BuildContext("FROM child"), tag: "grandchild")
    }

    @Test("HEALTHCHECK in docker's form")
    func healthcheck() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nHEALTHCHECK --interval=5s --retries=2 CMD true || false")
        try await store.build(context, tag: "health")
        let check = try await store.inspect("health")["Config"]?["Healthcheck"]
        #expect(check?["Test"]?.strings == ["CMD-SHELL", "true || false"])
        #expect(check?["Interval"] == 5_000_000_000)
        #expect(check?["Retries"] == 2)
    }
}
