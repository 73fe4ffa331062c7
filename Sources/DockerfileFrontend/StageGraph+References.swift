// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import OCI

/// What a stage begins with.
struct StageBase {
    var tree: StageNode.Base
    /// The named context that stands in for it.
    var context: String?
    var counts: Bool
    /// The earlier stage that FROM names, replaced or not: its triggers are the child's.
    var parent: Int?

    init(_ tree: StageNode.Base, context: String? = nil, counts: Bool = false) {
        self.tree = tree
        self.context = context
        self.counts = counts
    }
}

/// What the names in FROM, `--from` and mounts stand for.
extension StageGraph {
    // MARK: - FROM

    func fromPlatform(_ stage: StageSyntax) throws(LoweringFailure) -> Platform? {
        guard let word = stage.from.platform else { return nil }
        let text = try expander.expand(word, in: global.environment)
        guard !text.isEmpty else {
            throw LoweringFailure("empty platform value from expression \(word.text)", word.range)
        }
        do throws(OCIError) {
            return try Platform(text)
        } catch {
            throw LoweringFailure("failed to parse platform \(word.text): \(error.message)", word.range)
        }
    }

    func findBase(of stage: StageSyntax, platform: Platform) throws(LoweringFailure) -> StageBase {
        let word = stage.from.image
        let name = try expander.expand(word, in: global.environment)
        guard !name.isEmpty else {
            throw LoweringFailure(
                "base name (\(word.text)) should not be blank",
                word.range,
                nextStep: "Give the variable a value: an ARG with a default before the first FROM, or --build-arg."
            )
        }
        if let earlier = named[name]?.last(where: { $0 < stage.index }) {
            var base = try replacement(ofStage: syntax[earlier]) ?? StageBase(.stage(earlier))
            base.parent = earlier
            return base
        }
        if name == "scratch" { return StageBase(.scratch) }
        let reference: Reference
        do throws(OCIError) {
            reference = try Reference(name).withDefaultTag
        } catch {
            let names = syntax[..<stage.index].compactMap(\.name)
            let lowercased = names.contains(name.lowercased()) ? " (did you mean \(name.lowercased())?)" : nil
            let message = "failed to parse stage name \"\(name)\": \(error.message)"
            throw LoweringFailure(
                lowercased.map { message + $0 } ?? withSuggestion(message, for: name.lowercased(), among: names),
                word.range
            )
        }
        if let context = contexts.name(for: reference.description, platform: platform) {
            return try base(ofContext: context, platform: platform, counts: true)
        }
        return StageBase(.image(ImageKey(reference: reference, platform: platform)), counts: true)
    }

    // MARK: - Named contexts

    /// What stands in for the stage; nil when no named context has its name.
    func replacement(ofStage stage: StageSyntax, platform: Platform? = nil) throws(LoweringFailure)
        -> StageBase?
    {
        guard let name = stage.name else { return nil }
        var own = request.targetPlatform
        if let platform { own = platform } else if let platform = try fromPlatform(stage) { own = platform }
        guard let context = contexts.name(for: name, platform: own) else { return nil }
        return try base(ofContext: context, platform: own, counts: false)
    }

    private func base(ofContext name: String, platform: Platform, counts: Bool) throws(LoweringFailure) -> StageBase {
        switch try origin(ofContext: name, platform: platform) {
        case .context: StageBase(.files(context: name), context: name, counts: counts)
        case .stage(let index): StageBase(.stage(index), context: name, counts: counts)
        case .image(let key, _): StageBase(.image(key), context: name, counts: counts)
        case .empty: StageBase(.scratch, context: name, counts: counts)
        }
    }

    private func origin(ofContext name: String, platform: Platform) throws(LoweringFailure) -> TreeOrigin {
        switch contexts[name] {
        case nil, .local, .git, .http, .archive: return .context(name)
        case .image(let reference):
            if reference.withDefaultTag == Self.scratch { return .empty }
            return .image(ImageKey(reference: reference.withDefaultTag, platform: platform), context: name)
        case .layout(let path, let reference):
            return .image(ImageKey(reference: reference, platform: platform, layout: path), context: name)
        case .stage(let target):
            guard let index = named[target.lowercased()]?.last else {
                throw LoweringFailure(
                    withSuggestion(
                        "target stage \"\(target)\" of the build context \(name) could not be found",
                        for: target,
                        among: stageNames
                    )
                )
            }
            return .stage(index)
        }
    }

    private static let scratch = Reference(domain: Reference.defaultDomain, path: "library/scratch", tag: "latest")

    // MARK: - Sources

    func resolveSources(_ step: StageInstruction, _ log: inout DiagnosticCollector) -> StageInstruction {
        var step = step
        for (word, mount) in step.fromWords {
            do throws(LoweringFailure) {
                let origin = try mount == nil ? copyOrigin(of: word) : origin(of: word)
                step.sources.append(StepSource(word: word, origin: origin, mount: mount))
            } catch {
                log.report(step.relocate(error), at: step.range)
            }
        }
        return step
    }

    /// Of `COPY --from`, which may also be a stage's number.
    private func copyOrigin(of word: Word) throws(LoweringFailure) -> TreeOrigin {
        let literal = try? expander.expand(word, in: EnvironmentScope())
        guard literal == word.text else {
            throw LoweringFailure(
                "variable expansion is not supported for --from, define a new stage with FROM using ARG from global "
                    + "scope as a workaround",
                word.range
            )
        }
        guard let index = Int(word.text) else { return try origin(of: word) }
        guard syntax.indices.contains(index) else {
            throw LoweringFailure(
                "invalid stage index \(index)",
                word.range,
                nextStep: "The stages are numbered 0 to \(syntax.count - 1)."
            )
        }
        return try origin(ofStage: index)
    }

    private func origin(of word: Word) throws(LoweringFailure) -> TreeOrigin {
        let name = word.text.lowercased()
        if let index = named[name]?.last { return try origin(ofStage: index) }
        if word.text == "scratch" { return .empty }
        let reference: Reference
        do throws(OCIError) {
            reference = try Reference(word.text).withDefaultTag
        } catch {
            throw LoweringFailure(
                withSuggestion(
                    "failed to parse stage name \"\(word.text)\": \(error.message)",
                    for: name,
                    among: stageNames
                ),
                word.range
            )
        }
        let platform = request.targetPlatform
        if let context = contexts.name(for: reference.description, platform: platform) {
            return try origin(ofContext: context, platform: platform)
        }
        return .image(ImageKey(reference: reference, platform: platform), context: nil)
    }

    private func origin(ofStage index: Int) throws(LoweringFailure) -> TreeOrigin {
        let stage = syntax[index]
        guard let name = stage.name else { return .stage(index) }
        let platform = try fromPlatform(stage) ?? request.targetPlatform
        guard let context = contexts.name(for: name, platform: platform) else { return .stage(index) }
        return try origin(ofContext: context, platform: platform)
    }
}
