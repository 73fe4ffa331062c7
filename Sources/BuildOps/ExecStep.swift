// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Content
import Executor
import LinuxSystem
import Snapshots
import Solver

/// Runs a command in a container; what it changes is the layer.
struct ExecStep {
    private let op: ExecOp
    private let info: VertexInfo
    private let environment: StepEnvironment

    init(_ op: ExecOp, _ info: VertexInfo, _ environment: StepEnvironment) {
        self.op = op
        self.info = info
        self.environment = environment
    }

    func run(_ inputs: [StepValue]) async throws -> [SnapshotID] {
        let base = op.emptyRoot ? [] : try await inputs[0].layers()
        return try await environment.commandSlots.run { try await run(over: base) }
    }

    private func run(over base: [SnapshotID]) async throws -> [SnapshotID] {
        let environment = environment
        let spec = spec
        let stubs = mountPointStubs(for: spec)
        let scratch = try environment.root.makeTemporaryDirectory("run")
        do {
            let (pending, tree) = try await blocking {
                let pending = try environment.snapshotter.begin()
                let stubPath = scratch.appending("stubs")
                try makeDirectory(stubPath, mode: 0o755)
                try setPermissions(at: workingDirectory, stubPath, 0o755)
                let stubDirectory = try open(stubPath, [.directory])
                try makeStubLayer(in: stubDirectory.raw, stubs: stubs)
                try makeDirectory(scratch.appending("bundle"), mode: 0o700)
                return (
                    pending, try environment.snapshotter.writableTree(base, changes: pending, stubs: stubPath)
                )
            }
            try await execute(spec, tree, scratch.appending("bundle"))
            let id = try await blocking {
                removeStubs(fromUpper: pending.directory.raw, stubs: stubs)
                return try environment.snapshotter.publish(pending)
            }
            try await blocking { try removeTree(scratch) }
            return base + [id]
        } catch {
            try? await blocking { try removeTree(scratch) }
            throw error
        }
    }

    private var spec: ProcessSpec {
        var spec = ProcessSpec(
            arguments: op.arguments,
            environment: op.environment + op.proxyEnvironment,
            workingDirectory: op.workingDirectory
        )
        spec.user = op.user
        spec.network = op.network == .none ? .none : .host
        spec.hostname = op.hostname
        spec.extraHosts = op.extraHosts.map { ProcessSpec.HostEntry(name: $0.name, address: $0.address) }
        spec.ulimits = op.ulimits.map { ProcessSpec.Ulimit(name: $0.name, soft: $0.soft, hard: $0.hard) }
        if let size = op.sharedMemorySize { spec.sharedMemorySize = size }
        return spec
    }

    private func execute(_ spec: ProcessSpec, _ tree: MergedTree, _ scratch: RawPath) async throws {
        let null = try open("/dev/null", [.readOnly]).shared()
        let output = try LogPipe(.standardOutput, info.id, environment)
        let errors = try LogPipe(.standardError, info.id, environment)
        async let outputEnd: Void = output.forward()
        async let errorEnd: Void = errors.forward()
        let exit: Result<ProcessExit, any Error>
        do {
            let io = ProcessIO(
                standardInput: null,
                standardOutput: try output.takeWriter(),
                standardError: try errors.takeWriter()
            )
            exit = .success(
                try await environment.executor.run(spec, root: .mount(tree.root), io: io, scratch: scratch)
            )
        } catch {
            exit = .failure(error)
        }
        output.closeWriter()
        errors.closeWriter()
        _ = await (outputEnd, errorEnd)
        try Task.checkCancellation()
        let result = try exit.get()
        guard result.isSuccess else {
            throw BuildOpsError(
                .commandFailed,
                "process \"\(op.arguments.joined(separator: " "))\" did not complete successfully: \(result)",
                exitCode: result.code
            )
        }
    }
}

/// A pipe whose bytes become log events.
private final class LogPipe: Sendable {
    private let stream: LogStream
    private let vertex: VertexID
    private let environment: StepEnvironment
    private let read: SharedFD
    private let write: Monitor<SharedFD?>

    init(_ stream: LogStream, _ vertex: VertexID, _ environment: StepEnvironment) throws {
        self.stream = stream
        self.vertex = vertex
        self.environment = environment
        let (read, write) = try makePipe()
        self.read = read
        self.write = Monitor(write)
    }

    /// Readers wait as long as commands run, so they must not take places that other work waits for.
    private static let readers = BlockingPool(limit: 4096)

    /// The end that the command writes to.
    func takeWriter() throws -> SharedFD {
        guard let end = write.withLock({ $0 }) else { preconditionFailure("the writer was closed already") }
        return end
    }

    /// Lets go of this process's hold of the writing end; the reader ends when the command's are closed too.
    func closeWriter() { write.withLock { $0 = nil } }

    /// Sends what arrives until all writing ends are closed.
    func forward() async {
        // A read that fails ends the log, not the step.
        try? await Self.readers.run { [self] in
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 32 << 10, alignment: 16)
            defer { buffer.deallocate() }
            while true {
                let count = try readBytes(read.raw, into: buffer)
                if count == 0 { return }
                environment.events.send(.log(vertex, stream, Array(buffer[..<count]), at: environment.now()))
            }
        }
    }
}
