// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildDefinition
import BuildOps
import DockerfileFrontend
import LinuxSystem
import OCI
import Solver
import Synchronization

/// Compares a build's steps with what they were when they were last done.
final class BuildInquiry: Sendable {
    let request: BuildRequest
    let history: StepHistory
    let chronicle: BuildChronicle
    /// One for each platform.
    let places: [PlannedPlace]
    let directories: [String: StepEnvironment.LocalDirectory]
    private let comparisons: Mutex<[PlaceComparison?]>

    init(
        _ plan: BuildPlan,
        _ request: BuildRequest,
        _ contexts: LoadedContexts,
        _ history: StepHistory,
        _ chronicle: BuildChronicle
    ) {
        self.request = request
        self.history = history
        self.chronicle = chronicle
        directories = contexts.environment.directories
        let context = Self.name(of: request.context, directories)
        let dockerfile = contexts.recipe.path ?? contexts.recipe.name
        // Several targets of one platform are one build with several ends.
        var platforms: [String] = []
        for build in plan.builds where !platforms.contains(build.config.platform.description) {
            platforms.append(build.config.platform.description)
        }
        places = platforms.map { platform in
            let builds = plan.builds.filter { $0.config.platform.description == platform }
            return PlannedPlace(
                place: BuildPlace(context: context, dockerfile: dockerfile, platform: platform),
                vertices: plan.graph.reachable(from: builds.compactMap(\.result))
            )
        }
        comparisons = Mutex(places.map { _ in nil })
        for place in places { chronicle.begin(place.vertices) }
    }

    private static func name(
        of context: BuildRequest.Context,
        _ directories: [String: StepEnvironment.LocalDirectory]
    ) -> String {
        guard case .location(let text) = context else { return "standard input" }
        return directories["context"]?.path.description ?? shownURL(text)
    }

    /// Finds reasons until `stop`.
    func answer() async { await chronicle.answer { self.reason(of: $0) } }

    func stop() { chronicle.finish() }

    /// Writes the build down, for those that come after it.
    func record(succeeded: Bool) async {
        try? await blocking {
            for place in self.places { try self.record(place, succeeded) }
        }
    }

    // MARK: Reasons

    private func reason(of id: VertexID) -> StepReason? {
        guard let number = places.firstIndex(where: { $0.byID[id] != nil }) else { return nil }
        return comparisons.withLock { comparisons in
            if comparisons[number] == nil { comparisons[number] = try? PlaceComparison(places[number], self) }
            return comparisons[number]?.reason(of: id)
        }
    }

    // MARK: Recording

    private func record(_ place: PlannedPlace, _ succeeded: Bool) throws {
        let observations = chronicle.observed { $0 }
        let now = FileTime.now.seconds
        let fingerprint = place.fingerprint(observations)
        let isQuiet = place.vertices.allSatisfy { !observations.changes($0) }
        if succeeded, isQuiet, try history.noteFound(place.place, fingerprint: fingerprint, time: now) { return }
        let build = RecordedBuild(
            place: place.place,
            target: request.targets.isEmpty ? nil : request.targets.joined(separator: ", "),
            time: now,
            succeeded: succeeded,
            steps: place.records(observations)
        )
        try history.record(build, fingerprint: fingerprint, manifests: manifests(place, observations)) { kept in
            place.merged(into: kept, observations, now: now)
        }
    }

    private func manifests(_ place: PlannedPlace, _ observations: StepObservations) -> [KeptManifest] {
        place.vertices.compactMap { vertex in
            guard let directory = directory(of: vertex), let tree = observations.trees[vertex.id] else { return nil }
            return KeptManifest(directory: directory, digest: tree.digest) { ContextManifest(tree).bytes }
        }
    }

    /// Of a context that will be there for the next build.
    func directory(of vertex: BuildVertex) -> String? {
        guard case .local(let op) = vertex.op, let directory = directories[op.name], !directory.isTransient else {
            return nil
        }
        return directory.path.description
    }
}

extension StepObservations {
    /// Whether what happened to the step is worth a record.
    func changes(_ vertex: BuildVertex) -> Bool {
        switch (outcomes[vertex.id], vertex.op) {
        case (nil, _), (.found, _), (.succeeded, .local): false
        // A server is asked each time.
        case (.succeeded, .git), (.succeeded, .http): reasons[vertex.id]?.code != .sourceChecked
        default: true
        }
    }
}
