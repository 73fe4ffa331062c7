// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
public import LinuxSystem
import OCI
import Synchronization

/// Runs processes with crun, or runc where there is no crun.
///
/// Each container lives in a sandbox: a PID and mount namespace of its own that dies with this process, so nothing is
/// left of it whatever happens.
public final class OCIRuntime: ProcessExecutor {
    /// The path of the runtime program.
    public var programPath: String { program.path }
    /// False where the host has no seccomp profile: system calls are not filtered then.
    public var filtersSystemCalls: Bool { seccomp.profile != nil }

    let program: RuntimeProgram
    /// The program's file where it saves time to execute it instead of the path.
    let executable: SharedFD?
    let host: HostFacts
    let seccomp: SeccompCache
    let outOfMemoryKills: @Sendable () -> UInt64
    /// For containers that are being started, of which more at once take memory and save no time: 2 or 3 processes of the
    /// runtime are 6 MiB for 10 ms of a processor.
    private let starts = Slots(4 * processorCount)

    /// - Parameters:
    ///   - searchPath: directories that may hold the runtime; nil is `PATH` and the usual system directories.
    ///   - seccompProfiles: files in docker's format, the first that exists is used; nil is the distribution's.
    ///   - filters: keeps what the profile was compiled to, for other processes.
    /// - Throws: `ExecutorError` when no runtime is found, or the seccomp profile is invalid.
    public convenience init(
        searchPath: [String]? = nil,
        seccompProfiles: [RawPath]? = nil,
        filters: (any CompiledFilters)? = nil
    ) throws {
        try self.init(
            RuntimeProgram.find(in: searchPath ?? Self.defaultSearchPath),
            seccompProfiles: seccompProfiles ?? SeccompProfile.standardPaths,
            filters: filters
        )
    }

    init(
        _ program: RuntimeProgram,
        seccompProfiles: [RawPath] = SeccompProfile.standardPaths,
        filters: (any CompiledFilters)? = nil,
        outOfMemoryKills: @escaping @Sendable () -> UInt64 = HostFacts.outOfMemoryKills
    ) throws {
        self.program = program
        // crun copies itself and starts again, so that no container can write to it, unless nobody can write to what it was
        // started from: that is a fifth of the time that a container takes.
        executable = program.canBeCopied ? try? sealedCopy(of: RawPath(program.path)).shared() : nil
        host = .current
        seccomp = try SeccompCache(SeccompProfile.load(seccompProfiles), kept: filters)
        self.outOfMemoryKills = outOfMemoryKills
    }

    static var defaultSearchPath: [String] {
        let own = getenv("PATH").map { String(cString: $0) } ?? ""
        return own.split(separator: ":").map(String.init)
            + ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    }

    public func run(_ spec: ProcessSpec, root: RootTree, io: ProcessIO, scratch: RawPath) async throws -> ProcessExit {
        try Task.checkCancellation()
        let container = try await start(spec, root: root, io: io, scratch: scratch)
        let exit = await withTaskCancellationHandler {
            await Result { try await container.wait() }
        } onCancel: {
            container.kill()
        }
        try Task.checkCancellation()
        return try exit.get()
    }

    /// Starts the process and returns at once; `wait` must be called on what it returns, also after `kill`.
    public func start(
        _ spec: ProcessSpec,
        root: RootTree,
        io: ProcessIO,
        scratch: RawPath
    ) async throws -> RunningContainer {
        let launch = try await blocking { [self] in
            try ContainerLaunch(spec, root: root, scratch: scratch, runtime: self)
        }
        if let failure = launch.failure { return RunningContainer(launch, failure: failure) }
        do {
            let sandbox = try await starts.run {
                let sandbox = try await Sandbox.spawn(launch.sandbox(io))
                if !spec.terminal {
                    await withTaskCancellationHandler {
                        await sandbox.waitForStart()
                    } onCancel: {
                        sandbox.kill()
                    }
                }
                return sandbox
            }
            return RunningContainer(launch, sandbox: sandbox)
        } catch {
            launch.removeMountPoints()
            throw error
        }
    }
}

extension Result where Failure == any Error, Success: Sendable {
    fileprivate init(_ body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
