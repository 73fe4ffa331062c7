// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import LinuxSystem
import OCI
import Testing

/// RUN, and the options of a build that shape its surroundings.
@Suite(.endToEnd) struct RunTests {
    private static let shared = SharedStore()

    /// What a RUN instruction printed.
    private func output(_ run: String, _ options: [String] = [], before: String = "") async throws -> String {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\n\(before)\nRUN \(run)\n")
        return try await store.record(context, ["--no-cache"] + options).progress.log
    }

    @Test("the exec form runs the program itself: no shell, no variables")
    func execForm() async throws {
        #expect(try await output(#"["/bin/echo", "$HOME", "a  b"]"#) == "$HOME a  b\n")
        #expect(try await output(#"["echo", "found on PATH"]"#) == "found on PATH\n")
    }

    @Test("a heredoc is the script of RUN, or the input of its command")
    func heredocs() async throws {
        #expect(try await output("<<EOF\nset -e\nX=1\necho \"$X\" two\nEOF") == "1 two\n")
        #expect(try await output("cat <<'ONE' - \n$raw text\nONE") == "$raw text\n")
    }

    @Test("continued lines with comments between them")
    func continuations() async throws {
        #expect(try await output("echo one \\\n# a comment\n  two \\\n\n  three") == "one two three\n")
    }

    @Test("standard output and standard error both arrive, also of commands that end without a line break")
    func bothStreams() async throws {
        let log = try await output("echo out; echo err >&2; printf end")
        #expect(log.contains("out\n") && log.contains("err\n") && log.contains("end"))
    }

    @Test("standard input of RUN is empty, and it has no terminal")
    func noInput() async throws {
        #expect(try await output("cat; test -t 1 || echo none") == "none\n")
    }

    @Test("--add-host adds lines to /etc/hosts of RUN, and none to the image")
    func addHost() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext("FROM alpine:latest\nRUN grep -E 'db|cache' /etc/hosts | tr '\\t' ' '")
        let options = ["--add-host", "db:10.1.2.3", "--add-host", "cache=fd00::7"]
        let record = try await store.record(context, tag: "hosts", options).progress
        #expect(record.log.contains("10.1.2.3 db"))
        #expect(record.log.contains("fd00::7 cache"))
        let directory = try ScratchDirectory()
        let archive = directory.file("tree.tar").description
        try await store.build(context, options + ["-o", "type=tar,dest=\(archive)"])
        let hosts = try await runScript(#"tar -xOf "$1" etc/hosts"#, [archive])
        #expect(!hosts.contains("10.1.2.3"))
        #expect(try await !runScript(#"tar -tf "$1""#, [archive]).contains("etc/resolv.conf"))
    }

    @Test("--network none leaves the loopback device only; host has the devices of the host")
    func networks() async throws {
        #expect(try await output("ls /sys/class/net", ["--network", "none"]) == "lo\n")
        let host = try await runScript("ls /sys/class/net")
        #expect(
            try await output("cat /proc/net/dev | sed -n 's/^ *\\([^:]*\\):.*/\\1/p' | sort", ["--network", "host"])
                == host
        )
        #expect(try await output("--network=none ls /sys/class/net") == "lo\n")
    }

    @Test("--ulimit and --shm-size")
    func limits() async throws {
        #expect(try await output("ulimit -n; ulimit -Hn", ["--ulimit", "nofile=100:200"]) == "100\n200\n")
        let size = "df -k /dev/shm | awk 'NR == 2 { print $2 }'"
        #expect(try await output(size, ["--shm-size", "3m"]) == "3072\n")
        #expect(try await output(size) == "65536\n")
    }

    @Test("docker's capabilities, and no more")
    func capabilities() async throws {
        #expect(try await output("grep CapEff /proc/self/status | cut -f 2") == "00000000a80425fb\n")
        let mounting = try await output("mount -t tmpfs none /mnt 2>&1 || echo refused")
        #expect(mounting.hasSuffix("refused\n"))
    }

    @Test("a program of its own process tree: nothing that RUN leaves in the background lives on")
    func background() async throws {
        let marker = "sleep 98765.\(UInt16.random(in: 0 ... .max))"
        #expect(try await output("(\(marker) &) ; echo $$") == "1\n")
        let left = try await runScript(#"pgrep -f "^$1" || true"#, [marker])
        #expect(left == "")
    }

    @Test("a file that RUN removed is gone, and a directory made anew hides the old one")
    func removal() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            """
            FROM alpine:latest
            RUN mkdir /d && touch /d/old /d/older /gone && ln /d/old /hard
            RUN rm /gone /d/older && rm -r /d && mkdir /d && touch /d/new
            RUN ls -A /d; test ! -e /gone; test -e /hard
            """
        )
        #expect(try await store.record(context).progress.log == "new\n")
    }

    @Test("--no-cache runs all steps again; --no-cache-filter those of one stage")
    func noCache() async throws {
        let store = try await Self.shared.get()
        let context = try BuildContext(
            "FROM alpine:latest AS a\nRUN date +%N > /a\nFROM alpine:latest AS b\nRUN date +%N > /b\nCOPY --from=a /a /"
        )
        let first = try await store.build(context)
        #expect(try await store.build(context) == first)
        #expect(try await store.build(context, ["--no-cache"]) != first)
        let record = try await store.record(context, ["--no-cache-filter", "b"]).progress
        #expect(try record.step("RUN date +%N > /a").isCached)
        #expect(try !record.step("RUN date +%N > /b").isCached)
    }

    @Test("--parallel 1 runs one command at a time")
    func oneAtATime() async throws {
        let store = try await Self.shared.get()
        // A directory in a cache that all share: a command fails that finds another one's.
        let run = "RUN --mount=type=cache,id=\(newMarker()),target=/c mkdir /c/lock && sleep 0.2 && rmdir /c/lock"
        let stages = (0..<4).map { "FROM alpine:latest AS s\($0)\n\(run) && mkdir /lock-\($0)\n" }.joined()
        let copies = (0..<4).map { "COPY --from=s\($0) /lock-\($0) /lock-\($0)\n" }.joined()
        let record = try await store.record(try BuildContext(stages + "FROM scratch\n" + copies), ["--parallel", "1"])
        #expect(record.progress.instructions.filter { $0.name.contains("RUN") }.count == 4)
    }
}
