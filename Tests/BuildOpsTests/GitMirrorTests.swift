// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildCache
import Content
import GalleyTesting
import LinuxSystem
import OCI
import Testing

@testable import BuildOps

struct GitMirrorTests {
    private let kitchen: TestKitchen
    private let mirrors: GitMirrors
    private let commit = String(repeating: "a", count: 40)

    init() throws {
        kitchen = try TestKitchen()
        mirrors = GitMirrors(kitchen.root)
    }

    /// Takes the mirror of a remote into use, as if something had been fetched into it.
    private func use(_ remote: String) async throws -> GitMirror {
        let mirror = try await GitMirror.locked(remote, commit: commit, in: kitchen.root)
        try makeDirectories(mirror.path)
        try replaceFile(mirror.path.appending("HEAD"), [1])
        return mirror
    }

    private func names() throws -> [String] {
        let directory = try open(kitchen.root.path.appending("git"), [.directory])
        return try readDirectory(directory.raw).map(\.name.description).sorted()
    }

    @Test func nothingStaysOfAMirrorThatIsRemoved() async throws {
        for _ in 0..<3 { withExtendedLifetime(try await use("one")) {} }
        let sizes = MeasuredSizes(kitchen.database)
        let found = try mirrors.all(sizes)
        #expect(found.map(\.uses) == [3])
        #expect(try names().count == 2)
        #expect(try mirrors.remove(found.map(\.name)).map(\.name) == found.map(\.name))
        #expect(try names() == [])
        withExtendedLifetime(try await use("one")) {}
        #expect(try mirrors.all(sizes).map(\.uses) == [1])
    }

    @Test func aMirrorInUseStays() async throws {
        let used = try await use("one")
        let all = try mirrors.all(MeasuredSizes(kitchen.database))
        #expect(all.map(\.isInUse) == [true])
        #expect(try mirrors.remove(all.map(\.name)).isEmpty)
        #expect(try names().count == 2)
        withExtendedLifetime(used) {}
    }

    /// Whoever opened a lock file that was removed before he locked it has nothing.
    @Test func aLockOfAnotherFileIsNone() throws {
        let file = kitchen.scratch.file("lock")
        #expect(try namedLock(file) != nil)
        try removeFile(file)
        try makeSymlink(at: workingDirectory, file, target: "other")
        #expect(try namedLock(file) == nil)
    }
}
