// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import OCI

/// What a former result is found by.
public struct CacheKey: Hashable, Sendable, CustomStringConvertible {
    public let digest: Digest

    public init(_ digest: Digest) { self.digest = digest }
    public var description: String { digest.description }
}

/// The result of a step.
public protocol SolverValue: Sendable {
    /// Equal only for results that no later step can tell apart.
    var identity: CacheKey { get }
    /// False for a result that does not belong to its step's keys, since what the step read changed meanwhile: this build
    /// uses it, no later one finds it.
    var isReusable: Bool { get }
}

extension SolverValue {
    public var isReusable: Bool { true }
}

/// One step, as the solver sees it.
public protocol SolverOp: Sendable {
    associatedtype Value: SolverValue

    var info: VertexInfo { get }
    /// A source has no inputs and is never looked up: its `execute` is cheap, and it announces itself.
    var isSource: Bool { get }
    /// Former results must not be used; what comes of the step is recorded all the same.
    var ignoresCache: Bool { get }

    /// The operation and its inputs' keys as one key. For a source: its content, which may take I/O.
    func definitionKey(inputs: [CacheKey]) async throws -> CacheKey

    /// The operation and the content of what it really reads; nil when no finer key than the definition is known.
    func contentKey(inputs: [Value]) async throws -> CacheKey?

    /// Fetches what `execute` will need of the inputs, so that the time it takes is not counted as the step's.
    func prepare(inputs: [Value]) async throws

    /// Does the step. Must leave nothing behind when it throws, cancellation included.
    func execute(inputs: [Value]) async throws -> Value

    /// Told to a source that a step above it was found, so that nobody may ever ask for it. May be told more than once.
    func announceUnused()
}

extension SolverOp {
    public func prepare(inputs: [Value]) async throws {}
}

/// Results of former steps.
public protocol CacheIndex: Sendable {
    associatedtype Value: SolverValue

    /// A result that can be used now; nil also when it was recorded but its data is gone.
    func lookup(_ key: CacheKey) async throws -> Value?

    /// Remembers a step's result under each key, in place of what was there.
    func record(_ value: Value, of step: VertexInfo, keys: [CacheKey]) async throws
}

/// A step that failed, and why.
public struct StepFailure: Error, Sendable {
    public let vertex: VertexInfo
    public let cause: any Error
}
