// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import OCI

/// A stage of the Dockerfile that the target reaches.
struct StageNode {
    enum Base: Hashable {
        case scratch
        /// An earlier stage.
        case stage(Int)
        case image(ImageKey)
        /// The files of a named context that is no image.
        case files(context: String)
    }

    let index: Int
    /// In lower case.
    let name: String?
    /// As messages and step names call it.
    let displayName: String
    let from: Instruction
    let imageWord: Word
    let base: Base
    /// The named context that stands in for what FROM says.
    let baseContext: String?
    /// Whether FROM counts among the steps: it names an image, or what stands in for one.
    let countsBase: Bool
    /// Of `--platform`.
    let platform: Platform?
    /// Triggers of the base first, then what follows FROM.
    var instructions: [StageInstruction]
    /// Whether the ONBUILD triggers of the base image are among the instructions, or are not wanted.
    var hasImageTriggers: Bool

    /// The stages that this one reads, and where it says so.
    var references: [StageReference] {
        instructions.flatMap { step in
            step.sources.compactMap { source in
                guard case .stage(let index) = source.origin else { return nil }
                return StageReference(
                    stage: index,
                    range: step.locate(source.word.range),
                    text: source.word.text,
                    mountTarget: source.mount.map { step.mountTarget($0) }
                )
            }
        }
    }

    var imageKeys: [(key: ImageKey, word: Word)] {
        var keys: [(ImageKey, Word)] = []
        if case .image(let key) = base { keys.append((key, imageWord)) }
        for step in instructions {
            for source in step.sources {
                guard case .image(let key, _) = source.origin else { continue }
                keys.append((key, Word(source.word.text, range: step.locate(source.word.range))))
            }
        }
        return keys
    }
}

/// A stage that another reads.
struct StageReference {
    var stage: Int
    var range: SourceRange
    var text: String
    /// Set for `RUN --mount`.
    var mountTarget: String?
}

/// What the resolver is asked for.
struct ImageKey: Hashable {
    let reference: Reference
    let platform: Platform
    var layout: String?
}

/// Where the files are that an instruction reads.
enum TreeOrigin: Hashable {
    /// The build context, nil, or a named one that is neither an image nor a stage.
    case context(String?)
    case stage(Int)
    /// The named context says that it is this image.
    case image(ImageKey, context: String?)
    /// `--from=scratch`: a tree without files.
    case empty
}

/// A `from` of an instruction, resolved.
struct StepSource {
    let word: Word
    let origin: TreeOrigin
    /// Which of the RUN's mounts says it; nil for COPY.
    let mount: Int?
}

/// An instruction of a stage or an ONBUILD trigger of its base.
struct StageInstruction {
    let instruction: Instruction
    /// For a trigger of a base image, whose text is in no file: where FROM names the image.
    var triggerRange: SourceRange?
    var isTrigger = false
    var sources: [StepSource] = []

    init(_ instruction: Instruction, isTrigger: Bool = false, triggerRange: SourceRange? = nil) {
        self.instruction = instruction
        self.isTrigger = isTrigger
        self.triggerRange = triggerRange
    }

    var range: SourceRange { locate(instruction.range) }

    /// Where `range`, which lies in this instruction, is in the Dockerfile.
    func locate(_ range: SourceRange) -> SourceRange { triggerRange ?? range }

    /// Where the sources of a COPY or ADD are.
    var copyOrigin: TreeOrigin { sources.first?.origin ?? .context(nil) }

    /// What a mount takes its files from; nil when it does not say.
    func mountOrigin(_ index: Int) -> TreeOrigin? { sources.first { $0.mount == index }?.origin }

    /// The values of `COPY --from` and of the mounts' `from`.
    var fromWords: [(word: Word, mount: Int?)] {
        switch instruction.kind {
        case .copy(let copy):
            guard let from = copy.from, !from.text.isEmpty else { return [] }
            return [(from, nil)]
        case .run(let run):
            return run.mounts.enumerated().compactMap { index, mount in
                guard let from = mount.field("from")?.value, !from.text.isEmpty else { return nil }
                return (from, index)
            }
        default: return []
        }
    }

    /// As written.
    func mountTarget(_ index: Int) -> String {
        guard case .run(let run) = instruction.kind, run.mounts.indices.contains(index) else { return "" }
        return run.mounts[index].field("target", "dst", "destination")?.value?.text ?? ""
    }

    /// Whether the instruction counts among the steps of its stage. All triggers do, as in BuildKit.
    var isCounted: Bool {
        if isTrigger { return true }
        switch instruction.keyword {
        case .run, .copy, .add, .workdir: return true
        default: return false
        }
    }

    /// `failure` with its range in the Dockerfile.
    func relocate(_ failure: LoweringFailure) -> LoweringFailure {
        guard let triggerRange else { return failure }
        var failure = failure
        failure.range = triggerRange
        failure.notes.append("It is in the base image's trigger: ONBUILD \(instruction.original)")
        return failure
    }
}
