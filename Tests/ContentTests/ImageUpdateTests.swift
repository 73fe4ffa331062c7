// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import GalleyTesting
import LinuxSystem
import OCI
import Testing

struct ImageUpdateTests {
    private let scratch: ScratchDirectory
    private let path: String

    init() throws {
        scratch = try ScratchDirectory()
        path = scratch.file("galley.db").description
    }

    private func store() throws -> ImageStore {
        ImageStore(try MetadataDatabase(path: path, schemas: [ImageStore.schema]))
    }

    private func record(_ name: String, _ content: String = "config") throws -> ImageRecord {
        ImageRecord(reference: try Reference(name), config: Digest.sha256(content), size: 0, updated: 1)
    }

    @Test func changesOfSeveralProcessesAddUp() async throws {
        let name = try Reference("app:1")
        try store().set(record("app:1"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                // A connection each, as processes have.
                let images = try store()
                group.addTask {
                    try await blocking {
                        for _ in 0..<25 {
                            try images.update(name) { current in
                                var record = try #require(current)
                                record.size += 1
                                return record
                            }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try store().find(name)?.size == 100)
    }

    @Test func anUpdateThatReturnsNothingOrThrowsChangesNothing() throws {
        struct Stop: Error {}
        let images = try store()
        let known = try record("app:1")
        try images.set(known)
        try images.update(known.reference) { _ in nil }
        #expect(throws: Stop.self) { try images.update(known.reference) { _ in throw Stop() } }
        try images.update(try Reference("other")) { current in
            #expect(current == nil)
            return nil
        }
        #expect(try images.all() == [known])
    }

    @Test func anUpdateMayAddANameAndFindsTagsByDigest() throws {
        let images = try store()
        var known = try record("app:1")
        known.repositoryDigest = Digest.sha256("index")
        try images.update(known.reference) { _ in known }
        let pinned = try Reference("app@\(Digest.sha256("index"))")
        try images.update(pinned) { current in
            #expect(current == known)
            return nil
        }
        #expect(try images.find(known.reference) == known)
    }

    /// Numbers of rows are given out again.
    @Test func anImageThatTookAnUnreadableOnesPlaceStays() throws {
        let images = try store()
        try images.set(record("app:1"))
        let database = try MetadataDatabase(path: path, schemas: [ImageStore.schema])
        try database.write { try $0.execute("UPDATE images SET config = 'damaged'") }
        let damaged = try images.unreadable()
        #expect(damaged.count == 1)
        // Somebody builds it again.
        let good = try record("app:1")
        try database.write { try $0.execute("DELETE FROM images") }
        try images.set(good)
        for image in damaged { try images.removeUnreadable(image) }
        #expect(try images.all() == [good])
        try database.write { try $0.execute("UPDATE images SET config = 'damaged'") }
        for image in try images.unreadable() { try images.removeUnreadable(image) }
        #expect(try images.readable().isEmpty)
        #expect(try images.unreadable().isEmpty)
    }
}
