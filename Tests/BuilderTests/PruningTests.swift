// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import BuildOps
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots
import Solver
import Testing

@testable import Builder

@Suite(.enabled(if: isRoot, "layers keep owners only for root"))
struct PruningTests {
    private let scratch: ScratchDirectory
    private let store: Store

    init() throws {
        scratch = try ScratchDirectory()
        store = try Store(scratch.file("store"))
    }

    private func key(_ name: String) -> CacheKey { CacheKey(Digest.sha256(name)) }

    /// A layer, and a step whose result stands on `lower` and it.
    private func build(_ name: String, on lower: [SnapshotID] = []) async throws -> SnapshotID {
        let pending = try store.snapshots.begin()
        try replaceFile(at: pending.directory.raw, RawPath(name), name.utf8)
        let id = try store.snapshots.publish(pending)
        let step = RecordedStep(
            VertexInfo(id: VertexID(Digest.sha256(name)), name: name),
            operation: key("operation \(name)")
        )
        let value = StepValue(LayerStack(lower + [id]))
        try await store.cacheIndex.record(value, of: step, inputs: [], key: key(name))
        return id
    }

    private func isKnown(_ name: String) async throws -> Bool { try await store.cacheIndex.lookup(key(name)) != nil }

    @Test func resultsGoWithTheirLayersOnly() async throws {
        let base = try await build("base")
        let used = try await build("used", on: [base])
        let unused = try await build("unused", on: [base])
        let survey = try StoreSurvey(store, CancellationFlag())
        let layers = survey.things.indices.filter { if case .layer = survey.things[$0] { true } else { false } }
        #expect(layers.count == 3)
        // A build finds a result after the survey.
        #expect(try await isKnown("used"))
        var pruning = Pruning(store, survey, CancellationFlag())
        let report = try pruning.remove(layers)
        #expect(report.layers == 1)
        #expect(report.cacheRecords == 1)
        #expect(try store.snapshots.all().map(\.id) == [base, used])
        for (name, expected) in [("base", true), ("used", true), ("unused", false)] {
            #expect(try await isKnown(name) == expected)
        }
        #expect(unused > used)
    }
}
