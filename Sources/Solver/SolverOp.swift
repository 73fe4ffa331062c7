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
    /// False for a result that does not belong to its step's keys, since what the step read changed meanwhile: this build
    /// uses it, no later one finds it.
    var isReusable: Bool { get }
}

extension SolverValue {
    public var isReusable: Bool { true }
}

/// How a former result of an operation serves for other inputs.
public enum Reuse: Sendable, Hashable {
    case none
    /// What the operation reads of them is the same.
    case unchanged
    /// What the operation makes is the same, but it lies on something else.
    case rebased
}

/// One step, as the solver sees it.
public protocol SolverOp: Sendable {
    associatedtype Value: SolverValue

    var info: VertexInfo { get }
    /// A source has no inputs and is never looked up: its `execute` is cheap, and it announces itself.
    var isSource: Bool { get }
    /// Former results must not be used; what comes of the step is recorded all the same.
    var ignoresCache: Bool { get }

    /// What the step does, whatever its inputs are.
    var operation: CacheKey { get }

    /// The operation and its inputs' keys as one key. For a source: its content, which may take I/O.
    func definitionKey(inputs: [CacheKey]) async throws -> CacheKey

    /// Whether what this operation made of `former` inputs is what it would make of `inputs`. Reads no more of either than
    /// it takes to tell; inputs that are gone serve for nothing.
    func reuse(of former: [Value], for inputs: [Value]) async throws -> Reuse

    /// A result that can be `rebased`, as it lies on `inputs`.
    func rebase(_ value: Value, onto inputs: [Value]) async throws -> Value

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

    /// Remembers a step's result under its definition key, in place of what was there, and of which inputs it was made.
    func record(_ value: Value, of step: RecordedStep, inputs: [Value], key: CacheKey) async throws

    /// What the operation made of which inputs, newest first; a bounded number.
    func formerResults(of operation: CacheKey) async throws -> [FormerResult<Value>]

    /// The result itself; nil when its data is gone.
    func result(_ former: FormerResult<Value>) async throws -> Value?

    /// Runs `body` while nobody else, in this process or another, does so for the same key.
    ///
    /// - Parameter waiting: called once when that takes a wait that a user would notice.
    func withClaim<R: Sendable>(
        _ key: CacheKey,
        waiting: @Sendable () async -> Void,
        _ body: @Sendable () async throws -> R
    ) async throws -> R
}

/// What a record says of its step.
public struct RecordedStep: Sendable, Hashable {
    public var info: VertexInfo
    public var operation: CacheKey

    public init(_ info: VertexInfo, operation: CacheKey) {
        self.info = info
        self.operation = operation
    }
}

/// Something that an operation was done with before.
public struct FormerResult<Value: SolverValue>: Sendable {
    /// Names the result for the index.
    public var result: Digest
    public var inputs: [Value]

    public init(result: Digest, inputs: [Value]) {
        self.result = result
        self.inputs = inputs
    }
}

/// A step that failed, and why.
public struct StepFailure: Error, Sendable {
    public let vertex: VertexInfo
    public let cause: any Error
}
