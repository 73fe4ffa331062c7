// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileSyntax
import OCI
public import Solver

/// Where the time comes from that all timestamps of the image get.
public enum EpochSource: Hashable, Sendable {
    /// Since 1970.
    case seconds(Int64)
    /// The time of what a git or web step of the graph brings: of the commit, of the server's `Last-Modified`, else of
    /// the newest file when it is an archive.
    ///
    /// It must be known before stages that declare `ARG SOURCE_DATE_EPOCH` mean anything: whoever asked for the build
    /// finds it out and lowers again with the seconds as build argument, or with an empty one when there is no time.
    case vertex(VertexID)
}

/// What SOURCE_DATE_EPOCH says, before there is a graph.
enum PlannedEpoch {
    case seconds(Int64)
    /// Of a context, nil being the build context.
    case context(String?)
    case remote(BuildOp, name: String)
    /// A context that has no time of its own.
    case timeless(what: String)
}

/// Reads SOURCE_DATE_EPOCH: seconds, `context`, a named context, or a stage that is one remote ADD on scratch.
struct EpochReader {
    let dockerfile: Dockerfile
    let request: LoweringRequest
    let expander: WordExpander
    /// Without SOURCE_DATE_EPOCH itself.
    let environment: EnvironmentScope

    func plan(_ value: String) throws(LoweringFailure) -> PlannedEpoch {
        if let seconds = Int64(value) { return .seconds(seconds) }
        if value == "context" { return plan(request.context, name: nil) }
        let contexts = NamedContexts(request.namedContexts)
        if let name = contexts.name(for: value, platform: request.targetPlatform), let source = contexts[name] {
            return plan(source, name: name)
        }
        guard let stage = dockerfile.stages.first(where: { $0.name == value.lowercased() }) else {
            throw LoweringFailure(
                "invalid SOURCE_DATE_EPOCH: \(value)",
                nextStep: "Give the seconds since 1970, context, or the name of a build context or stage."
            )
        }
        let op = try source(of: stage)
        return .remote(op, name: "[internal] resolve SOURCE_DATE_EPOCH source stage \(stage.name ?? value)")
    }

    private func plan(_ source: ContextSource, name: String?) -> PlannedEpoch {
        switch source {
        case .git, .http, .archive: return .context(name)
        case .local, .image, .layout, .stage:
            return .timeless(what: name.map { "the build context \($0)" } ?? "a build context that is a directory")
        }
    }

    // MARK: - Stages

    private func source(of stage: StageSyntax) throws(LoweringFailure) -> BuildOp {
        let range = stage.instruction.range
        guard try expander.expand(stage.from.image, in: environment) == "scratch" else {
            throw LoweringFailure("SOURCE_DATE_EPOCH stage must use FROM scratch", range)
        }
        var environment = environment
        var found: BuildOp?
        for instruction in stage.instructions {
            switch instruction.kind {
            case .arg(let declarations):
                for declaration in declarations {
                    let name = declaration.name.text
                    if let given = request.buildArguments[name] {
                        environment.set(name, given)
                    } else if let word = declaration.defaultValue {
                        environment.set(name, try expander.expand(word, in: environment))
                    }
                }
            case .add(let add):
                guard found == nil else {
                    throw LoweringFailure("SOURCE_DATE_EPOCH stage must contain exactly one remote ADD", range)
                }
                found = try source(of: FileTransfer(add), environment, instruction.range)
            default:
                throw LoweringFailure(
                    "SOURCE_DATE_EPOCH stage does not meet source-only requirements: unsupported "
                        + "\(instruction.keyword.rawValue) instruction",
                    instruction.range
                )
            }
        }
        guard let found else {
            throw LoweringFailure("SOURCE_DATE_EPOCH stage must contain exactly one remote ADD", range)
        }
        return found
    }

    private func source(of transfer: FileTransfer, _ environment: EnvironmentScope, _ range: SourceRange)
        throws(LoweringFailure) -> BuildOp
    {
        guard transfer.sources.count == 1, case .path(let word)? = transfer.sources.first else {
            throw LoweringFailure("SOURCE_DATE_EPOCH stage must contain exactly one remote ADD source", range)
        }
        let location = try transfer.location(try expander.expand(word, in: environment), at: word.range)
        let checksum =
            try transfer.checksum.map { word throws(LoweringFailure) in try expander.expand(word, in: environment) }
            ?? ""
        switch location {
        case .web(let url): return .http(try HTTPOp(adding: url, checksum: checksum))
        case .git(let reference): return .git(try transfer.gitOp(reference, checksum: checksum))
        case .path:
            throw LoweringFailure("SOURCE_DATE_EPOCH stage source must be a single HTTP(S) or Git ADD", word.range)
        }
    }
}
