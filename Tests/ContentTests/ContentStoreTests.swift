// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import GalleyTesting
import LinuxSystem
import OCI
import Testing

struct ContentStoreTests {
    private let scratch: ScratchDirectory
    private let root: StoreRoot
    private let content: ContentStore

    init() throws {
        scratch = try ScratchDirectory()
        root = try StoreRoot(scratch.file("store"))
        content = ContentStore(root)
    }

    private func leftovers() throws -> Int {
        let directory = try open(root.temporary, [.directory])
        return try readDirectory(directory.raw).count
    }

    private func descriptor(_ bytes: [UInt8], size: Int64? = nil) -> Descriptor {
        Descriptor(mediaType: .ociLayer, digest: .sha256(bytes), size: size ?? Int64(bytes.count))
    }

    @Test func pruningLeavesWhatWasUsedSince() throws {
        let old = try content.store([1])
        let used = try content.store([2])
        let stored = try content.store([3])
        let horizon = try root.pruneHorizon()
        #expect(try content.use(used))
        #expect(try content.store([3]) == stored)
        #expect(try content.remove([old, used, stored, .sha256("none")], unusedSince: horizon).map(\.digest) == [old])
        #expect(try !content.use(old))
        #expect(try Set(content.all().map(\.digest)) == [used, stored])
        #expect(try content.remove([used, stored], unusedSince: root.pruneHorizon()).map(\.size) == [4096, 4096])
        #expect(try leftovers() == 0)
    }

    @Test func pruningLeavesWhatAnotherProcessMayUse() throws {
        let digest = try content.store([1])
        let other = try StoreRoot(root.path)
        #expect(try ContentStore(other).use(digest))
        #expect(try content.remove([digest], unusedSince: .max).isEmpty)
        other.close()
        #expect(try content.remove([digest], unusedSince: .max).map(\.digest) == [digest])
        withExtendedLifetime(other) {}
    }

    @Test func storesAndLoadsSmallBlobs() throws {
        let digest = try content.store([1, 2, 3])
        #expect(try content.store([1, 2, 3]) == digest)
        #expect(try content.load(digest) == [1, 2, 3])
        #expect(try content.load(.sha256("other")) == nil)
        #expect(try content.all().map(\.size) == [3])
        #expect(try leftovers() == 0)
    }

    @Test func aDamagedBlobIsNotHandedOut() async throws {
        let digest = try content.store([1, 2, 3])
        try replaceFile(content.path(of: digest), [1, 2, 4])
        await #expect(throws: ContentError.self) { try await content.readBlob(descriptor([1, 2, 3])) { _ in } }
        // It is out of the way of the next who stores it.
        #expect(!content.contains(digest))
        try replaceFile(content.path(of: digest), [1, 2, 4])
        #expect(try content.load(digest) == nil)
        #expect(!content.contains(digest))
        try replaceFile(content.path(of: digest), [1, 2, 4])
        #expect(try content.store([1, 2, 3]) == digest)
        #expect(try content.load(digest) == [1, 2, 3])
    }

    @Test func aGoodBlobThatTookADamagedOnesPlaceStays() throws {
        let digest = try content.store([1, 2, 3])
        try replaceFile(content.path(of: digest), [1, 2, 4])
        // Another process sees the damage, and mends it, while this one still reads.
        let other = ContentStore(try StoreRoot(root.path))
        #expect(throws: ContentError.self) {
            try content.read(descriptor([1, 2, 3])) { _ in _ = try other.store([1, 2, 3]) }
        }
        #expect(try content.load(digest) == [1, 2, 3])
    }

    @Test func onlyTheFileThatWasReadIsRemoved() throws {
        let digest = try content.store([1, 2, 3])
        try replaceFile(content.path(of: digest), [1, 2, 4])
        let damaged = try open(content.path(of: digest), .readOnly)
        try replaceFile(content.path(of: digest), [1, 2, 3])
        try content.remove(digest, ifStill: damaged.raw)
        #expect(try content.load(digest) == [1, 2, 3])
        let read = try open(content.path(of: digest), .readOnly)
        for _ in 0..<2 { try content.remove(digest, ifStill: read.raw) }
        #expect(!content.contains(digest))
    }

    @Test func aWrongDescriptorHarmsNoBlob() async throws {
        let digest = try content.store([1, 2, 3])
        for size: Int64 in [2, 4] {
            let wrong = Descriptor(mediaType: .ociLayer, digest: digest, size: size)
            await #expect(throws: ContentError.self) { try await content.readBlob(wrong) { _ in } }
        }
        #expect(try content.load(digest) == [1, 2, 3])
    }

    @Test(arguments: [0, 1, 70_000, 9 << 20])
    func streamsThroughWritersAndReaders(_ size: Int) async throws {
        let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let expected = descriptor(bytes)
        let made = try await content.writeBlob(mediaType: .ociLayer, expected: nil) { writer in
            var rest = bytes[...]
            while !rest.isEmpty {
                try await writer.write(rest.prefix(100_000))
                rest = rest.dropFirst(100_000)
            }
        }
        #expect(made == expected)
        #expect(try await content.containsBlob(expected))
        var read: [UInt8] = []
        try await content.readBlob(expected) { read += $0 }
        #expect(read == bytes)
        #expect(try leftovers() == 0)
    }

    @Test(arguments: [[1, 2], [1, 2, 4], [1, 2, 3, 4]] as [[UInt8]])
    func refusesBytesThatAreNotTheExpectedOnes(_ bytes: [UInt8]) async throws {
        let expected = descriptor([1, 2, 3])
        await #expect(throws: ContentError.self) {
            try await content.writeBlob(mediaType: .ociLayer, expected: expected) { try await $0.write(bytes[...]) }
        }
        #expect(!content.contains(expected.digest))
        #expect(try leftovers() == 0)
    }

    @Test func theProducersErrorComesBackAndNothingStays() async throws {
        struct Cut: Error {}
        await #expect(throws: Cut.self) {
            try await content.writeBlob(mediaType: .ociLayer, expected: nil) { writer in
                try await writer.write([1])
                throw Cut()
            }
        }
        #expect(try content.all().isEmpty)
        #expect(try leftovers() == 0)
    }

    @Test func aReaderMayStopEarly() async throws {
        struct Enough: Error {}
        let bytes = [UInt8](repeating: 7, count: 32 << 20)
        _ = try content.store(bytes)
        await #expect(throws: Enough.self) { try await content.readBlob(descriptor(bytes)) { _ in throw Enough() } }
    }

    @Test func aMissingBlobSaysSo() async throws {
        await #expect {
            try await content.readBlob(descriptor([9])) { _ in }
        } throws: {
            ($0 as? ContentError)?.code == .notFound
        }
    }
}
