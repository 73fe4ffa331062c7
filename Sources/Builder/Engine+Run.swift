// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildOps
import Content
import DockerfileFrontend
import Executor
import LinuxSystem
import OCI
import Snapshots
public import Solver

extension Engine {
    /// Runs an image's command, or another one, in a container and returns its exit code. What it changes is thrown away.
    ///
    /// When the task is cancelled the container is killed.
    public func run(_ request: RunRequest, events: any SolverEventSink) async throws -> Int32 {
        let (layers, config) = try await imageToRun(request.image, events)
        var spec = try processSpec(request, config)
        spec.terminal = request.terminal
        let scratch = try store.root.makeTemporaryDirectory("run")
        let stubs = mountPointStubs(for: spec)
        let (store, frozen) = (store, spec)
        do {
            let (pending, tree) = try await blocking {
                let stubPath = scratch.appending("stubs")
                try makeDirectory(stubPath, mode: 0o755)
                let stubDirectory = try open(stubPath, [.directory])
                try makeStubLayer(in: stubDirectory.raw, stubs: stubs)
                try makeDirectory(scratch.appending("bundle"), mode: 0o700)
                let pending = try store.snapshots.begin()
                return (pending, try store.snapshots.writableTree(layers, changes: pending, stubs: stubPath))
            }
            let io = ProcessIO(
                standardInput: request.standardInput,
                standardOutput: request.standardOutput,
                standardError: request.standardError
            )
            let exit = try await OCIRuntime(filters: KeptFilters(database: store.database)).run(
                frozen,
                root: .mount(tree.root),
                io: io,
                scratch: scratch.appending("bundle")
            )
            withExtendedLifetime(pending) {}
            try await blocking { try removeTree(scratch) }
            if case .notStarted(let code, let reason) = exit {
                throw UserFacingError(reason, exitCode: code)
            }
            return exit.code
        } catch {
            try? await blocking { try removeTree(scratch) }
            throw error
        }
    }

    private func imageToRun(
        _ name: String,
        _ events: any SolverEventSink
    ) async throws -> ([SnapshotID], ImageConfig) {
        if try local.find(name) == nil {
            _ = try await pull(name, platform: nil, events: events)
        }
        let record = try local.get(name)
        let config = try local.pinnedConfig(record)
        let image = StoredImage(
            record.config,
            config,
            manifest: record.manifest,
            reference: record.reference,
            puller: puller(StepEvents(sink: events)),
            info: nil
        )
        return (try await image.snapshots(), config)
    }

    private func processSpec(_ request: RunRequest, _ config: ImageConfig) throws -> ProcessSpec {
        let entrypoint = request.entrypoint ?? config.entrypoint ?? []
        var command = request.command
        if command.isEmpty, request.entrypoint == nil { command = config.cmd ?? [] }
        let arguments = entrypoint + command
        guard !arguments.isEmpty else {
            throw BuilderError(
                .invalidRequest,
                "no command specified: \(request.image) has neither CMD nor ENTRYPOINT",
                nextStep: "name a command after the image"
            )
        }
        var environment = config.env
        if config.environment("PATH") == nil {
            environment.append("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        }
        if request.terminal { environment.append("TERM=xterm") }
        environment += request.environment
        let directory = request.workingDirectory ?? config.workingDirectory
        var spec = ProcessSpec(
            arguments: arguments,
            environment: lastWins(environment),
            workingDirectory: directory.isEmpty ? "/" : directory
        )
        spec.user = request.user ?? config.user
        spec.network = request.network == .none ? .none : .host
        if let hostname = request.hostname { spec.hostname = hostname } else { spec.hostname = "galley" }
        spec.mounts = request.volumes.map { volume in
            ExecutorMount(
                .path(RawPath(volume.source), recursive: true),
                target: volume.target,
                readOnly: volume.readOnly
            )
        }
        return spec
    }

    /// A variable that is set twice keeps its first place and its last value.
    private func lastWins(_ environment: [String]) -> [String] {
        var order: [Substring] = []
        var values: [Substring: String] = [:]
        for entry in environment {
            let name = entry.prefix { $0 != "=" }
            if values.updateValue(entry, forKey: name) == nil { order.append(name) }
        }
        return order.compactMap { values[$0] }
    }
}
