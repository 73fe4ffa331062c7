// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem

/// Runs processes in containers.
public protocol ProcessExecutor: Sendable {
    /// Runs the process to its end.
    ///
    /// When the task is cancelled the process and all its descendants are killed. Returns or throws only after nothing
    /// of them is left, no mount either.
    /// - Parameters:
    ///   - root: its file system, which the process changes. Nobody else may use it meanwhile: mount points are made in it
    ///     and removed again.
    ///   - scratch: an empty directory, absolute path; the caller removes it afterwards.
    /// - Throws: `ExecutorError`, `CancellationError`.
    func run(_ spec: ProcessSpec, root: RootTree, io: ProcessIO, scratch: RawPath) async throws -> ProcessExit
}

/// The root file system of a container.
public enum RootTree: Sendable {
    /// A mount that is attached nowhere yet. Good for one run; the caller closes it.
    case mount(SharedFD)
    /// An absolute path.
    case directory(RawPath)
}

/// The standard descriptors of a process.
public struct ProcessIO: Sendable {
    public var standardInput: SharedFD
    public var standardOutput: SharedFD
    public var standardError: SharedFD

    public init(standardInput: SharedFD, standardOutput: SharedFD, standardError: SharedFD) {
        self.standardInput = standardInput
        self.standardOutput = standardOutput
        self.standardError = standardError
    }
}

/// How a process ended.
public enum ProcessExit: Hashable, Sendable, CustomStringConvertible {
    case exited(Int32)
    case signalled(Int32)
    /// The kernel killed it, or a process of its, for want of memory.
    case outOfMemory
    /// There is no such program in the image (code 127), or it is none (code 126).
    case notStarted(code: Int32, reason: String)

    public var isSuccess: Bool { self == .exited(0) }

    /// The code that docker would report.
    public var code: Int32 {
        switch self {
        case .exited(let code), .notStarted(let code, _): code
        case .signalled(let signal): 128 + signal
        case .outOfMemory: 137
        }
    }

    public var description: String {
        switch self {
        case .exited(let code): "exit code: \(code)"
        case .signalled(let signal): "killed by signal \(signal)\(signalName(signal).map { " (\($0))" } ?? "")"
        case .outOfMemory:
            "killed by the kernel: out of memory (next step: give the machine or its memory limit more, "
                + "or run fewer steps at once)"
        case .notStarted(let code, let reason): "\(reason) (exit code: \(code))"
        }
    }
}

/// signal(7), the numbers that x86-64 and arm64 share.
private func signalName(_ signal: Int32) -> String? {
    let names = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ]
    return names.indices.contains(Int(signal) - 1) ? "SIG" + names[Int(signal) - 1] : nil
}
