// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import BuildDefinition
public import OCI
public import Solver

/// What a Dockerfile comes to for one target and one platform.
public struct LoweredBuild: Sendable {
    /// The steps that the target needs, and the one that `epoch` names; no others.
    public var graph: BuildGraph
    /// The step whose tree is the image; nil for `FROM scratch` without any step.
    public var result: VertexID?
    /// The image's config, complete but for `created`, the times in the history of this build's own steps, and the
    /// diffIDs of `layerVertices`: its diffIDs are the base image's.
    public var config: ImageConfig
    /// The image at the bottom of the target's stages; nil for scratch.
    public var base: ResolvedImage?
    /// The target's name in lower case, nil when it has none.
    public var stageName: String?
    /// The steps that make the layers above the base, bottom first: one for each history entry of this build that is
    /// not an empty layer. A step can stand here twice.
    public var layerVertices: [VertexID]
    /// The step that stands for the build context, nil when no step reads it.
    public var context: VertexID?
    public var warnings: [BuildWarning]
    /// Build arguments that the global scope or a stage that was built declares, sorted.
    public var usedBuildArguments: [String]
    /// Build arguments that no ARG of the whole file declares and that have no meaning of their own, sorted.
    public var unusedBuildArguments: [String]
    /// What `SOURCE_DATE_EPOCH` says, as a build argument or a global ARG; nil when no time is asked for.
    public var epoch: EpochSource?

    /// The time that all timestamps get, when it is known without asking anyone; see ``epoch``.
    public var sourceDateEpoch: Int64? {
        guard case .seconds(let seconds)? = epoch else { return nil }
        return seconds
    }
}
