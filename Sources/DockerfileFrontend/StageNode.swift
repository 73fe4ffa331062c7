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
    }

    let index: Int
    /// In lower case.
    let name: String?
    /// As messages and step names call it.
    let displayName: String
    let from: Instruction
    let imageWord: Word
    let base: Base
    /// Of `--platform`.
    let platform: Platform?
    /// Triggers of the base first, then what follows FROM.
    var instructions: [StageInstruction]
    /// Whether the ONBUILD triggers of the base image are among the instructions.
    var hasImageTriggers = false

    /// The stages that this one reads, and where it says so.
    var references: [(stage: Int, range: SourceRange, text: String)] {
        instructions.compactMap { step in
            guard case .stage(let index) = step.origin, let word = step.fromWord else { return nil }
            return (index, step.locate(word.range), word.text)
        }
    }

    var imageKeys: [(key: ImageKey, word: Word)] {
        var keys: [(ImageKey, Word)] = []
        if case .image(let key) = base { keys.append((key, imageWord)) }
        for step in instructions {
            guard case .image(let key) = step.origin, let word = step.fromWord else { continue }
            keys.append((key, Word(word.text, range: step.locate(word.range))))
        }
        return keys
    }
}

/// What the resolver is asked for.
struct ImageKey: Hashable {
    let reference: Reference
    let platform: Platform
    var layout: String?
}

/// Where the sources of a COPY or ADD are.
enum CopyOrigin: Hashable {
    case context
    case stage(Int)
    case image(ImageKey)
    /// `--from=scratch`: a tree without files.
    case empty
}

/// An instruction of a stage or an ONBUILD trigger of its base.
struct StageInstruction {
    let instruction: Instruction
    /// For a trigger of a base image, whose text is in no file: where FROM names the image.
    var triggerRange: SourceRange?
    var isTrigger = false
    var origin: CopyOrigin = .context

    init(_ instruction: Instruction, isTrigger: Bool = false, triggerRange: SourceRange? = nil) {
        self.instruction = instruction
        self.isTrigger = isTrigger
        self.triggerRange = triggerRange
    }

    var range: SourceRange { locate(instruction.range) }

    /// Where `range`, which lies in this instruction, is in the Dockerfile.
    func locate(_ range: SourceRange) -> SourceRange { triggerRange ?? range }

    /// The value of `COPY --from`.
    var fromWord: Word? {
        guard case .copy(let copy) = instruction.kind, let from = copy.from, !from.text.isEmpty else { return nil }
        return from
    }

    /// Whether the instruction counts among the steps of its stage.
    var isCounted: Bool {
        switch instruction.keyword {
        case .run, .copy, .add, .workdir: true
        default: false
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
