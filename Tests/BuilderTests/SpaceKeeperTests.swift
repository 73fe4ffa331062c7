// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import GalleyTesting
import LinuxSystem
import OCI
import Snapshots
import Testing

@testable import Builder

struct SpaceKeeperTests {
    @Test func aCancelledPolicyRemovesNothing() async throws {
        let scratch = try ScratchDirectory()
        var settings = EngineSettings(root: scratch.file("root"))
        settings.space.maximum = .bytes(1)
        let engine = try Engine(settings)
        defer { engine.close() }
        let digest = try engine.store.content.store(Array("of no image".utf8))
        let cancelled = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return await engine.applySpacePolicy()
        }
        #expect(await cancelled.value == nil)
        #expect(engine.store.content.contains(digest))
        // It was not done, so it is due the next time.
        #expect(await engine.applySpacePolicy()?.removed.map(\.id) == [digest.description])
        #expect(!engine.store.content.contains(digest))
    }

    @Test func aCancelledPruneRemovesNothing() async throws {
        let scratch = try ScratchDirectory()
        let engine = try Engine(EngineSettings(root: scratch.file("root")))
        defer { engine.close() }
        let digest = try engine.store.content.store(Array("of no image".utf8))
        let cancelled = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await engine.prune(PruneRequest())
        }
        await #expect(throws: CancellationError.self) { try await cancelled.value }
        #expect(engine.store.content.contains(digest))
        #expect(try await engine.prune(PruneRequest()).blobs == 1)
    }

    /// A cache cannot be larger than all that the disk holds: where even that is within the rules, nothing is measured.
    @Test(arguments: [(SpaceAmount.bytes(1), true), (.bytes(.max), false)])
    func layersAreMeasuredWhereItMatters(maximum: SpaceAmount, isMeasured: Bool) async throws {
        let scratch = try ScratchDirectory()
        let engine = try Engine(EngineSettings(root: scratch.file("root")))
        defer { engine.close() }
        var settings = SpaceSettings()
        settings.maximum = maximum
        // The first look is at everything, whatever the sizes are.
        await engine.applySpacePolicy()
        let pending = try engine.store.snapshots.begin()
        let file = try open(pending.directoryPath.appending("file"), [.writeOnly, .create], mode: 0o644)
        try writeBytes(file.raw, [UInt8](repeating: 1, count: 10_000))
        _ = try engine.store.snapshots.publish(pending)
        let keeper = SpaceKeeper(store: engine.store, settings: settings)
        #expect(try keeper.isDue(CancellationFlag()) == isMeasured)
        #expect(try engine.store.snapshots.all().allSatisfy { ($0.disk != nil) == isMeasured })
    }
}
