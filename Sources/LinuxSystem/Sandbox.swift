// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux
import Glibc

/// A program to run as the only content of new PID and mount namespaces.
public struct SandboxSpec: Sendable {
    /// A tree that is attached for the program, seen by nothing else.
    public enum Tree: Sendable {
        /// A mount that is attached nowhere yet. It can be used for one sandbox only.
        case mount(SharedFD)
        /// A file or directory, with what is mounted below it.
        case path(RawPath)
        /// The same by descriptor.
        case descriptor(SharedFD)

        fileprivate var path: RawPath? { if case .path(let path) = self { path } else { nil } }

        /// What is moved to its place. A descriptor's mount belongs to this process's namespace, where the sandbox cannot
        /// bind from, so it gets a copy.
        fileprivate func mount() throws(SystemError) -> SharedFD? {
            switch self {
            case .path: return nil
            case .mount(let fd): return fd
            case .descriptor(let fd):
                let copy = galley_clone_tree(fd.raw)
                guard copy >= 0 else { throw .last("open_tree") }
                return OwnedFD(owning: copy).shared()
            }
        }
    }

    /// Absolute path of the program first.
    public var arguments: [String]
    /// The program's file, to be executed in place of its path where the system lets it.
    public var executable: SharedFD?
    /// `KEY=value`.
    public var environment: [String]
    public var standardInput: SharedFD
    public var standardOutput: SharedFD
    public var standardError: SharedFD
    /// The directory that `root` covers.
    public var root: (source: Tree, target: RawPath)?
    /// Whether device files in `root` work. False keeps a container's root user from the host's disks.
    public var rootDevices = false
    /// An empty directory that gets a file system with the device files every container has; needs root of the machine.
    public var deviceDirectory: RawPath?
    /// Trees attached at existing files or directories.
    public var binds: [(source: Tree, target: RawPath)] = []
    /// The program ends after it has started another process and written its number (as the sandbox sees it) here; the
    /// sandbox lives until that one ends.
    public var pidFile: RawPath?
    /// The host's /sys/fs/cgroup is not a cgroup2 file system, which container runtimes want: give the program one.
    public var needsCgroup2 = false
    /// False keeps the caller's session and terminal, for interactive programs.
    public var newSession = true

    public init(
        arguments: [String],
        environment: [String],
        standardInput: SharedFD,
        standardOutput: SharedFD,
        standardError: SharedFD
    ) {
        self.arguments = arguments
        self.environment = environment
        self.standardInput = standardInput
        self.standardOutput = standardOutput
        self.standardError = standardError
    }
}

/// Whether the host has cgroup version 2 only, where container runtimes look for it.
public func hasUnifiedCgroups() -> Bool { galley_is_cgroup2("/sys/fs/cgroup") != 0 }

/// How a process ended.
public enum ProcessEnd: Hashable, Sendable {
    case exited(Int32)
    case signalled(Int32)

    init(waitStatus: Int32) {
        self = waitStatus & 0x7f == 0 ? .exited((waitStatus >> 8) & 0xff) : .signalled(waitStatus & 0x7f)
    }
}

/// How a sandbox ended.
public enum SandboxEnd: Hashable, Sendable {
    /// The program ended; `process` is what it had named in the pid file, nil when it named none.
    case ended(program: ProcessEnd, process: ProcessEnd?)
    /// Somebody killed the sandbox and with it all it held.
    case killed
}

/// A running sandbox. Whatever it started dies with it, and it dies with this process.
public final class Sandbox: Sendable {
    /// As this process sees it.
    public let pid: Int32
    private let pidfd: SharedFD
    private let report: SharedFD
    private let program: String

    /// Starts the program. All sandboxes are spawned by one thread that never ends, because the kernel ties a child's
    /// death signal to the thread that made it.
    public static func spawn(_ spec: SandboxSpec) async throws -> Sandbox {
        try await spawner.run {
            try Sandbox(spec)
        }
    }

    private static let spawner = BlockingPool(limit: 1)
    /// Of their own: threads that wait for sandboxes must not keep those away that read their output.
    private static let waiters = BlockingPool(limit: 4096)

    private init(_ spec: SandboxSpec) throws {
        let pipe = try makePipe()
        var raw = galley_sandbox()
        raw.standard_input = spec.standardInput.raw
        raw.standard_output = spec.standardOutput.raw
        raw.standard_error = spec.standardError.raw
        raw.report = pipe.write.raw
        raw.executable = spec.executable?.raw ?? -1
        let rootMount = try spec.root?.source.mount()
        raw.rootfs_mount = rootMount?.raw ?? -1
        raw.root_devices = spec.rootDevices ? 1 : 0
        raw.cgroup2 = spec.needsCgroup2 ? 1 : 0
        raw.new_session = spec.newSession ? 1 : 0
        raw.bind_count = spec.binds.count
        let arguments = CStrings(spec.arguments)
        let environment = CStrings(spec.environment)
        let sources = CStrings(spec.binds.map(\.source.path))
        let targets = CStrings(spec.binds.map(\.target))
        let mounts = try spec.binds.map { try $0.source.mount() }
        let mountNumbers = mounts.map { $0?.raw ?? -1 }
        let paths = CStrings([spec.root?.source.path, spec.root?.target, spec.deviceDirectory, spec.pidFile])
        raw.arguments = arguments.pointer
        raw.environment = environment.pointer
        raw.bind_sources = sources.pointer
        raw.bind_targets = targets.pointer
        raw.rootfs_source = paths.pointer[0]
        raw.rootfs_target = paths.pointer[1]
        raw.device_directory = paths.pointer[2]
        raw.pid_file = paths.pointer[3]
        var descriptor: CInt = -1
        let pid = withExtendedLifetime((spec, pipe, rootMount, mounts, arguments, environment, sources, targets, paths))
        {
            mountNumbers.withUnsafeBufferPointer { numbers in
                raw.bind_mounts = numbers.baseAddress
                return galley_sandbox_spawn(&raw, &descriptor)
            }
        }
        guard pid > 0 else { throw SystemError.last("clone", spec.arguments.first) }
        self.pid = pid
        pidfd = OwnedFD(owning: descriptor).shared()
        report = pipe.read
        program = spec.arguments.first ?? ""
    }

    /// Waits until nothing of the sandbox is left. Call it once.
    ///
    /// - Throws: `SystemError` when the sandbox could not be set up, or the program not be executed.
    public func wait() async throws -> SandboxEnd {
        try await Self.waiters.run { [self] in
            var status: CInt = 0
            guard galley_wait_pidfd(pidfd.raw, &status) == 0 else { throw SystemError.last("waitid") }
            // A sandbox that was being made at the same moment may hold the pipe's other end: no waiting for its end.
            _ = fcntl(report.raw, F_SETFL, O_NONBLOCK)
            var result = galley_sandbox_report()
            let size = MemoryLayout<galley_sandbox_report>.size
            repeat {
                guard read(report.raw, &result, size) == size else { return .killed }
            } while step(result) == GALLEY_SANDBOX_STARTED
            if let error = failure(result) { throw error }
            return .ended(
                program: ProcessEnd(waitStatus: result.program),
                process: result.process < 0 ? nil : ProcessEnd(waitStatus: result.process)
            )
        }
    }

    /// Waits until the process of the pid file runs by itself, or the sandbox has ended.
    public func waitForStart() async {
        try? await Self.waiters.run { [self] in
            var wanted = [
                pollfd(fd: report.raw, events: Int16(POLLIN), revents: 0),
                pollfd(fd: pidfd.raw, events: Int16(POLLIN), revents: 0),
            ]
            while poll(&wanted, 2, -1) < 0, errno == EINTR {}
        }
    }

    /// Ends the sandbox and everything in it at once.
    public func kill() { _ = galley_pidfd_signal(pidfd.raw, SIGKILL) }

    /// Passes a signal on to the process named in the pid file, or to the program before that is known.
    public func forward(_ signal: Int32) {
        guard signal != SIGKILL, signal != SIGSTOP else { return kill() }
        _ = galley_pidfd_signal(pidfd.raw, signal)
    }

    private func step(_ report: galley_sandbox_report) -> galley_sandbox_step {
        galley_sandbox_step(rawValue: UInt32(bitPattern: report.failed_step))
    }

    private func failure(_ report: galley_sandbox_report) -> SystemError? {
        func error(_ operation: String, _ path: String? = nil) -> SystemError {
            SystemError(errno: report.error_number, operation: operation, path: path)
        }
        return switch step(report) {
        case GALLEY_SANDBOX_DONE: nil
        case GALLEY_SANDBOX_PRIVATE_MOUNTS: error("make mounts private")
        case GALLEY_SANDBOX_PROC: error("mount", "/proc")
        case GALLEY_SANDBOX_CGROUP2: error("mount cgroup2", "/sys/fs/cgroup")
        case GALLEY_SANDBOX_ROOT: error("attach the root file system")
        case GALLEY_SANDBOX_DEVICES: error("make device files")
        case GALLEY_SANDBOX_BIND: error("bind mount")
        case GALLEY_SANDBOX_EXECUTE: error("execute", program)
        default: error("start", program)
        }
    }
}

/// NUL-terminated strings behind a NULL-terminated array, freed together.
private final class CStrings {
    private let storage: UnsafeMutablePointer<UnsafePointer<CChar>?>
    private let count: Int

    var pointer: UnsafePointer<UnsafePointer<CChar>?> { UnsafePointer(storage) }

    convenience init(_ strings: [String]) { self.init(strings.map { RawPath($0) }) }

    init(_ strings: [RawPath?]) {
        count = strings.count
        storage = .allocate(capacity: count + 1)
        for (index, string) in strings.enumerated() {
            storage[index] = string.map { UnsafePointer(Self.copy($0)) }
        }
        storage[count] = nil
    }

    private static func copy(_ string: RawPath) -> UnsafeMutablePointer<CChar> {
        let copy = UnsafeMutablePointer<CChar>.allocate(capacity: string.bytes.count + 1)
        for (offset, byte) in string.bytes.enumerated() { copy[offset] = CChar(bitPattern: byte) }
        copy[string.bytes.count] = 0
        return copy
    }

    deinit {
        for index in 0..<count { storage[index]?.deallocate() }
        storage.deallocate()
    }
}
