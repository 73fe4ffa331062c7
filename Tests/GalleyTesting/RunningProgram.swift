// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Foundation
import Glibc
public import LinuxSystem
import Synchronization

/// How a program ended and what it wrote.
public struct ProgramResult: Sendable, CustomStringConvertible {
    public let command: String
    /// The exit code; 128 and the signal's number when a signal ended the program.
    public let status: Int32
    public let outputBytes: [UInt8]
    public let errorBytes: [UInt8]

    /// Standard output.
    public var output: String { String(decoding: outputBytes, as: UTF8.self) }
    /// Standard error.
    public var errors: String { String(decoding: errorBytes, as: UTF8.self) }
    public var succeeded: Bool { status == 0 }

    public var description: String {
        "exit code \(status) of \(command)\n--- output\n\(output.suffix(8000))\n--- errors\n\(errors.suffix(8000))"
    }

    /// The result itself, or an error that tells all of it.
    @discardableResult
    public func get() throws -> ProgramResult {
        guard succeeded else { throw ProgramFailure(description: description) }
        return self
    }
}

public struct ProgramFailure: Error, CustomStringConvertible {
    public let description: String
    public init(description: String) { self.description = description }
}

/// A program that was started. When the value goes away, so does the program.
public final class RunningProgram: Sendable {
    private let process: Process
    private let command: String
    private let files: ScratchDirectory
    private let ended: AsyncStream<Never>
    private let isLate = Mutex(false)

    /// - Parameter environment: all of it; nothing is inherited.
    public init(
        _ path: String,
        _ arguments: [String],
        environment: [String: String],
        directory: RawPath? = nil,
        input: [UInt8] = []
    ) throws {
        files = try ScratchDirectory()
        command = ([path] + arguments).joined(separator: " ")
        process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.environment = environment
        if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory.description) }
        // Files rather than pipes: nothing can fill up, and nobody waits for a grandchild that keeps one open.
        try replaceFile(files.file("input"), input)
        let descriptors = [
            try open(files.file("input"), .readOnly).shared(),
            try open(files.file("output"), [.writeOnly, .create, .append]).shared(),
            try open(files.file("errors"), [.writeOnly, .create, .append]).shared(),
        ]
        process.standardInput = FileHandle(fileDescriptor: descriptors[0].raw, closeOnDealloc: false)
        process.standardOutput = FileHandle(fileDescriptor: descriptors[1].raw, closeOnDealloc: false)
        process.standardError = FileHandle(fileDescriptor: descriptors[2].raw, closeOnDealloc: false)
        let (stream, continuation) = AsyncStream.makeStream(of: Never.self)
        ended = stream
        process.terminationHandler = { _ in continuation.finish() }
        try withExtendedLifetime(descriptors) { try process.run() }
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    public var pid: Int32 { process.processIdentifier }
    public var isRunning: Bool { process.isRunning }

    /// What it has written to standard output until now.
    public func outputSoFar() throws -> String { try text("output") }
    /// What it has written to standard error until now.
    public func errorsSoFar() throws -> String { try text("errors") }

    public func send(_ signal: CInt) { kill(process.processIdentifier, signal) }

    /// Waits for the end. After `limit` the program is killed and an error thrown.
    public func finish(within limit: Duration = hangLimit) async throws -> ProgramResult {
        let result = try await finish(killedAfter: limit)
        guard !isLate.withLock({ $0 }) else {
            throw ProgramFailure(description: "not finished within \(limit): \(result)")
        }
        return result
    }

    /// Waits for the end, which SIGKILL brings after the delay if the program has not ended by itself.
    public func finish(killedAfter delay: Duration) async throws -> ProgramResult {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [self] in
                do { try await Task.sleep(for: delay) } catch { return }
                isLate.withLock { $0 = true }
                send(SIGKILL)
            }
            for await _ in ended {}
            group.cancelAll()
        }
        if Task.isCancelled { send(SIGKILL) }
        // Foundation calls the handler before it says that the program has ended.
        process.waitUntilExit()
        let signalled = process.terminationReason == .uncaughtSignal
        return ProgramResult(
            command: command,
            status: process.terminationStatus + (signalled ? 128 : 0),
            outputBytes: try readFile(files.file("output"), limit: 1 << 31),
            errorBytes: try readFile(files.file("errors"), limit: 1 << 31)
        )
    }

    private func text(_ name: String) throws -> String {
        String(decoding: try readFile(files.file(name), limit: 1 << 31), as: UTF8.self)
    }
}

/// The variables that programs under test get: enough to find other programs, nothing of the user's own settings.
public let plainEnvironment: [String: String] = {
    var result = ["LC_ALL": "C.UTF-8"]
    for name in ["PATH", "TMPDIR", "LD_LIBRARY_PATH"] { result[name] = ProcessInfo.processInfo.environment[name] }
    return result
}()

/// Runs a program to its end. Few run at once, so that limits of time mean something.
public func runProgram(
    _ path: String,
    _ arguments: [String],
    environment: [String: String] = plainEnvironment,
    directory: RawPath? = nil,
    input: [UInt8] = [],
    within limit: Duration = hangLimit
) async throws -> ProgramResult {
    try await ProgramGate.shared.run {
        try await RunningProgram(path, arguments, environment: environment, directory: directory, input: input)
            .finish(within: limit)
    }
}

/// Runs a Bash script and returns its standard output; a failure throws all that it printed.
@discardableResult
public func runScript(
    _ script: String,
    _ arguments: [String] = [],
    environment: [String: String] = plainEnvironment,
    directory: RawPath? = nil
) async throws -> String {
    let words = ["-euo", "pipefail", "-c", script, "bash"] + arguments
    return try await runProgram("/bin/bash", words, environment: environment, directory: directory).get().output
}

/// Lets as many programs run at once as the machine has processors, but at least two.
private actor ProgramGate {
    static let shared = ProgramGate(max(2, ProcessInfo.processInfo.activeProcessorCount))

    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(_ width: Int) { free = width }

    nonisolated func run<R: Sendable>(_ body: @Sendable () async throws -> R) async throws -> R {
        await enter()
        do {
            let result = try await body()
            await leave()
            return result
        } catch {
            await leave()
            throw error
        }
    }

    private func enter() async {
        if free > 0 {
            free -= 1
        } else {
            await withCheckedContinuation { waiting.append($0) }
        }
    }

    private func leave() {
        if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
    }
}
