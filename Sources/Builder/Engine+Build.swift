// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildDefinition
import BuildOps
import Content
import DockerfileFrontend
import DockerfileSyntax
import Executor
import Exporters
import LinuxSystem
import OCI
import Snapshots
public import Solver

extension Engine {
    /// Builds an image and hands it to its outputs.
    ///
    /// When the task is cancelled, everything that runs is stopped and waited for. Steps that were finished stay in the
    /// cache, whatever happens to others.
    /// - Throws: `UserFacingError`, `CancellationError`.
    public func build(_ request: BuildRequest, events sink: any SolverEventSink) async throws -> BuildResult {
        let events = StepEvents(sink: sink)
        do {
            let outputs = try BuildOutputs(request)
            let (dockerfile, lowered) = try await lower(request, events)
            for warning in lowered.warnings { sink.send(.warning(nil, warning)) }
            warnOfUnusedArguments(lowered, sink)
            let layers = try await solve(lowered, dockerfile, request, events)
            var result = try await export(lowered, layers, outputs, events)
            result.warnings = lowered.warnings
            return result
        } catch let error as CancellationError {
            throw error
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw describe(error)
        }
    }

    // MARK: Lowering

    private func lower(_ request: BuildRequest, _ events: StepEvents) async throws -> (Dockerfile, LoweredBuild) {
        let reader = try RecipeReader(context: request.context)
        let name = if case .file(let path?) = request.recipe { path } else { "Dockerfile" }
        let recipe = try await events.step("[internal] load build definition from \(name)") { _ in
            try await blocking { try reader.recipe(request.recipe) }
        }
        let dockerfile = try Dockerfile(parsing: recipe.bytes, name: recipe.name)
        let ignorePatterns = try await events.step("[internal] load .dockerignore") { _ in
            try await blocking { try reader.ignorePatterns(recipe) }
        }
        let lowering = LoweringRequest(
            target: request.target,
            buildArguments: request.buildArguments,
            labels: request.labels,
            noCache: request.noCache,
            platform: request.platform,
            networkMode: request.network,
            allowsHostNetwork: request.network == .host,
            extraHosts: request.extraHosts,
            ulimits: request.ulimits,
            sharedMemorySize: request.sharedMemorySize,
            context: .local(name: "context", ignorePatterns: ignorePatterns)
        )
        let images = BaseImages(
            store: store,
            client: client,
            events: events,
            pulls: request.pulls
        )
        return (dockerfile, try await DockerfileFrontend.lower(dockerfile, lowering, resolver: images))
    }

    private func warnOfUnusedArguments(_ lowered: LoweredBuild, _ sink: any SolverEventSink) {
        guard !lowered.unusedBuildArguments.isEmpty else { return }
        let names = lowered.unusedBuildArguments.joined(separator: " ")
        sink.send(
            .warning(nil, BuildWarning(message: "One or more build-args [\(names)] were not consumed"))
        )
    }

    // MARK: Solving

    private func solve(
        _ lowered: LoweredBuild,
        _ dockerfile: Dockerfile,
        _ request: BuildRequest,
        _ events: StepEvents
    ) async throws -> [SnapshotID] {
        guard let target = lowered.result else { return [] }
        let environment = try environment(request, lowered, events)
        let vertices = lowered.graph.reachable(from: [target])
        let solver = Solver(
            ops: vertices.map { BuildStep($0, environment) },
            index: store.cacheIndex,
            events: events.sink,
            now: StepEvents.now
        )
        do {
            let values = try await solver.solve([target])
            return try await values[0].layers()
        } catch let failure as StepFailure {
            let lines = lowered.graph[failure.vertex.id]?.metadata.lines
            throw stepFailure(failure, in: dockerfile, lines: lines, root: settings.root.description)
        }
    }

    private func environment(
        _ request: BuildRequest,
        _ lowered: LoweredBuild,
        _ events: StepEvents
    ) throws -> StepEnvironment {
        let puller = puller(events)
        let store = store
        return StepEnvironment(
            root: store.root,
            snapshotter: store.snapshots,
            executor: LazyRuntime(),
            events: events.sink,
            now: StepEvents.now,
            fileDigests: FileDigestMemory(store.database),
            selectionDigests: SelectionDigestMemory(store.database),
            directories: ["context": .init(path: RawPath(try absolutePath(request.context)))],
            images: { op, info in
                StoredImage(op, store: store, puller: puller, info: info)
            },
            commandSlots: Slots(request.parallelism ?? Int.max)
        )
    }
}

/// The OCI runtime, looked for when the first command runs: a build without RUN needs none.
private final class LazyRuntime: ProcessExecutor {
    private let memo = OnceTask<OCIRuntime>()

    func run(_ spec: ProcessSpec, root: RootTree, io: ProcessIO, scratch: RawPath) async throws -> ProcessExit {
        let runtime = try await memo.value { try await blocking { try OCIRuntime() } }
        return try await runtime.run(spec, root: root, io: io, scratch: scratch)
    }
}
