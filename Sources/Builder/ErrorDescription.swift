// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
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
import Solver

extension Engine {
    /// Any error of the engine as text for a person.
    public func describe(_ error: any Error) -> UserFacingError { userFacing(error, root: settings.root.description) }
}

/// Any error of the engine as text for a person: what happened and what to do next.
///
/// - Parameter root: the store's root directory, for errors of a full disk.
public func userFacing(_ error: any Error, root: String) -> UserFacingError {
    switch error {
    case let error as UserFacingError: error
    case let error as BuilderError: UserFacingError(error.message, nextStep: error.nextStep)
    case let error as BuildOpsError: UserFacingError(error.message, nextStep: error.nextStep, exitCode: 1)
    case let error as ContentError: UserFacingError(error.message, nextStep: error.nextStep)
    case let error as ExportError: UserFacingError(error.message, nextStep: error.nextStep)
    case let error as SnapshotError: UserFacingError(error.message, nextStep: error.nextStep)
    case let error as ExecutorError: UserFacingError(error.description, nextStep: error.nextStep)
    case let error as EntryFailure: UserFacingError(error.message, nextStep: error.nextStep)
    case let error as RegistryError:
        UserFacingError(error.message, nextStep: error.nextStep)
    case let error as DockerfileDiagnostics:
        UserFacingError(
            shownText("failed to solve: " + error.diagnostics.map(\.description).joined(separator: "\n")),
            excerpt: excerpt(error)
        )
    case let error as ImageResolutionError: imageResolution(error, root)
    case let error as StepFailure: userFacing(error.cause, root: root)
    case let error as ArchiveError where (error.cause as? SystemError)?.isDiskFull == true:
        userFacing(error.cause ?? error, root: root)
    case let error as SystemError where error.isDiskFull:
        UserFacingError(
            "\(error): the disk is full",
            nextStep: "free space where \(root) lies, or run: galley prune"
        )
    case let error as SystemError where error.errno == 30:
        UserFacingError("\(error)", nextStep: "the file system is read-only: choose another place with --root")
    case is CancellationError: UserFacingError("canceled", exitCode: 130)
    default: UserFacingError("\(error)")
    }
}

private func imageResolution(_ error: ImageResolutionError, _ root: String) -> UserFacingError {
    let cause = userFacing(error.cause, root: root)
    let diagnostics = error.diagnostics.diagnostics
    let message = shownText(diagnostics.map(\.message).joined(separator: "\n"))
    // The diagnostic says where; the cause says why, unless it is in there already.
    let text = message.contains(cause.description) ? message : "\(message): \(cause.description)"
    return UserFacingError(
        "failed to solve: \(text)",
        nextStep: cause.nextStep,
        excerpt: excerpt(error.diagnostics)
    )
}

/// The lines of the Dockerfile, which may hold signed addresses.
private func excerpt(_ error: DockerfileDiagnostics) -> String {
    shownText(error.diagnostics.map { $0.render(in: error.source) }.joined(separator: "\n"))
}

/// A step that failed, with the lines of the Dockerfile that asked for it.
func stepFailure(_ failure: StepFailure, in dockerfile: Dockerfile, lines: ClosedRange<Int>?, root: String)
    -> UserFacingError
{
    let cause = userFacing(failure.cause, root: root)
    guard let lines, let instruction = dockerfile.instructions.first(where: { $0.range.lines.overlaps(lines) }) else {
        return UserFacingError(
            "failed to solve: \(cause.description)",
            nextStep: cause.nextStep,
            exitCode: cause.exitCode
        )
    }
    return UserFacingError(
        "failed to solve: \(cause.description)",
        nextStep: cause.nextStep,
        exitCode: cause.exitCode,
        excerpt: shownText(Diagnostic(.semantic, cause.description, range: instruction.range).render(in: dockerfile))
    )
}
