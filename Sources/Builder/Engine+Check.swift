// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileFrontend
public import DockerfileLint
import DockerfileSyntax
import OCI
public import Solver

extension Engine {
    /// Looks for mistakes in the Dockerfile of a request, in all stages when it names no target. Builds nothing.
    ///
    /// Asks registries for the configs of base images that the local store does not have; those that cannot be had are
    /// named in the report. What lowering refuses is the report's failure.
    /// - Throws: `UserFacingError`, `CancellationError`.
    public func check(_ request: BuildRequest, events sink: any SolverEventSink) async throws -> LintReport {
        try await describing {
            let events = StepEvents(sink: sink)
            let contexts = try await contexts(request, events)
            let source = SourceText(contexts.recipe.bytes, name: contexts.recipe.name)
            do {
                let dockerfile = try Dockerfile(parsing: source.bytes, name: source.name)
                return try await check(dockerfile, request, contexts, events)
            } catch let error as DockerfileDiagnostics {
                return LintReport(warnings: [], failure: LintFailure(error), source: source)
            }
        }
    }

    private func check(
        _ dockerfile: Dockerfile,
        _ request: BuildRequest,
        _ contexts: LoadedContexts,
        _ events: StepEvents
    ) async throws -> LintReport {
        let images = KnownImages(baseImages(request, events), isLenient: true)
        var questions = lintRequest(request, contexts, images)
        questions.coversAllStages = request.targets.allSatisfy(\.isEmpty)
        var report = lint(dockerfile, questions)
        // Triggers of an image may name further ones.
        while try await images.resolveAsked() { report = lint(dockerfile, questions) }
        do {
            _ = try await lower(dockerfile, loweringRequest(request, contexts), resolver: images)
        } catch let error as DockerfileDiagnostics {
            report.failure = LintFailure(error)
        }
        return report
    }

    /// The build arguments, secrets and ssh agents that the target takes. Asks no registry.
    /// - Throws: `UserFacingError`, `CancellationError`.
    public func outline(_ request: BuildRequest, events sink: any SolverEventSink) async throws -> Outline {
        try await describing {
            let (dockerfile, contexts) = try await read(request, StepEvents(sink: sink))
            if let target = request.targets.first, !target.isEmpty,
                !dockerfile.stages.contains(where: { $0.name == target.lowercased() })
            {
                let known = dockerfile.stages.compactMap(\.name)
                throw BuilderError(
                    .notFound,
                    "target stage \"\(target)\" could not be found",
                    nextStep: known.isEmpty ? "no stage has a name" : "the stages are: \(known.joined(separator: ", "))"
                )
            }
            return Outline(dockerfile, lintRequest(request, contexts, nil))
        }
    }

    /// The stages of the Dockerfile. Asks no registry.
    /// - Throws: `UserFacingError`, `CancellationError`.
    public func targets(_ request: BuildRequest, events sink: any SolverEventSink) async throws -> TargetList {
        try await describing { TargetList(try await read(request, StepEvents(sink: sink)).0) }
    }

    private func read(_ request: BuildRequest, _ events: StepEvents) async throws -> (Dockerfile, LoadedContexts) {
        let contexts = try await contexts(request, events)
        return (try Dockerfile(parsing: contexts.recipe.bytes, name: contexts.recipe.name), contexts)
    }

    private func describing<R>(_ body: () async throws -> R) async throws -> R {
        do {
            return try await body()
        } catch let error as CancellationError {
            throw error
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw describe(error)
        }
    }

    // MARK: - During builds

    /// What the rules have to say of a build, with the images that lowering asked for.
    ///
    /// Throws when the Dockerfile makes violations errors; the warnings are sent before that.
    func lintWarnings(
        _ dockerfile: Dockerfile,
        _ request: BuildRequest,
        _ contexts: LoadedContexts,
        _ images: KnownImages,
        _ events: StepEvents
    ) throws -> [BuildWarning] {
        let report = lint(dockerfile, lintRequest(request, contexts, images))
        let warnings = report.warnings.map(BuildWarning.init)
        guard let failure = report.failure else { return warnings }
        for warning in warnings { events.sink.send(.warning(nil, warning)) }
        throw BuilderError(
            .invalidRequest,
            "failed to solve: \(failure.message)",
            nextStep: warnings.isEmpty ? nil : "galley build --check shows where"
        )
    }

    /// What the rules have to say of a build that cannot be.
    func sendLintWarnings(
        _ dockerfile: Dockerfile,
        _ request: BuildRequest,
        _ contexts: LoadedContexts,
        _ images: KnownImages,
        _ events: StepEvents
    ) {
        for warning in lint(dockerfile, lintRequest(request, contexts, images)).warnings {
            events.sink.send(.warning(nil, BuildWarning(warning)))
        }
    }

    func baseImages(_ request: BuildRequest, _ events: StepEvents) -> BaseImages {
        BaseImages(store: store, client: client, events: events, pulls: request.pulls)
    }

    private func lintRequest(
        _ request: BuildRequest,
        _ contexts: LoadedContexts,
        _ images: KnownImages?
    ) -> LintRequest {
        var patterns: [String] = []
        if case .local(_, let ignored) = contexts.main { patterns = ignored }
        return LintRequest(
            target: request.targets.first,
            buildArguments: request.buildArguments,
            platform: request.platforms.first ?? .host,
            ignorePatterns: patterns,
            namedContexts: Set(contexts.named.keys.map { $0.lowercased() })
        ) { reference, platform in
            images?.config(reference, platform)
        }
    }
}

extension LintFailure {
    fileprivate init(_ error: DockerfileDiagnostics) {
        self.init(error.description, lines: error.diagnostics.first?.range.lines)
    }
}

extension BuildWarning {
    fileprivate init(_ warning: LintWarning) {
        self.init(
            rule: warning.rule.name,
            message: warning.message,
            location: warning.lines.map { "line \($0.lowerBound)" },
            url: warning.rule.url,
            detail: [warning.rule.summary],
            lines: warning.lines
        )
    }
}
