// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import OCI

/// The identity of a step: a digest over its operation and the identities of its inputs.
public struct VertexID: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let digest: Digest

    public init(_ digest: Digest) { self.digest = digest }

    public var description: String { digest.description }
    public static func < (a: VertexID, b: VertexID) -> Bool { a.digest < b.digest }
}

/// What a display needs to know of a step.
public struct VertexInfo: Hashable, Sendable {
    public var id: VertexID
    /// The line shown, like `[builder 2/4] RUN make`.
    public var name: String
    public var inputs: [VertexID]

    public init(id: VertexID, name: String, inputs: [VertexID] = []) {
        self.id = id
        self.name = name
        self.inputs = inputs
    }
}
