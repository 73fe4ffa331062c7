// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLinux
import Glibc
import Synchronization

/// A program to run as the only content of new PID and mount namespaces.
public struct SandboxSpec: Sendable {
    /// Absolute path of the program first.
    public var arguments: [String]
    /// `KEY=value`.
    public var environment: [String]
    public var standardInput: SharedFD
    public var standardOutput: SharedFD
    public var standardError: SharedFD
    /// A detached mount and the directory it is attached to, seen by the program only.
    public var root: (mount: SharedFD, target: RawPath)?
    /// Directories bound over others, seen by the program only.
    public var binds: [(source: RawPath, target: RawPath)] = []
    /// The host's /sys/fs/cgroup is not a cgroup2 file system, which crun wants: give the program one.
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

/// A running sandbox. Whatever it started dies with it, and it dies with this process.
public final class Sandbox: Sendable {
    /// As this process sees it.
    public let pid: Int32
    private let pidfd: SharedFD

    /// Starts the program. All sandboxes are spawned by one thread that never ends, because the kernel ties a child's
    /// death signal to the thread that made it.
    public static func spawn(_ spec: SandboxSpec) async throws -> Sandbox {
        try await spawner.run {
            try Sandbox(spec)
        }
    }

    private static let spawner = BlockingPool(limit: 1)

    private init(_ spec: SandboxSpec) throws {
        var raw = galley_sandbox()
        raw.standard_input = spec.standardInput.raw
        raw.standard_output = spec.standardOutput.raw
        raw.standard_error = spec.standardError.raw
        raw.rootfs_mount = spec.root?.mount.raw ?? -1
        raw.cgroup2 = spec.needsCgroup2 ? 1 : 0
        raw.new_session = spec.newSession ? 1 : 0
        raw.bind_count = spec.binds.count
        var descriptor: CInt = -1
        let arguments = CStrings(spec.arguments)
        let environment = CStrings(spec.environment)
        let sources = CStrings(spec.binds.map(\.source))
        let targets = CStrings(spec.binds.map(\.target))
        let root = CStrings([spec.root?.target ?? ""])
        raw.arguments = arguments.pointer
        raw.environment = environment.pointer
        raw.bind_sources = sources.pointer
        raw.bind_targets = targets.pointer
        raw.rootfs_target = root.pointer[0]
        let pid = withExtendedLifetime((arguments, environment, sources, targets, root)) {
            galley_sandbox_spawn(&raw, &descriptor)
        }
        guard pid > 0 else { throw SystemError.last("clone", spec.arguments.first) }
        self.pid = pid
        pidfd = OwnedFD(owning: descriptor).shared()
    }

    /// Waits for the end and returns the exit code: 128 + the signal's number for a program that a signal ended, 125 when
    /// the program could not be started (the reason was written to its standard error).
    public func wait() async throws -> Int32 {
        let pidfd = pidfd
        return try await blocking {
            var status: CInt = 0
            guard galley_wait_pidfd(pidfd.raw, &status) == 0 else { throw SystemError.last("waitid") }
            return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
        }
    }

    /// Ends the sandbox and everything in it at once.
    public func kill() { _ = galley_pidfd_signal(pidfd.raw, SIGKILL) }
}

/// NUL-terminated strings behind a NULL-terminated array, freed together.
private final class CStrings {
    private let storage: UnsafeMutablePointer<UnsafePointer<CChar>?>
    private let count: Int

    var pointer: UnsafePointer<UnsafePointer<CChar>?> { UnsafePointer(storage) }

    convenience init(_ strings: [String]) { self.init(strings.map { RawPath($0) }) }

    init(_ strings: [RawPath]) {
        count = strings.count
        storage = .allocate(capacity: count + 1)
        for (index, string) in strings.enumerated() {
            let copy = UnsafeMutablePointer<CChar>.allocate(capacity: string.bytes.count + 1)
            for (offset, byte) in string.bytes.enumerated() { copy[offset] = CChar(bitPattern: byte) }
            copy[string.bytes.count] = 0
            storage[index] = UnsafePointer(copy)
        }
        storage[count] = nil
    }

    deinit {
        for index in 0..<count { storage[index]?.deallocate() }
        storage.deallocate()
    }
}
