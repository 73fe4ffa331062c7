// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import GalleyTesting
import LinuxSystem
import OCI
import Testing

@testable import Builder

struct KeptFiltersTests {
    private let scratch: ScratchDirectory
    private let database: MetadataDatabase
    private let filters: KeptFilters

    init() throws {
        scratch = try ScratchDirectory()
        database = try MetadataDatabase(
            path: scratch.file("galley.db").description,
            schemas: [KeptFilters.schema]
        )
        filters = KeptFilters(database: database)
    }

    private let filter: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]

    @Test func areFoundAgain() {
        #expect(filters.load(.sha256("rules")) == nil)
        filters.save(.sha256("rules"), filter)
        #expect(filters.load(.sha256("rules")) == filter)
        #expect(filters.load(.sha256("other rules")) == nil)
    }

    /// One bit may let through what the profile forbids.
    @Test(arguments: [
        "UPDATE seccomp_filters SET filter = X'0102030405060709'",
        "UPDATE seccomp_filters SET created = created - 8 * 24 * 3600",
        "UPDATE seccomp_filters SET created = created + 3600",
        "UPDATE seccomp_filters SET filter = 7",
    ])
    func damagedAndOldOnesAreNone(_ damage: String) throws {
        filters.save(.sha256("rules"), filter)
        try database.write { try $0.execute(damage) }
        #expect(filters.load(.sha256("rules")) == nil)
    }

    @Test func areFew() throws {
        for number in 0..<40 { filters.save(.sha256("rules \(number)"), filter) }
        let count = try database.read { try $0.query("SELECT count(*) FROM seccomp_filters").first?.integer(0) }
        #expect(count == 16)
    }
}
