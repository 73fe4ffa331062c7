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
import Registry
import Snapshots
public import Solver

extension Engine {
    /// Builds an image and hands it to its outputs.
    ///
    /// When the task is cancelled, everything that runs is stopped and waited for. Steps that were finished stay in the
    /// cache, whatever happens to others.
    /// - Throws: `UserFacingError`, `CancellationError`.
    public func build(_ request: BuildRequest, events sink: any SolverEventSink) async throws -> BuildResult {
        do {
            let provisions = try Provisions(request, environment: settings.environment, root: store.root)
            let result: Result<BuildResult, any Error>
            do {
                result = .success(try await build(request, provisions, BuildChronicle(sink)))
            } catch {
                result = .failure(error)
            }
            await provisions.close()
            return try result.get()
        } catch let error as CancellationError {
            throw error
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw describe(error)
        }
    }

    private func build(
        _ wanted: BuildRequest,
        _ provisions: Provisions,
        _ chronicle: BuildChronicle
    ) async throws -> BuildResult {
        var request = wanted
        if request.verifiesReproducibility { request.noCache = .all }
        let events = StepEvents(sink: chronicle)
        let outputs = try BuildOutputs.ofEachTarget(request)
        for output in outputs { try output.check(platforms: request.platforms) }
        let contexts = try await contexts(request, events, provisions, witness: chronicle)
        let plan = try await plan(request, contexts, events)
        for warning in plan.warnings { events.sink.send(.warning(nil, warning)) }
        let inquiry = BuildInquiry(plan, request, contexts, store.history, chronicle)
        async let answers: Void = inquiry.answer()
        do {
            let layers: [[SnapshotID]]
            var reproduced: ReproducedResult?
            if request.verifiesReproducibility {
                (layers, reproduced) = try await solveTwice(plan, contexts.environment, outputs[0], events)
            } else {
                var environment = contexts.environment
                if outputs.allSatisfy({ !$0.readTrees }) { environment.unreadSteps = plan.unreadSteps }
                layers = try await solve(plan, environment, events)
            }
            inquiry.stop()
            // Beside the outputs, so that little is left for the end.
            async let flushed: Void = flush()
            var result = try await export(plan, layers, outputs, request.targets, events)
            await flushed
            try await settle()
            result.reproduced = reproduced
            result.warnings = plan.warnings
            await answers
            await inquiry.record(succeeded: true)
            return result
        } catch {
            inquiry.stop()
            await answers
            await inquiry.record(succeeded: false)
            throw error
        }
    }

    // MARK: Durability

    /// Begins to bring new layers to the disk. What goes wrong shows in `settle`.
    private func flush() async {
        let (store, settings) = (store, settings.space)
        async let prepared: Void? = cancellableBlocking {
            // The disk works; the processors need not wait for it.
            if settings.isAutomatic { SpaceKeeper(store: store, settings: settings).prepare($0) }
        }
        try? await blocking { try store.snapshots.flush() }
        _ = try? await prepared
    }

    /// Returns when all that was made is on disk and can be reported as done.
    func settle() async throws {
        let store = store
        try await blocking {
            try store.snapshots.settle()
            // Names of images whose layers were there already.
            try store.database.sync()
        }
    }

    // MARK: Lowering

    /// Finds what the request names and reads the Dockerfile.
    func contexts(
        _ request: BuildRequest,
        _ events: StepEvents,
        _ provisions: Provisions = Provisions(),
        witness: (any StepWitness)? = nil
    ) async throws -> LoadedContexts {
        let web = WebFiles(client: WebClient(client))
        let loader = ContextLoader(request: request, store: store, events: events, web: web)
        var environment = try environment(request, web, events)
        environment.secrets = provisions.secrets
        environment.agents = provisions.agents
        environment.witness = witness
        return try await loader.load(environment)
    }

    private func plan(
        _ request: BuildRequest,
        _ contexts: LoadedContexts,
        _ events: StepEvents
    ) async throws -> BuildPlan {
        let dockerfile = try Dockerfile(parsing: contexts.recipe.bytes, name: contexts.recipe.name)
        let images = KnownImages(baseImages(request, events))
        let builds: [LoweredBuild]
        do {
            builds = try await lowered(dockerfile, request, contexts, images)
        } catch {
            // As BuildKit, which lints on the way: what the rules say often tells why.
            if !(error is CancellationError), !Task.isCancelled {
                sendLintWarnings(dockerfile, request, contexts, images, events)
            }
            throw error
        }
        let warnings = try lintWarnings(dockerfile, request, contexts, images, events)
        return BuildPlan(dockerfile: dockerfile, builds: builds, warnings: warnings)
    }

    /// One build for each target and platform: all of one target stand together.
    private func lowered(
        _ dockerfile: Dockerfile,
        _ request: BuildRequest,
        _ contexts: LoadedContexts,
        _ images: KnownImages
    ) async throws -> [LoweredBuild] {
        var lowering = loweringRequest(request, contexts)
        var builds: [LoweredBuild] = []
        let targets = request.targets.isEmpty ? [nil] : request.targets.map(Optional.some)
        let platforms = request.platforms.isEmpty ? [nil] : request.platforms.map(Optional.some)
        for (target, platform) in targets.flatMap({ target in platforms.map { (target, $0) } }) {
            lowering.target = target
            lowering.platform = platform
            var build = try await DockerfileFrontend.lower(dockerfile, lowering, resolver: images)
            if case .vertex(let id)? = build.epoch, let vertex = build.graph[id] {
                let time = try await BuildStep(vertex, contexts.environment).modificationTime()
                lowering.buildArguments["SOURCE_DATE_EPOCH"] = time.map(String.init) ?? ""
                build = try await DockerfileFrontend.lower(dockerfile, lowering, resolver: images)
            }
            builds.append(build)
        }
        return builds
    }

    /// For the first platform.
    func loweringRequest(_ request: BuildRequest, _ contexts: LoadedContexts) -> LoweringRequest {
        LoweringRequest(
            target: request.targets.first,
            buildArguments: request.buildArguments,
            labels: request.labels,
            noCache: request.noCache,
            platform: request.platforms.first,
            showsPlatform: request.platforms.count > 1,
            networkMode: request.network,
            allowsHostNetwork: request.network == .host || request.entitlements.contains(.networkHost),
            extraHosts: request.extraHosts,
            ulimits: request.ulimits,
            sharedMemorySize: request.sharedMemorySize,
            allowsInsecure: request.entitlements.contains(.securityInsecure),
            context: contexts.main,
            namedContexts: contexts.named
        )
    }

    // MARK: Solving

    /// The layers of each build of the plan.
    private func solve(
        _ plan: BuildPlan,
        _ environment: StepEnvironment,
        _ events: StepEvents
    ) async throws -> [[SnapshotID]] {
        let targets = plan.builds.compactMap(\.result)
        guard !targets.isEmpty else { return plan.builds.map { _ in [] } }
        let vertices = plan.graph.reachable(from: targets)
        let solver = Solver(
            ops: vertices.map { BuildStep($0, environment) },
            index: store.cacheIndex,
            events: events.sink,
            now: StepEvents.now
        )
        do {
            var values = try await solver.solve(targets)[...]
            var layers: [[SnapshotID]] = []
            for build in plan.builds {
                let value = build.result == nil ? nil : values.popFirst()
                layers.append(try await value?.layers() ?? [])
            }
            return layers
        } catch let failure as StepFailure {
            let lines = plan.graph[failure.vertex.id]?.metadata.lines
            throw stepFailure(failure, in: plan.dockerfile, lines: lines, root: settings.root.description)
        }
    }

    /// All but the directories.
    private func environment(
        _ request: BuildRequest,
        _ web: WebFiles,
        _ events: StepEvents
    ) throws -> StepEnvironment {
        let puller = puller(events)
        let store = store
        var environment = StepEnvironment(
            root: store.root,
            snapshotter: store.snapshots,
            executor: LazyRuntime(filters: KeptFilters(database: store.database)),
            events: events.sink,
            now: StepEvents.now,
            fileDigests: FileDigestMemory(store.database),
            selectionDigests: SelectionDigestMemory(store.database),
            directories: [:],
            images: { op, info in
                StoredImage(op, store: store, puller: puller, info: info)
            },
            commandSlots: Slots(request.parallelism ?? Int.max)
        )
        environment.remotes = RemoteAccess(
            web: web,
            memory: WebMemory(store.database),
            results: RemoteCache(index: store.cacheIndex),
            environment: settings.environment
        )
        return environment
    }
}

/// The OCI runtime, looked for when the first command runs: a build without RUN needs none.
private final class LazyRuntime: ProcessExecutor {
    private let filters: any CompiledFilters
    private let memo = OnceTask<OCIRuntime>()

    init(filters: any CompiledFilters) { self.filters = filters }

    func run(_ spec: ProcessSpec, root: RootTree, io: ProcessIO, scratch: RawPath) async throws -> ProcessExit {
        let filters = filters
        let runtime = try await memo.value { try await blocking { try OCIRuntime(filters: filters) } }
        return try await runtime.run(spec, root: root, io: io, scratch: scratch)
    }
}
