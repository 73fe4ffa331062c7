// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildOps
import LinuxSystem
import Registry
import Solver

/// Files of the web for build steps.
struct WebFiles: WebSource {
    let client: WebClient

    private struct Answer: WebAnswer {
        let head: WebFetchAnswer
        var status: Int { head.status }
        var contentLength: Int64? { head.contentLength }
        func header(_ name: String) -> String? { head.header(name) }
    }

    func fetch<R: Sendable>(
        _ request: WebRequest,
        take: @Sendable @escaping (any WebAnswer, ByteChannel) async throws -> R
    ) async throws -> R {
        let fetch = WebFetch(
            request.url,
            headers: request.headers,
            authorization: request.authorization.map { RedactedString($0) }
        )
        return try await client.fetch(fetch, allowing: [304]) { try await take(Answer(head: $0), $1) }
    }
}

/// Remote sources are found again, and pruned, as results of other steps are.
struct RemoteCache: RemoteResults {
    let index: LocalCacheIndex<StepValue>

    func find(_ key: CacheKey) async throws -> StepValue? { try await index.lookup(key) }
    func record(_ value: StepValue, of step: VertexInfo, key: CacheKey) async throws {
        // The key is all there is to such a source: nothing else finds it.
        try await index.record(value, of: RecordedStep(step, operation: key), inputs: [], key: key)
    }
}
