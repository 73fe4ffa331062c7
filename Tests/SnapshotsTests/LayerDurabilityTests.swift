// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import LinuxSystem
import Testing

@testable import Snapshots

struct LayerDurabilityTests {
    private func layer(_ store: TestStore) throws -> SnapshotID {
        let pending = try store.snapshots.begin()
        let file = try open(at: pending.directory.raw, "f", [.writeOnly, .create], mode: 0o644)
        try writeBytes(file.raw, Array("x".utf8))
        return try store.snapshots.publish(pending)
    }

    private func mark(_ id: SnapshotID, _ store: TestStore) throws -> [Substring] {
        let row = try store.database.read {
            try $0.query("SELECT root FROM snapshots WHERE id = ?", [.integer(id.rawValue)]).first
        }
        return try #require(row?.text(0)).split(separator: " ")
    }

    /// As if the machine had been started anew since.
    private func restart(_ store: TestStore) throws {
        try store.database.write {
            try $0.execute(
                "UPDATE snapshots SET root = replace(root, ?, 'another-start')",
                [.text(try #require(store.snapshots.machineStart))]
            )
        }
    }

    @Test func aLayerIsTrustedOnlyUntilTheMachineGoesDown() throws {
        let store = try TestStore()
        let id = try layer(store)
        #expect(try mark(id, store).count == 7)
        #expect(try store.snapshots.use([id]))
        try restart(store)
        let next = OverlaySnapshotter(store.root, store.database)
        #expect(try !next.use([id]))
        let stored = try #require(try next.records().first { $0.id == id })
        #expect(try next.examine(stored) {} == .incomplete)
        // Nobody can vouch for it any more.
        try next.settle()
        #expect(try !next.use([id]))
    }

    @Test func aSettledLayerStays() throws {
        let store = try TestStore()
        let id = try layer(store)
        #expect(store.snapshots.hasUnsettledLayers)
        try store.snapshots.flush()
        #expect(try mark(id, store).count == 7)
        try store.snapshots.settle()
        #expect(!store.snapshots.hasUnsettledLayers)
        #expect(try mark(id, store).count == 6)
        try restart(store)
        #expect(try OverlaySnapshotter(store.root, store.database).use([id]))
        #expect(try store.snapshots.examine(#require(try store.snapshots.records().first)) {} == .sound)
    }

    /// A build that rests on a layer of one that was killed brings it to the disk with its own.
    @Test func whoUsesALayerSettlesIt() throws {
        let store = try TestStore()
        let id = try layer(store)
        let other = OverlaySnapshotter(store.root, store.database)
        #expect(!other.hasUnsettledLayers)
        #expect(try other.use([id]))
        #expect(other.hasUnsettledLayers)
        try other.settle()
        #expect(try mark(id, store).count == 6)
    }
}
