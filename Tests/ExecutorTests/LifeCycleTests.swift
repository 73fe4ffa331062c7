// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import Synchronization
import Testing

@testable import Executor

/// How containers end when nobody waits for them to.
@Suite(.enabled(if: TestContainer.isPossible), .timeLimit(.minutes(3))) struct LifeCycleTests {
    private static let stubborn =
        "trap '' TERM INT HUP; (trap '' TERM; sleep 1000) & echo ready; sleep 1000; sleep 1000"

    private func descriptors(_ output: SharedFD) throws -> ProcessIO {
        ProcessIO(
            standardInput: try open("/dev/null", .readOnly).shared(),
            standardOutput: output,
            standardError: try open("/dev/null", .writeOnly).shared()
        )
    }

    /// Reads the first line, which tells that the command runs.
    private func waitForLine(_ fd: SharedFD) async throws -> String {
        try await TestContainer.threads.run {
            var bytes = [UInt8]()
            var byte: UInt8 = 0
            while byte != UInt8(ascii: "\n") {
                guard read(fd.raw, &byte, 1) == 1 else { break }
                bytes.append(byte)
            }
            return String(decoding: bytes.dropLast(), as: UTF8.self)
        }
    }

    private func waitForEnd(_ fd: SharedFD) async throws {
        _ = try await TestContainer.threads.run { try readAll(fd.raw) }
    }

    @Test(arguments: ContainerTests.runtimes) func cancellationKillsAllDescendants(runtime: OCIRuntime) async throws {
        let container = try TestContainer()
        let output = Capture(try makePipe())
        let reading = output.read
        let scratch = try container.scratch()
        let rootfs = container.rootfs
        let task = Task {
            let io = try descriptors(output.take())
            return try await runtime.run(
                TestContainer.shell(Self.stubborn),
                root: .directory(rootfs),
                io: io,
                scratch: scratch
            )
        }
        #expect(try await waitForLine(reading) == "ready")
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        try await waitForEnd(reading)
    }

    @Test func cancelledBeforeTheStart() async throws {
        let container = try TestContainer()
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await container.run(TestContainer.shell("touch /ran"))
        }
        await #expect(throws: CancellationError.self) { _ = try await task.value }
        #expect(try statusIfPresent(at: workingDirectory, container.rootfs.appending("ran")) == nil)
    }

    @Test(arguments: ContainerTests.runtimes, [SIGTERM, SIGINT, SIGUSR1])
    func forwardsSignals(runtime: OCIRuntime, signal: Int32) async throws {
        let container = try TestContainer()
        let pipe = try makePipe()
        let script = "trap 'exit 42' \(signal); echo ready; while true; do sleep 0.01; done"
        let running = try await runtime.start(
            TestContainer.shell(script),
            root: .directory(container.rootfs),
            io: descriptors(pipe.write),
            scratch: container.scratch()
        )
        #expect(try await waitForLine(pipe.read) == "ready")
        running.forward(signal)
        #expect(try await running.wait() == .exited(42))
    }

    /// The first process of a container that handles no signals dies of KILL alone.
    @Test(arguments: ContainerTests.runtimes) func killedFromOutside(runtime: OCIRuntime) async throws {
        let container = try TestContainer()
        let pipe = try makePipe()
        let running = try await runtime.start(
            TestContainer.shell(Self.stubborn),
            root: .directory(container.rootfs),
            io: descriptors(pipe.write),
            scratch: container.scratch()
        )
        #expect(try await waitForLine(pipe.read) == "ready")
        running.forward(SIGTERM)
        running.forward(SIGKILL)
        let exit = try await running.wait()
        #expect(exit == .signalled(SIGKILL))
        #expect(exit.description == "killed by signal 9 (SIGKILL)")
    }

    /// The fifo that the container writes to ends only when no process has it any more.
    @Test(arguments: ["crun", "runc"]) func deathOfTheParentLeavesNothing(name: String) async throws {
        try #require(ContainerTests.runtimes.contains { $0.programPath.hasSuffix(name) })
        let container = try TestContainer()
        let fifo = container.directory.appending("fifo")
        try makeNode(at: workingDirectory, fifo, mode: UInt32(S_IFIFO) | 0o600)
        let rootfs: String = container.rootfs.description
        let scratch: String = try container.scratch().description
        let fifoPath: String = fifo.description
        let reading = try open(fifo, [.readOnly, .nonBlocking]).shared()
        _ = fcntl(reading.raw, F_SETFL, 0)
        // Keeps the fifo from ending before the other process has opened it.
        let holding = Capture((reading, try open(fifo, .writeOnly).shared()))
        let mounts = try readFile("/proc/self/mountinfo")

        await #expect(processExitsWith: .signal(SIGKILL)) {
            [
                rootfs = rootfs as String, scratch = scratch as String, fifoPath = fifoPath as String,
                name = name as String
            ] in
            let runtime = try #require(TestContainer.runtime(name))
            let output = try open(RawPath(fifoPath), .writeOnly).shared()
            let back = try open(RawPath(fifoPath), .readOnly).shared()
            _ = try await runtime.start(
                TestContainer.shell("trap '' TERM INT HUP; (trap '' TERM; sleep 1000) & echo ready; sleep 1000"),
                root: .directory(RawPath(rootfs)),
                io: ProcessIO(standardInput: back, standardOutput: output, standardError: output),
                scratch: RawPath(scratch)
            )
            var line = [UInt8](repeating: 0, count: 6)
            while !line.contains(UInt8(ascii: "\n")) {
                _ = try line.withUnsafeMutableBytes { try readBytes(back.raw, into: $0) }
            }
            _ = kill(getpid(), SIGKILL)
        }
        holding.drop()
        try await waitForEnd(reading)
        #expect(try readFile("/proc/self/mountinfo") == mounts)
    }

    @Test(arguments: ContainerTests.runtimes) func twentyAtOnce(runtime: OCIRuntime) async throws {
        let results = try await withThrowingTaskGroup(of: String.self) { group in
            for index in 0..<20 {
                group.addTask {
                    try await TestContainer().run(TestContainer.shell("echo $((\(index) * 2))"), runtime: runtime).text
                }
            }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(results == Set((0..<20).map { "\($0 * 2)" }))
    }

    /// Only while they start do they wait for each other.
    @Test(arguments: ContainerTests.runtimes) func moreRunThanStartAtOnce(runtime: OCIRuntime) async throws {
        let container = try TestContainer()
        let output = try makePipe()
        var running: [RunningContainer] = []
        for _ in 0..<4 * processorCount + 2 {
            running.append(
                try await runtime.start(
                    TestContainer.shell("echo ready; sleep 1000"),
                    root: .directory(container.rootfs),
                    io: descriptors(output.write),
                    scratch: container.scratch()
                )
            )
        }
        for _ in running { #expect(try await waitForLine(output.read) == "ready") }
        for container in running { container.kill() }
        for container in running { #expect(try await container.wait() == .signalled(SIGKILL)) }
    }

    @Test func mountsStayInsideTheSandbox() async throws {
        let container = try TestContainer()
        let before = try readFile("/proc/self/mountinfo")
        let outcome = try await container.run(TestContainer.shell("exit 0"))
        #expect(outcome.exit.isSuccess)
        #expect(try readFile("/proc/self/mountinfo") == before)
    }

    /// The process has a terminal of its own, whose output arrives at ours.
    @Test(arguments: ContainerTests.runtimes) func terminal(runtime: OCIRuntime) async throws {
        var ends: (CInt, CInt) = (-1, -1)
        try #require(openpty(&ends.0, &ends.1, nil, nil, nil) == 0)
        // Children of other tests must not inherit the terminal, and a container that says nothing must not hang this one.
        for end in [ends.0, ends.1] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(ends.0, F_SETFL, O_NONBLOCK)
        let master = OwnedFD(owning: ends.0)
        let slave = OwnedFD(owning: ends.1).shared()
        // The process waits for an answer: crun 1.8 can lose what a process writes to a terminal just before it ends.
        var spec = TestContainer.shell("test -t 0 && test -t 1 && echo on a terminal; tty; read answer; exit 5")
        spec.terminal = true
        let (container, frozen) = (try TestContainer(), spec)
        async let exit = runtime.run(
            frozen,
            root: .directory(container.rootfs),
            io: ProcessIO(standardInput: slave, standardOutput: slave, standardError: slave),
            scratch: container.scratch()
        )
        var text = ""
        while !text.contains("on a terminal") {
            let terminal = master.raw
            text += try await blocking {
                var waiting = pollfd(fd: terminal, events: Int16(POLLIN), revents: 0)
                try #require(poll(&waiting, 1, 120_000) == 1)
                var buffer = [UInt8](repeating: 0, count: 4096)
                let count = try buffer.withUnsafeMutableBytes { try readBytes(terminal, into: $0) }
                return String(decoding: buffer[..<count], as: UTF8.self)
            }
        }
        try writeBytes(master.raw, Array("\n".utf8))
        #expect(try await exit == .exited(5), "\(text)")
    }

    @Test(arguments: [("sh -c 'kill -9 $$'; exit $?", true), ("sh -c 'kill -9 $$'; exit $?", false), ("exit 1", true)])
    func outOfMemory(script: String, killed: Bool) async throws {
        let count = Mutex<UInt64>(0)
        let runtime = try OCIRuntime(RuntimeProgram.find(in: OCIRuntime.defaultSearchPath)) {
            count.withLock {
                $0 += killed ? 1 : 0
                return $0
            }
        }
        let outcome = try await TestContainer().run(TestContainer.shell(script), runtime: runtime)
        let expected: ProcessExit = script == "exit 1" ? .exited(1) : killed ? .outOfMemory : .exited(137)
        #expect(outcome.exit == expected)
    }
}
