// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import OCI

/// A stage evaluated: its config and its steps, not yet wired to what they read.
struct StagePlan {
    let node: StageNode
    var baseImage: ResolvedImage?
    /// What to call the step that brings the base image.
    var baseMetadata: BuildVertex.Metadata?
    var config: ImageConfig
    var environment: EnvironmentScope
    /// ARG names in order of declaration, with the values known then.
    var arguments: [StageArgument] = []
    var platform: Platform
    var steps: [PlannedStep] = []
}

struct StageArgument {
    var name: String
    var value: String?
}

/// A step that makes a layer.
struct PlannedStep {
    enum Work {
        case exec(ExecOp, [PlannedMount])
        case files([PlannedAction])
        /// A layer that knows nothing of what is below it, and the step that puts it on top.
        case linkedFiles([PlannedAction], BuildVertex.Metadata)
    }

    var work: Work
    var metadata: BuildVertex.Metadata
}

enum PlannedAction {
    case makeDirectory(FileMakeDirectory)
    /// `input` of the copy is set when the graph is made.
    case copy(FileCopy, from: PlannedSource)
}

/// `input` of the mount is set when the graph is made.
struct PlannedMount {
    var mount: ExecMount
    /// Nil for what has no files to begin with.
    var source: PlannedSource?
}

enum PlannedSource {
    case origin(TreeOrigin)
    /// A file of the instruction itself.
    case inline(FileMakeFile)
    /// Something from elsewhere, which is a step of its own.
    case remote(BuildOp, BuildVertex.Metadata)
}
