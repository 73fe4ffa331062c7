// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import GalleyTesting
import LinuxSystem
import OCI
import Testing

@testable import Builder

/// Names that other processes set while a registry is asked or pushed to.
struct ImageNameTests {
    private let scratch: ScratchDirectory
    private let images: ImageStore
    private let name: Reference
    private let arm: Platform

    init() throws {
        scratch = try ScratchDirectory()
        let path = scratch.file("galley.db").description
        images = ImageStore(try MetadataDatabase(path: path, schemas: [ImageStore.schema]))
        name = try Reference("app:1")
        arm = try Platform("linux/arm64")
    }

    private func record(_ config: String, index: String? = nil, isImplicit: Bool = false) -> ImageRecord {
        ImageRecord(
            reference: name,
            config: Digest.sha256(config),
            repositoryDigest: index.map { Digest.sha256($0) },
            size: 0,
            updated: 1,
            isImplicit: isImplicit
        )
    }

    @Test func aBaseImageIsKeptWithoutBeingListed() throws {
        try images.remember(record("base", index: "i"), arm, insteadOf: nil)
        #expect(try images.find(name) == record("base", index: "i", isImplicit: true))
    }

    @Test func aNameThatTheRegistryMovedIsMovedAndStaysListed() throws {
        let old = record("old", index: "i")
        try images.set(old)
        try images.remember(record("new", index: "j"), arm, insteadOf: old)
        #expect(try images.find(name) == record("new", index: "j"))
    }

    @Test(arguments: [nil, "old"]) func aNameThatWasSetMeanwhileStays(_ former: String?) throws {
        let known = former.map { record($0, index: "i") }
        // While the registry was asked, another process built an image of that name.
        let built = record("built")
        try images.set(built)
        try images.remember(record("new", index: "j"), arm, insteadOf: known)
        #expect(try images.find(name) == built)
    }

    @Test func aPlatformOfTheSameIndexIsAddedWhoeverSetTheName() throws {
        try images.set(record("amd", index: "i"))
        try images.remember(record("arm", index: "i"), arm, insteadOf: nil)
        try images.remember(record("arm", index: "i"), arm, insteadOf: nil)
        let found = try #require(try images.find(name))
        #expect(found.config == Digest.sha256("amd"))
        #expect(found.variants == [ImageVariant(platform: arm, config: Digest.sha256("arm"), size: 0)])
    }

    @Test func whatWasPushedGetsItsDigest() throws {
        var built = record("built")
        built.variants = [ImageVariant(platform: arm, config: Digest.sha256("arm"), size: 7)]
        try images.set(built)
        try images.setRepositoryDigest(Digest.sha256("m"), of: name, [built.config])
        built.repositoryDigest = Digest.sha256("m")
        #expect(try images.find(name) == built)
    }

    @Test func aNameThatWasMovedOrRemovedDuringAPushStaysSo() throws {
        try images.setRepositoryDigest(Digest.sha256("m"), of: name, [Digest.sha256("built")])
        #expect(try images.all().isEmpty)
        let moved = record("moved")
        try images.set(moved)
        try images.setRepositoryDigest(Digest.sha256("m"), of: name, [Digest.sha256("built")])
        #expect(try images.find(name) == moved)
    }
}
