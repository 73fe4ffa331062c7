// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import DockerfileSyntax

/// The stages that can be built.
public struct TargetList: Sendable {
    public struct Target: Hashable, Sendable {
        /// In lower case, nil when the stage has none.
        public var name: String?
        /// Whether it is what a build without target makes.
        public var isDefault: Bool
        public var description: String?
        /// As written, variables included.
        public var base: String
        public var platform: String?
        public var lines: ClosedRange<Int>
    }

    public var targets: [Target]
    public let source: SourceText

    public init(_ dockerfile: Dockerfile) {
        source = dockerfile.source
        targets = dockerfile.stages.map { stage in
            Target(
                name: stage.name,
                isDefault: stage.index == dockerfile.stages.count - 1,
                description: stage.docComment,
                base: stage.from.image.text,
                platform: stage.from.platform?.text,
                lines: stage.instruction.lineRange
            )
        }
    }
}
