// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import DockerfileSyntax

/// Checks a Dockerfile against all rules. Reads no files and asks no registry.
///
/// `# check=` in the file, or the build argument `BUILDKIT_DOCKERFILE_CHECK` instead of it, turns rules off and on and
/// makes violations errors; a `# check=` comment directly above an instruction does so for that instruction.
public func lint(_ dockerfile: Dockerfile, _ request: LintRequest) -> LintReport {
    let options: CheckOptions
    do throws(LintFailure) {
        options = try checkOptions(dockerfile, request)
    } catch {
        return LintReport(warnings: [], failure: error, source: dockerfile.source)
    }
    var evaluation = Evaluation(dockerfile, request, options: options)
    evaluation.run()
    var failure = options.isError ? evaluation.log.failure : nil
    if evaluation.isIncomplete { failure = LintFailure("the stages have too many variables to be checked") }
    return LintReport(
        warnings: evaluation.log.sorted,
        omitted: evaluation.log.omitted,
        failure: failure,
        unknownImages: evaluation.unknownImages,
        source: dockerfile.source
    )
}

private func checkOptions(_ dockerfile: Dockerfile, _ request: LintRequest) throws(LintFailure) -> CheckOptions {
    let argument = "BUILDKIT_DOCKERFILE_CHECK"
    if let given = request.buildArguments[argument] {
        do throws(CheckOptionsError) {
            return try CheckOptions(parsing: given)
        } catch {
            throw LintFailure("failed to parse build-arg:\(argument): \(error.message)")
        }
    }
    guard let word = dockerfile.directives.check else { return CheckOptions() }
    do throws(CheckOptionsError) {
        // As BuildKit: what follows a blank is a remark.
        return try CheckOptions(parsing: String(word.text.prefix { $0 != " " }))
    } catch {
        throw LintFailure("failed to parse check options: \(error.message)", lines: word.range.lines)
    }
}
