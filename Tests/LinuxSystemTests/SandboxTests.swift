// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import Testing

@Suite(.enabled(if: isRoot), .timeLimit(.minutes(1))) struct SandboxTests {
    private func spec(_ script: String, _ output: SharedFD) throws -> SandboxSpec {
        SandboxSpec(
            arguments: ["/bin/sh", "-c", script],
            environment: ["PATH=/usr/bin:/bin", "DISH=soup"],
            standardInput: try open("/dev/null", .readOnly).shared(),
            standardOutput: output,
            standardError: output
        )
    }

    private func file(_ directory: TemporaryDirectory) throws -> SharedFD {
        try open(at: directory.fd.raw, "output", [.readWrite, .create, .append]).shared()
    }

    @Test(arguments: [("exit 0", ProcessEnd.exited(0)), ("exit 200", .exited(200)), ("kill -9 $$", .signalled(9))])
    func reportsTheEnd(script: String, end: ProcessEnd) async throws {
        let directory = try TemporaryDirectory()
        let sandbox = try await Sandbox.spawn(spec(script, file(directory)))
        #expect(try await sandbox.wait() == .ended(program: end, process: nil))
    }

    @Test func hasItsOwnProcessesAndMounts() async throws {
        let directory = try TemporaryDirectory()
        try makeDirectory(at: directory.fd.raw, "place")
        try makeDirectory(at: directory.fd.raw, "source")
        try directory.write("source/file", "salt")
        var spec = try spec(
            "echo $DISH $$; cat '\(directory.path)/place/file'; ls /proc/self/fd | wc -l",
            file(directory)
        )
        spec.binds = [(.path(directory.path.appending("source")), directory.path.appending("place"))]
        let sandbox = try await Sandbox.spawn(spec)
        #expect(try await sandbox.wait() == .ended(program: .exited(0), process: nil))
        // The program is the second process; it has three descriptors, and ls the one it reads with.
        #expect(try directory.text("output") == "soup 2\nsalt4\n")
        #expect(try directory.names("place").isEmpty)
    }

    /// A copy that nobody can change is executed in place of the path; what cannot be executed so is found by its path.
    @Test func executesAFile() async throws {
        let directory = try TemporaryDirectory()
        let copy = try sealedCopy(of: "/bin/sh").shared()
        #expect(throws: SystemError.self) { try writeBytes(copy.raw, [0]) }
        #expect(throws: SystemError.self) { try setSize(copy.raw, 0) }
        var spec = try spec("readlink /proc/$$/exe; ls /proc/$$/fd; :", file(directory))
        spec.executable = copy
        var sandbox = try await Sandbox.spawn(spec)
        #expect(try await sandbox.wait() == .ended(program: .exited(0), process: nil))
        #expect(try directory.text("output") == "/memfd:sh (deleted)\n0\n1\n2\n")

        try directory.write("script", "#!/bin/sh\nreadlink /proc/$$/fd/3 || echo none\n")
        let script = directory.path.appending("script")
        try setPermissions(at: workingDirectory, script, 0o755)
        spec.arguments = [script.description]
        spec.executable = try sealedCopy(of: script).shared()
        sandbox = try await Sandbox.spawn(spec)
        #expect(try await sandbox.wait() == .ended(program: .exited(0), process: nil))
        #expect(try directory.text("output").hasSuffix("none\n"))
    }

    @Test func bindsDescriptors() async throws {
        let directory = try TemporaryDirectory()
        try makeDirectory(at: directory.fd.raw, "place")
        try makeDirectory(at: directory.fd.raw, "source")
        try directory.write("source/file", "salt")
        var spec = try spec("cat '\(directory.path)/place/file'", file(directory))
        let source = try open(at: directory.fd.raw, "source", [.directory, .pathOnly]).shared()
        spec.binds = [(.descriptor(source), directory.path.appending("place"))]
        let sandbox = try await Sandbox.spawn(spec)
        _ = try await sandbox.wait()
        #expect(try directory.text("output") == "salt")
    }

    /// The program ends at once, the process it names in the pid file later.
    @Test func livesAsLongAsTheProcessInThePidFile() async throws {
        let directory = try TemporaryDirectory()
        let pid = directory.path.appending("pid")
        var spec = try spec(
            "(exec sh -c 'trap \"echo got; exit 7\" USR1; echo ready; while :; do sleep 0.01; done') & echo $! >'\(pid)'",
            file(directory)
        )
        spec.pidFile = pid
        let pipe = try makePipe()
        spec.standardOutput = pipe.write
        let sandbox = try await Sandbox.spawn(spec)
        _ = try await blocking { [read = pipe.read] in
            var line = [UInt8](repeating: 0, count: 6)
            return try line.withUnsafeMutableBytes { buffer throws(SystemError) in try readBytes(read.raw, into: buffer)
            }
        }
        sandbox.forward(SIGUSR1)
        let end = try await sandbox.wait()
        #expect(end == .ended(program: .exited(0), process: .exited(7)))
    }

    @Test func hasStartedWhenTheProgramLeavesTheProcessBehind() async throws {
        let directory = try TemporaryDirectory()
        let pid = directory.path.appending("pid")
        var spec = try spec("(exec sleep 1000) & echo $! >'\(pid)'", file(directory))
        spec.pidFile = pid
        let sandbox = try await Sandbox.spawn(spec)
        await sandbox.waitForStart()
        #expect(try directory.text("pid").isEmpty == false)
        sandbox.kill()
        #expect(try await sandbox.wait() == .killed)
    }

    @Test(arguments: [nil, "none"] as [String?]) func nothingIsWaitedForWhenNothingStarts(_ pid: String?) async throws {
        let directory = try TemporaryDirectory()
        var spec = try spec("exit 3", file(directory))
        spec.pidFile = pid.map { directory.path.appending(RawPath($0)) }
        let sandbox = try await Sandbox.spawn(spec)
        await sandbox.waitForStart()
        #expect(try await sandbox.wait() == .ended(program: .exited(3), process: nil))
    }

    /// What waits for the program is a clone of this process, which may be large and have many at once.
    @Test func keepsNothingOfTheCallersMemory() async throws {
        await #expect(processExitsWith: .success) {
            let blocks = (0..<80_000).map { [UInt8](repeating: 1, count: 1000 + $0 % 7) }
            let pipe = try makePipe()
            let sandbox = try await Sandbox.spawn(
                SandboxSpec(
                    arguments: ["/bin/sh", "-c", "trap 'echo got' USR1; echo ready; while :; do sleep 0.01; done"],
                    environment: ["PATH=/usr/bin:/bin"],
                    standardInput: try open("/dev/null", .readOnly).shared(),
                    standardOutput: pipe.write,
                    standardError: pipe.write
                )
            )
            try await blocking { [read = pipe.read] in
                var line = [UInt8](repeating: 0, count: 6)
                _ = try line.withUnsafeMutableBytes { try readBytes(read.raw, into: $0) }
                // It passes signals on only once it has nothing else to do.
                sandbox.forward(SIGUSR1)
                _ = try line.withUnsafeMutableBytes { try readBytes(read.raw, into: $0) }
            }
            let (own, clones) = (try residentMemory(of: getpid()), try residentMemory(of: sandbox.pid))
            // Of its stack, code and constants what it goes through, with what the kernel maps around each page of a file.
            guard own > 80 << 20, clones < 1 << 20 else { fatalError("\(clones) of \(own) bytes are left") }
            guard blocks.allSatisfy({ $0[0] == 1 }) else { fatalError("this process has lost something") }
            sandbox.kill()
            guard try await sandbox.wait() == .killed else { fatalError("it ended by itself") }
        }
    }

    @Test func killedWithAllItHolds() async throws {
        let directory = try TemporaryDirectory()
        let sandbox = try await Sandbox.spawn(
            spec("trap '' TERM; (trap '' TERM; sleep 1000) & sleep 1000", file(directory))
        )
        sandbox.kill()
        #expect(try await sandbox.wait() == .killed)
    }

    @Test func saysWhichStepFailed() async throws {
        let directory = try TemporaryDirectory()
        var noProgram = try spec("", file(directory))
        noProgram.arguments = ["/no/such/program"]
        var noTarget = try spec("", file(directory))
        noTarget.binds = [(.path("/"), directory.path.appending("absent"))]
        for (spec, operation) in [(noProgram, "execute"), (noTarget, "bind mount")] {
            let sandbox = try await Sandbox.spawn(spec)
            await #expect { try await sandbox.wait() } throws: { error in
                (error as? SystemError)?.errno == ENOENT && (error as? SystemError)?.operation == operation
            }
        }
    }
}

/// In bytes, as proc_pid_smaps(5) says.
private func residentMemory(of pid: Int32) throws -> Int {
    let text = String(decoding: try readFile(RawPath("/proc/\(pid)/smaps_rollup"), limit: 1 << 16), as: UTF8.self)
    let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("Rss:") })
    return try #require(Int(line.split(separator: " ")[1])) << 10
}
