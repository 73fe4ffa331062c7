// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI
public import Solver

/// One step of a build: an operation, what it works on, and what to call it.
public struct BuildVertex: Hashable, Sendable {
    public let id: VertexID
    public let op: BuildOp
    /// In the order the operation numbers them.
    public let inputs: [VertexID]
    public var metadata: Metadata

    /// What is shown of a step; no part of its identity.
    public struct Metadata: Hashable, Sendable {
        /// The step's line, like `[builder 2/4] RUN make`.
        public var name: String
        /// First and last line of the instruction in the Dockerfile, 1-based; nil for a step that no line asks for.
        public var lines: ClosedRange<Int>?
        /// The stage's name or number.
        public var stage: String?
        /// The instruction's text.
        public var instruction: String?
        /// Former results must not be used.
        public var ignoresCache: Bool
        /// Variables that the instruction's text names and that were replaced beforehand, as `NAME=value`.
        public var replacedVariables: [String] = []
        /// Names of the variables that ARG declares where the instruction stands.
        public var arguments: [String] = []

        public init(
            name: String,
            lines: ClosedRange<Int>? = nil,
            stage: String? = nil,
            instruction: String? = nil,
            ignoresCache: Bool = false
        ) {
            self.name = name
            self.lines = lines
            self.stage = stage
            self.instruction = instruction
            self.ignoresCache = ignoresCache
        }
    }

    public init(op: BuildOp, inputs: [VertexID], metadata: Metadata) {
        self.op = op
        self.inputs = inputs
        self.metadata = metadata
        var encoder = CanonicalEncoder()
        encoder.append("op", bytes: op.canonicalBytes)
        encoder.append("inputs", inputs.map(\.description))
        id = VertexID(Digest.sha256(encoder.bytes))
    }

    public var info: VertexInfo { VertexInfo(id: id, name: metadata.name, inputs: inputs) }
}

/// Steps and their order; equal steps are one. Inputs are added before what uses them, so there is no cycle.
public struct BuildGraph: Sendable {
    public private(set) var vertices: [VertexID: BuildVertex] = [:]
    /// In the order of first addition: inputs come before their users.
    public private(set) var order: [VertexID] = []

    public init() {}

    public subscript(id: VertexID) -> BuildVertex? { vertices[id] }

    /// Adds a step and returns its identity; an equal step that is already there is kept, with its first metadata.
    ///
    /// - Precondition: all inputs were added before.
    public mutating func add(_ op: BuildOp, inputs: [VertexID] = [], metadata: BuildVertex.Metadata) -> VertexID {
        precondition(inputs.allSatisfy { vertices[$0] != nil }, "an input must be added before its user")
        let vertex = BuildVertex(op: op, inputs: inputs, metadata: metadata)
        insert(vertex)
        return vertex.id
    }

    private mutating func insert(_ vertex: BuildVertex) {
        if var known = vertices[vertex.id] {
            if vertex.metadata.ignoresCache, !known.metadata.ignoresCache {
                known.metadata.ignoresCache = true
                vertices[vertex.id] = known
            }
        } else {
            vertices[vertex.id] = vertex
            order.append(vertex.id)
        }
    }

    /// Adds the steps of another graph, as ``add(_:inputs:metadata:)`` does.
    public mutating func formUnion(_ other: BuildGraph) {
        if order.isEmpty {
            self = other
            return
        }
        for id in other.order {
            if let vertex = other.vertices[id] { insert(vertex) }
        }
    }

    /// The steps that `targets` need, inputs first.
    public func reachable(from targets: [VertexID]) -> [BuildVertex] {
        var needed = Set<VertexID>()
        var pending = targets
        while let id = pending.popLast() {
            if needed.insert(id).inserted { pending += vertices[id]?.inputs ?? [] }
        }
        return order.filter(needed.contains).compactMap { vertices[$0] }
    }
}
