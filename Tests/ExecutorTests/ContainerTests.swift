// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import OCI
import Synchronization
import Testing

@testable import Executor

/// Real containers, with each runtime that is installed.
@Suite(.enabled(if: TestContainer.isPossible)) struct ContainerTests {
    static let runtimes = ["crun", "runc"].compactMap { TestContainer.runtime($0) }

    @Test(arguments: runtimes, [(0, "exit 0"), (3, "exit 3"), (127, "nosuch"), (137, "exit 137")])
    func exitCode(runtime: OCIRuntime, expected: (Int32, String)) async throws {
        let outcome = try await TestContainer().run(TestContainer.shell(expected.1), runtime: runtime)
        #expect(outcome.exit == .exited(expected.0))
    }

    @Test(arguments: runtimes, [SIGTERM, SIGKILL, SIGSEGV])
    func endedBySignal(runtime: OCIRuntime, signal: Int32) async throws {
        // The first process of a container gets only signals that it handles, so a child of it has to be hit.
        let script = signal == SIGKILL ? "kill -\(signal) $$; exit 9" : "sh -c 'kill -\(signal) $$'; exit $?"
        let outcome = try await TestContainer().run(TestContainer.shell(script), runtime: runtime)
        #expect(outcome.exit == .exited(signal == SIGKILL ? 9 : 128 + signal))
    }

    @Test(
        arguments: runtimes,
        [
            (["nosuch"], 127, "exec: \"nosuch\": executable file not found in $PATH"),
            (["/no/such"], 127, "exec: \"/no/such\": stat /no/such: no such file or directory"),
            (["/etc/passwd"], 126, "exec: \"/etc/passwd\": permission denied"),
            (["/etc"], 126, "exec: \"/etc\": is a directory"),
            ([], 127, "no command specified"),
        ] as [([String], Int32, String)]
    )
    func notStarted(runtime: OCIRuntime, expected: ([String], Int32, String)) async throws {
        let spec = ProcessSpec(arguments: expected.0, environment: ["PATH=/bin"])
        let outcome = try await TestContainer().run(spec, runtime: runtime)
        #expect(outcome.exit == .notStarted(code: expected.1, reason: expected.2))
    }

    /// What only the runtime finds out.
    @Test(arguments: runtimes) func commandBelowAMountIsMissing(runtime: OCIRuntime) async throws {
        var spec = TestContainer.spec("/tools/nosuch")
        spec.mounts = [ExecutorMount(.tmpfs(size: nil, mode: 0o755), target: "/tools")]
        let outcome = try await TestContainer().run(spec, runtime: runtime)
        #expect(outcome.exit.code == 127, "\(outcome.exit)")
    }

    @Test(arguments: runtimes) func runtimeFailureIsNotAnExitCode(runtime: OCIRuntime) async throws {
        var spec = TestContainer.shell("exit 0")
        spec.mounts = [ExecutorMount(.path("/no/such/source", recursive: false), target: "/x")]
        let container = try TestContainer()
        await #expect { _ = try await container.run(spec, runtime: runtime) } throws: { error in
            (error as? ExecutorError)?.code == .runtimeFailed && "\(error)".contains("/no/such/source")
        }
    }

    @Test(arguments: runtimes) func outputKeepsItsOrder(runtime: OCIRuntime) async throws {
        let script = "i=0; while [ $i -lt 500 ]; do echo $i; i=$((i+1)); done; echo problem >&2"
        let outcome = try await TestContainer().run(TestContainer.shell(script), runtime: runtime)
        #expect(outcome.lines == (0..<500).map { "\($0)" })
        #expect(outcome.errors == "problem\n")
    }

    @Test func readsStandardInput() async throws {
        let pipe = try makePipe()
        try writeBytes(pipe.write.raw, Array("dish".utf8))
        let outcome = try await TestContainer().run(TestContainer.spec("head", "-c", "4"), input: pipe.read)
        #expect(outcome.output == "dish")
    }

    @Test(arguments: runtimes, ["/tmp", "/made/for/it"])
    func startsInDirectory(runtime: OCIRuntime, path: String) async throws {
        var spec = TestContainer.spec("/bin/pwd")
        spec.workingDirectory = path
        #expect(try await TestContainer().run(spec, runtime: runtime).text == path)
    }

    @Test(
        arguments: runtimes,
        [
            ("", "0 0 0 10 /root"),
            ("root", "0 0 0 10 /root"),
            ("cook", "1000 1001 1001 10 1002 /home/cook"),
            ("1000", "1000 1001 1001 10 1002 /home/cook"),
            ("cook:plate", "1000 1002 1002 /home/cook"),
            ("cook:7", "1000 7 7 /home/cook"),
            ("4242", "4242 0 0 /"),
            ("4242:4343", "4242 4343 4343 /"),
        ]
    )
    func userForms(runtime: OCIRuntime, expected: (String, String)) async throws {
        var spec = TestContainer.shell("echo $(id -u) $(id -g) $(id -G) $HOME")
        spec.user = expected.0
        #expect(try await TestContainer().run(spec, runtime: runtime).text == expected.1)
    }

    @Test(arguments: [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("root:chefs", "unable to find group chefs: no matching entries in group file"),
        ("99999999999", "user and group ids must be in the range 0-2147483647, not 99999999999"),
    ])
    func unknownUser(text: String, message: String) async throws {
        var spec = TestContainer.shell("exit 0")
        spec.user = text
        let container = try TestContainer()
        await #expect { _ = try await container.run(spec) } throws: { error in
            (error as? ExecutorError)?.code == .unknownUser && (error as? ExecutorError)?.message == message
        }
    }

    @Test func environment() async throws {
        var spec = TestContainer.shell("echo $A-$HOME-$PATH")
        spec.environment = ["A=x y", "HOME=/elsewhere", "PATH=/bin"]
        #expect(try await TestContainer().run(spec).text == "x y-/elsewhere-/bin")
    }

    @Test(arguments: runtimes) func namesOfHosts(runtime: OCIRuntime) async throws {
        var spec = TestContainer.shell("hostname; cat /etc/hosts")
        spec.hostname = "stove"
        spec.extraHosts = [.init(name: "larder", address: "192.0.2.7"), .init(name: "six", address: "2001:db8::1")]
        let lines = try await TestContainer().run(spec, runtime: runtime).lines
        #expect(lines.first == "stove")
        #expect(lines.contains("127.0.0.1\tlocalhost stove"))
        #expect(lines.contains("192.0.2.7\tlarder"))
        #expect(lines.contains("2001:db8::1\tsix"))
    }

    @Test func resolversAreTheHosts() async throws {
        let host = try readFile("/etc/resolv.conf")
        let outcome = try await TestContainer().run(TestContainer.spec("cat", "/etc/resolv.conf"))
        #expect(outcome.output == String(decoding: host, as: UTF8.self))
    }

    @Test(arguments: runtimes) func networkNoneHasLoopbackOnly(runtime: OCIRuntime) async throws {
        var spec = TestContainer.shell("ls /sys/class/net; ip addr show lo | head -1")
        spec.network = .none
        let lines = try await TestContainer().run(spec, runtime: runtime).lines
        #expect(lines.first == "lo")
        #expect(lines.count == 2)
        #expect(lines.last?.contains("<LOOPBACK,UP,LOWER_UP>") == true)
    }

    @Test(arguments: runtimes) func networkHostIsTheHosts(runtime: OCIRuntime) async throws {
        let outcome = try await TestContainer().run(
            TestContainer.spec("readlink", "/proc/self/ns/net"),
            runtime: runtime
        )
        #expect(try RawPath(outcome.text) == readLink("/proc/self/ns/net"))
    }

    @Test(arguments: runtimes) func limits(runtime: OCIRuntime) async throws {
        var spec = TestContainer.shell("ulimit -Sn; ulimit -Hn; ulimit -c")
        spec.ulimits = [.init(name: "nofile", soft: 100, hard: 200), .init(name: "core", soft: 0, hard: 0)]
        #expect(try await TestContainer().run(spec, runtime: runtime).lines == ["100", "200", "0"])
    }

    @Test(arguments: [
        ProcessSpec.Ulimit(name: "plates", soft: 1, hard: 1), .init(name: "nofile", soft: 9, hard: 3),
    ])
    func invalidLimit(limit: ProcessSpec.Ulimit) async throws {
        var spec = TestContainer.shell("exit 0")
        spec.ulimits = [limit]
        let container = try TestContainer()
        await #expect { _ = try await container.run(spec) } throws: { ($0 as? ExecutorError)?.code == .invalidSpec }
    }

    @Test(arguments: runtimes) func sharedMemory(runtime: OCIRuntime) async throws {
        var spec = TestContainer.shell("df -k /dev/shm | grep shm")
        spec.sharedMemorySize = 8 << 20
        let words = try await TestContainer().run(spec, runtime: runtime).text.split(separator: " ")
        #expect(words.dropFirst().first == "8192")
    }

    @Test(arguments: runtimes, ["", "cook"]) func capabilities(runtime: OCIRuntime, user: String) async throws {
        var spec = TestContainer.shell("grep -E '^(Cap|Seccomp:|NoNew)' /proc/self/status")
        spec.user = user
        let lines = try await TestContainer().run(spec, runtime: runtime).lines.map {
            $0.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }
        let own = user.isEmpty ? "00000000a80425fb" : "0000000000000000"
        #expect(lines.contains("CapEff: \(own)"))
        #expect(lines.contains("CapPrm: \(own)"))
        #expect(lines.contains("CapInh: 0000000000000000"))
        #expect(lines.contains("CapBnd: 00000000a80425fb"))
        #expect(lines.contains("NoNewPrivs: 0"))
        #expect(lines.contains(runtime.filtersSystemCalls ? "Seccomp: 2" : "Seccomp: 0"))
    }

    /// The second container of a runtime gets what crun compiled for the first.
    @Test(arguments: runtimes) func filterStaysWhenItIsReused(runtime: OCIRuntime) async throws {
        let container = try TestContainer()
        for _ in 0..<3 {
            let outcome = try await container.run(
                TestContainer.shell("grep Seccomp: /proc/self/status; mount -t tmpfs x /tmp; unshare -m true"),
                runtime: runtime
            )
            #expect(outcome.text.hasSuffix(runtime.filtersSystemCalls ? "2" : "0"))
            #expect(outcome.exit != .exited(0))
        }
    }

    private final class FiltersInMemory: CompiledFilters {
        private let kept = Mutex([Digest: [UInt8]]())

        var count: Int { kept.withLock { $0.count } }
        func load(_ key: Digest) -> [UInt8]? { kept.withLock { $0[key] } }
        func save(_ key: Digest, _ filter: [UInt8]) { kept.withLock { $0[key] = filter } }
    }

    /// So does the first container of the next process.
    @Test func filterStaysWhenItIsKept() async throws {
        let filters = FiltersInMemory()
        let container = try TestContainer()
        let spec = TestContainer.shell("grep Seccomp: /proc/self/status; mount -t tmpfs x /tmp; unshare -m true")
        for _ in 0..<2 {
            let runtime = try OCIRuntime(filters: filters)
            let outcome = try await container.run(spec, runtime: runtime)
            #expect(outcome.text.hasSuffix(runtime.filtersSystemCalls ? "2" : "0"))
            #expect(outcome.exit != .exited(0))
            guard runtime.filtersSystemCalls, runtime.program.takesCompiledSeccomp else { continue }
            #expect(filters.count == 1)
        }
        let next = try OCIRuntime(filters: filters)
        let filter = next.seccomp.filter(capabilities: spec.capabilities, host: next.host, program: next.program)
        guard case .compiled = filter else {
            #expect(filters.count == 0)
            return
        }
        // Other rights, other rules.
        let other = next.seccomp.filter(capabilities: [], host: next.host, program: next.program)
        guard case .rules = other else { return #expect(Bool(false), "\(other)") }
    }

    @Test(arguments: runtimes) func maskedAndReadOnlyPaths(runtime: OCIRuntime) async throws {
        let script = """
            echo x 2>/dev/null >/proc/sys/kernel/hostname && echo wrote-sys
            touch /sys/x 2>/dev/null && echo wrote-sysfs
            touch /sys/fs/cgroup/x 2>/dev/null && echo wrote-cgroup
            ls /sys/firmware | wc -l
            touch /dev/x /written && echo writable; umask
            """
        let outcome = try await TestContainer().run(TestContainer.shell(script), runtime: runtime)
        #expect(outcome.lines == ["0", "writable", "0022"], "\(outcome)")
    }

    @Test(arguments: runtimes) func readOnlyRoot(runtime: OCIRuntime) async throws {
        var spec = TestContainer.shell("touch /x 2>/dev/null || echo refused")
        spec.readOnlyRoot = true
        // The mount points must be there already.
        let container = try TestContainer()
        let root = try open(container.rootfs, [.directory])
        try makeStubLayer(in: root.raw, stubs: mountPointStubs(for: spec))
        #expect(try await container.run(spec, runtime: runtime).text == "refused")
    }

    @Test(arguments: runtimes) func devicesOfTheHostCannotBeOpened(runtime: OCIRuntime) async throws {
        let script = """
            for f in /node /dev/node /dev/shm/node; do
                mknod $f c 1 5 2>/dev/null; head -c 1 $f >/dev/null 2>&1 && echo opened $f
            done
            head -c 3 /dev/zero | wc -c; echo x >/dev/null && head -c 2 /dev/urandom | wc -c
            """
        let outcome = try await TestContainer().run(TestContainer.shell(script), runtime: runtime)
        #expect(outcome.lines == ["3", "2"], "\(outcome)")
    }

    @Test(arguments: runtimes) func mountsOfAllKinds(runtime: OCIRuntime) async throws {
        let container = try TestContainer()
        let shared = container.directory.appending("shared")
        try makeDirectory(shared)
        try replaceFile(shared.appending("note"), "salt".utf8)
        let descriptor = try open(shared, [.directory, .pathOnly]).shared()
        let file = try open(shared.appending("note"), .readOnly).shared()
        var spec = TestContainer.shell(
            """
            cat /a/note /b/note /c; touch /b/new 2>/dev/null || echo -n ,refused; touch /a/made
            cat /made/deep/note; df -k /t | grep -c 1024
            """
        )
        spec.mounts = [
            ExecutorMount(.path(shared, recursive: true), target: "/a"),
            ExecutorMount(.descriptor(descriptor), target: "/b", readOnly: true),
            ExecutorMount(.descriptor(file), target: "/c", readOnly: true),
            ExecutorMount(.path(shared, recursive: false), target: "/made/deep"),
            ExecutorMount(.tmpfs(size: 1 << 20, mode: 0o700), target: "/t"),
        ]
        let outcome = try await container.run(spec, runtime: runtime)
        #expect(outcome.output == "saltsaltsalt,refusedsalt1\n", "\(outcome)")
        #expect(try statusIfPresent(at: workingDirectory, shared.appending("made")) != nil)
        for name in ["a", "b", "c", "made", "t", "proc", "sys", "dev", "etc/hosts", "etc/resolv.conf"] {
            #expect(try statusIfPresent(at: workingDirectory, container.rootfs.appending(name)) == nil, "\(name)")
        }
    }

    /// Its output ends only when the last process that has it is gone.
    @Test(arguments: runtimes) func backgroundProcessEndsWithTheCommand(runtime: OCIRuntime) async throws {
        let script = "(trap '' HUP TERM; sleep 1000) & echo started"
        let outcome = try await TestContainer().run(TestContainer.shell(script), runtime: runtime)
        #expect(outcome.exit == .exited(0))
        #expect(outcome.output == "started\n")
    }
}
