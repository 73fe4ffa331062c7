// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import BuildCache
import BuildDefinition
public import LinuxSystem
public import Solver
import Synchronization

/// How the steps of one build reach other machines. Each repository and each file is asked for once a build, whoever
/// needs it and for whatever.
public struct RemoteAccess: Sendable {
    public var web: any WebSource
    public var memory: WebMemory
    /// Looks up and records finished trees, as the solver does with those of other steps.
    public var results: any RemoteResults
    /// Of this process: git gets PATH, proxies and where certificates are, and nothing else.
    public var environment: [String: String]
    let trees = RemoteTrees()

    public init(
        web: any WebSource,
        memory: WebMemory,
        results: any RemoteResults,
        environment: [String: String]
    ) {
        self.web = web
        self.memory = memory
        self.results = results
        self.environment = environment
    }
}

/// A request for a file on a web server.
public struct WebRequest: Sendable {
    public var url: String
    public var headers: [(name: String, value: String)]
    /// The value of an Authorization header, for this URL's host alone.
    public var authorization: String?

    public init(url: String, headers: [(name: String, value: String)] = [], authorization: String? = nil) {
        self.url = url
        self.headers = headers
        self.authorization = authorization
    }
}

/// The head of an answer.
public protocol WebAnswer: Sendable {
    var status: Int { get }
    var contentLength: Int64? { get }
    /// The first header of that name, any letter case.
    func header(_ name: String) -> String?
}

/// Somewhere files of the web come from. Redirects, proxies and new attempts are its business.
public protocol WebSource: Sendable {
    /// Hands the body to `take`, from the start each time that a failed transfer is tried again. Statuses are 2xx or 304.
    func fetch<R: Sendable>(
        _ request: WebRequest,
        take: @Sendable @escaping (any WebAnswer, ByteChannel) async throws -> R
    ) async throws -> R
}

/// Finished trees of remote sources.
public protocol RemoteResults: Sendable {
    func find(_ key: CacheKey) async throws -> StepValue?
    func record(_ value: StepValue, of step: VertexInfo, key: CacheKey) async throws
}

/// Files from another machine, as a source of the solver: it announces itself.
protocol RemoteTree: Sendable {
    /// What the content is told by; asks the other machine.
    func key() async throws -> CacheKey
    func value() async throws -> StepValue
    /// When the content was made, in seconds since 1970; nil when nothing tells.
    func time() async throws -> Int64?
    func announceUnused()
}

/// The remote sources of a build, one for each operation.
final class RemoteTrees: Sendable {
    private let known = Mutex<[VertexID: any RemoteTree]>([:])

    func tree(_ vertex: BuildVertex, _ make: () -> any RemoteTree) -> any RemoteTree {
        known.withLock { known in
            if let tree = known[vertex.id] { return tree }
            let tree = make()
            known[vertex.id] = tree
            return tree
        }
    }
}

/// Says once what became of a source.
final class SourceAnnouncement: Sendable {
    private let info: VertexInfo
    private let environment: StepEnvironment
    private let isDone = Mutex(false)

    init(_ info: VertexInfo, _ environment: StepEnvironment) {
        self.info = info
        self.environment = environment
    }

    private func isFirst() -> Bool {
        isDone.withLock { isDone in
            defer { isDone = true }
            return !isDone
        }
    }

    /// The source was found, or nobody wants it.
    func cached() {
        if isFirst() { environment.events.send(.cached(info, at: environment.now())) }
    }

    /// Shows `body` as the step's work. Only the first call shows anything.
    func working<R>(_ body: () async throws -> R) async throws -> R {
        guard isFirst() else { return try await body() }
        environment.events.send(.started(info, at: environment.now()))
        do {
            let result = try await body()
            environment.events.send(.completed(info.id, .succeeded, at: environment.now()))
            return result
        } catch {
            let isCancelled = error is CancellationError || Task.isCancelled
            let outcome: VertexOutcome = isCancelled ? .cancelled : .failed(message: "\(error)")
            environment.events.send(.completed(info.id, outcome, at: environment.now()))
            throw isCancelled ? CancellationError() : error
        }
    }
}
