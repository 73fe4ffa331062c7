// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem

/// A process in a container, started and perhaps ended.
public final class RunningContainer: Sendable {
    private let launch: ContainerLaunch
    private let sandbox: Sandbox?
    private let failure: ProcessExit?
    private let killsBefore: UInt64

    init(_ launch: ContainerLaunch, sandbox: Sandbox) {
        self.launch = launch
        self.sandbox = sandbox
        failure = nil
        killsBefore = launch.runtime.outOfMemoryKills()
    }

    init(_ launch: ContainerLaunch, failure: ProcessExit) {
        self.launch = launch
        sandbox = nil
        self.failure = failure
        killsBefore = 0
    }

    /// The sandbox's first process, as this process sees it; nil when nothing was started.
    var sandboxPID: Int32? { sandbox?.pid }

    /// Kills the process and all its descendants.
    public func kill() { sandbox?.kill() }

    /// Sends the signal to the container's first process, which gets only those it has a handler for (and KILL).
    public func forward(_ signal: Int32) { sandbox?.forward(signal) }

    /// Waits until nothing of the container is left. Call it once.
    public func wait() async throws -> ProcessExit {
        guard let sandbox else { return failure ?? .exited(0) }
        let end: SandboxEnd
        do {
            end = try await sandbox.wait()
        } catch {
            throw ExecutorError(
                .sandboxFailed,
                "cannot start a container",
                nextStep: "Galley needs to make mounts: run it as root with CAP_SYS_ADMIN, or as an ordinary user with "
                    + "subordinate ids on a kernel that allows user namespaces",
                cause: error
            )
        }
        return try await blocking { [self] in try finish(end) }
    }

    private func finish(_ end: SandboxEnd) throws -> ProcessExit {
        defer { launch.removeMountPoints() }
        guard case .ended(let program, let process) = end else { return refined(.signalled(SIGKILL)) }
        if let process {
            launch.keepSeccompFilter()
            return refined(exit(process))
        }
        // Without a process either the runtime stayed in the foreground, or it failed to start one.
        let log = launch.runtimeLog()
        if launch.spec.terminal, log == nil { return refined(exit(program)) }
        if let failure = log?.programFailure { return failure }
        if case .signalled = program, refined(exit(program)) == .outOfMemory { return .outOfMemory }
        throw ExecutorError(
            .runtimeFailed,
            "\(launch.runtime.program.path): \(log?.message ?? exit(program).description)"
        )
    }

    private func exit(_ end: ProcessEnd) -> ProcessExit {
        switch end {
        case .exited(let code): .exited(code)
        case .signalled(let signal): .signalled(signal)
        }
    }

    /// A shell reports the death of its child as 128 + the signal's number.
    private func refined(_ exit: ProcessExit) -> ProcessExit {
        let killed = exit == .signalled(SIGKILL) || exit == .exited(128 + SIGKILL)
        return killed && launch.runtime.outOfMemoryKills() > killsBefore ? .outOfMemory : exit
    }
}
