// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Content
import Executor
import LinuxSystem
import OCI
import Snapshots
import Solver

/// Runs a command in a container; what it changes is the layer.
struct ExecStep {
    struct Result {
        /// Those of the base, and the one that was made.
        var layers: [SnapshotID]
        /// A source changed while it was copied.
        var sourceChanged: Bool
    }

    private let op: ExecOp
    private let info: VertexInfo
    private let environment: StepEnvironment

    init(_ op: ExecOp, _ info: VertexInfo, _ environment: StepEnvironment) {
        self.op = op
        self.info = info
        self.environment = environment
    }

    // MARK: Content

    /// The digest of what the command sees of other inputs than its root; nil when a former input cannot tell any more.
    func contentDigest(_ inputs: [StepValue]) async throws -> Digest? {
        var hasher = Digest.Hasher()
        for copy in mountedCopies {
            let step = FileStep(FileOp(actions: [.copy(copy)], hasBase: true), environment)
            guard let digest = try await step.mountDigest(copy, inputs[copy.input]) else { return nil }
            hasher.update(digest.hex)
        }
        return hasher.finalize()
    }

    /// The inputs that the command sees below its root, as copies.
    private var mountedCopies: [FileCopy] {
        op.mounts.compactMap { mount in
            switch mount.source {
            case .bind(let input, let path):
                return FileCopy(input: input, source: path, allowsWildcards: false, destination: "/")
            case .cache(let cache):
                // What a new cache directory starts with; what it became since then counts for nothing.
                guard let seed = cache.seed else { return nil }
                return FileCopy(input: seed.input, source: seed.path, allowsWildcards: false, destination: "/")
            case .tmpfs, .secret, .ssh: return nil
            }
        }
    }

    // MARK: Running

    func run(_ inputs: [StepValue]) async throws -> Result {
        let base = op.emptyRoot ? [] : try await inputs[0].layers()
        let scratch = try environment.root.makeTemporaryDirectory("run")
        do {
            let events = environment.events
            let now = environment.now
            let id = info.id
            let preparation = MountPreparation(op: op, inputs: inputs, environment: environment, scratch: scratch) {
                events.send(.log(id, .standardError, Array($0.utf8), at: now()))
            }
            let mounts = try await preparation.prepare()
            defer { mounts.release() }
            // Only after all waiting for locks: a command's place is for commands that can run.
            let layer = try await environment.commandSlots.run { try await run(over: base, mounts, scratch) }
            withExtendedLifetime(mounts) {}
            try await blocking { try removeTree(scratch) }
            return Result(layers: base + [layer], sourceChanged: mounts.sourceChanged)
        } catch {
            try? await blocking { try removeTree(scratch) }
            throw error
        }
    }

    private func run(
        over base: [SnapshotID],
        _ mounts: PreparedMounts,
        _ scratch: RawPath
    ) async throws -> SnapshotID {
        let snapshotter = environment.snapshotter
        let spec = try await spec(mounts, over: base)
        let stubs = mountPointStubs(for: spec)
        let (pending, tree) = try await blocking {
            let pending = try snapshotter.begin()
            let stubPath = scratch.appending("stubs")
            try makeDirectory(stubPath, mode: 0o755)
            try setPermissions(at: workingDirectory, stubPath, 0o755)
            let stubDirectory = try open(stubPath, [.directory])
            try makeStubLayer(in: stubDirectory.raw, stubs: stubs)
            try makeDirectory(scratch.appending("bundle"), mode: 0o700)
            return (pending, try snapshotter.writableTree(base, changes: pending, stubs: stubPath))
        }
        try await execute(spec, tree, scratch.appending("bundle"))
        return try await blocking {
            removeStubs(fromUpper: pending.directory.raw, stubs: stubs)
            return try snapshotter.publish(pending)
        }
    }

    private func spec(_ prepared: PreparedMounts, over base: [SnapshotID]) async throws -> ProcessSpec {
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
        spec.securityInsecure = op.security == .insecure
        spec.secretEnvironment = prepared.secretVariables
        if let socket = prepared.agentSocket, !spec.environment.contains(where: { $0.hasPrefix("SSH_AUTH_SOCK=") }) {
            spec.environment.append("SSH_AUTH_SOCK=\(socket)")
        }
        if prepared.mounts.isEmpty { return spec }
        spec.mounts = try await resolved(prepared.mounts, over: base)
        return spec
    }

    /// With targets that lead through no symlink of the image, so that the places for them can be made beside its layers.
    private func resolved(_ mounts: [ExecutorMount], over base: [SnapshotID]) async throws -> [ExecutorMount] {
        let snapshotter = environment.snapshotter
        return try await blocking {
            let tree = try snapshotter.readTree(base)
            let image = StageSource(tree: MergedRoot(owner: tree, root: tree.root.raw))
            var result: [(written: [RawPath], mount: ExecutorMount)] = []
            for mount in mounts {
                let written = try checkedPath(mount.target).components
                var next = mount
                if let parent = result.last(where: { written.starts(with: $0.written) }) {
                    // What the image has there is covered.
                    next.target = (parent.mount.target as String) + "/" + text(written[parent.written.count...])
                } else {
                    next.target = "/" + (try image.resolve(RawPath(mount.target))).description
                }
                guard next.target != "/" else {
                    throw BuildOpsError(.invalidRequest, "invalid mount target \"\(mount.target)\"")
                }
                result.append((written, next))
            }
            return result.map(\.mount)
        }
    }

    private func execute(_ spec: ProcessSpec, _ tree: MergedTree, _ scratch: RawPath) async throws {
        let null = try open("/dev/null", [.readOnly]).shared()
        let output = try LogPipe(.standardOutput, info.id, environment)
        let errors = try LogPipe(.standardError, info.id, environment)
        async let outputEnd: Void = output.forward()
        async let errorEnd: Void = errors.forward()
        let exit: Swift.Result<ProcessExit, any Error>
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

private func text(_ names: ArraySlice<RawPath>) -> String { names.map(\.description).joined(separator: "/") }
