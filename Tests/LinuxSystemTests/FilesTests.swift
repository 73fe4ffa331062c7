// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import Testing

@Suite struct FilesTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test func replacesFilesAtomically() throws {
        try directory.write("a", "one")
        try directory.write("a", "two")
        #expect(try directory.text("a") == "two")
        #expect(try directory.names() == ["a"])
        #expect(throws: SystemError.self) { try replaceFile(at: directory.fd.raw, "no/a", []) }
        #expect(try directory.names() == ["a"])
    }

    @Test func diskUsageCountsWhatIsAllocated() throws {
        try replaceFile(at: directory.fd.raw, "big", [UInt8](repeating: 1, count: 1_000_000))
        let one = try diskUsage(of: directory.path)
        #expect(one >= 1_000_000 && one < 1_100_000)
        // Other names of a file, holes and links to elsewhere are free.
        try makeHardLink(from: directory.fd.raw, "big", to: directory.fd.raw, "again")
        let sparse = try open(at: directory.fd.raw, "sparse", [.writeOnly, .create])
        #expect(ftruncate(sparse.raw, 1 << 30) == 0)
        try makeSymlink(at: directory.fd.raw, "out", target: "/usr")
        #expect(try diskUsage(of: directory.path) < one + 20_000)
        #expect(try diskUsage(of: directory.path.appending("missing")) == 0)
    }

    @Test func diskUsageGoesToAnyDepth() throws {
        var current = try open(at: directory.fd.raw, ".", [.directory])
        for _ in 0..<300 {
            try makeDirectory(at: current.raw, "a-name-that-makes-paths-long", mode: 0o755)
            current = try open(at: current.raw, "a-name-that-makes-paths-long", [.directory])
        }
        try replaceFile(at: current.raw, "f", [UInt8](repeating: 1, count: 1_000_000))
        #expect(try diskUsage(of: directory.path) >= 1_000_000)
    }

    @Test func readLimit() throws {
        try directory.write("a", "12345")
        #expect(try readFile(at: directory.fd.raw, "a", limit: 5).count == 5)
        #expect { _ = try readFile(at: directory.fd.raw, "a", limit: 4) } throws: {
            ($0 as? SystemError)?.errno == EFBIG
        }
    }

    @Test func namesNeedNotBeText() throws {
        let name = RawPath(bytes: [0xff, 0x20, 0x0a])
        try directory.write(name, "x")
        #expect(try readDirectory(directory.fd.raw).map(\.name) == [name])
        // Reading again starts at the beginning.
        #expect(try readDirectory(directory.fd.raw).count == 1)
    }

    @Test func largeDirectories() throws {
        for number in 0..<3000 { try makeDirectory(at: directory.fd.raw, RawPath("name-that-is-not-short-\(number)")) }
        let entries = try readDirectory(directory.fd.raw)
        #expect(Set(entries.map(\.name)).count == 3000)
        #expect(entries.allSatisfy { $0.kind == .directory })
    }

    @Test(arguments: ["/outside", "../outside", "up/../../../outside", "link", "absolute", "deep/again"] as [RawPath])
    func nothingLeavesTheRoot(path: RawPath) throws {
        try directory.write("outside", "secret")
        try makeDirectories(directory.path.appending("root/deep"))
        let root = try open(directory.path.appending("root"), [.directory])
        try makeSymlink(at: root.raw, "link", target: "../../../../outside")
        try makeSymlink(at: root.raw, "absolute", target: directory.path.appending("outside"))
        try makeSymlink(at: root.raw, "up", target: "..")
        try makeSymlink(at: root.raw, "deep/again", target: "../../outside")
        #expect { _ = try openInRoot(root.raw, path, .readOnly) } throws: { ($0 as? SystemError)?.isNotFound == true }
        #expect(throws: SystemError.self) { _ = try openInRoot(root.raw, path, .readOnly, resolve: .beneath) }
        try replaceFile(at: root.raw, "outside", Array("inside".utf8))
        let allowed = path.description != "absolute"
        if allowed {
            let file = try openInRoot(root.raw, path, .readOnly)
            #expect(try readAll(file.raw) == Array("inside".utf8))
        }
    }

    @Test func symlinksCanBeRefused() throws {
        try directory.write("file", "x")
        try makeSymlink(at: directory.fd.raw, "link", target: "file")
        #expect { _ = try openInRoot(directory.fd.raw, "link", .readOnly, resolve: [.inRoot, .noSymlinks]) } throws: {
            ($0 as? SystemError)?.errno == ELOOP
        }
        try makeSymlink(at: directory.fd.raw, "loop", target: "loop")
        #expect { _ = try openInRoot(directory.fd.raw, "loop", .readOnly) } throws: {
            ($0 as? SystemError)?.errno == ELOOP
        }
        #expect { _ = try openInRoot(directory.fd.raw, "/proc/self/fd/0", .readOnly) } throws: {
            ($0 as? SystemError)?.isNotFound == true
        }
    }

    @Test func removesTreesButNotWhatLinksLeadTo() throws {
        try makeDirectories(directory.path.appending("tree/a/b"))
        try makeDirectory(at: directory.fd.raw, "kept")
        try directory.write("kept/file", "x")
        try makeSymlink(at: directory.fd.raw, "tree/a/link", target: directory.path.appending("kept"))
        try directory.write("tree/a/b/locked", "x")
        try setPermissions(at: directory.fd.raw, "tree/a/b", 0)
        try removeTree(at: directory.fd.raw, "tree")
        try removeTree(at: directory.fd.raw, "tree")
        #expect(try directory.names() == ["kept"])
        #expect(try directory.text("kept/file") == "x")
    }

    @Test func statusTellsWhatIsThere() throws {
        try directory.write("file", "1234")
        try makeHardLink(from: directory.fd.raw, "file", to: directory.fd.raw, "second")
        try makeSymlink(at: directory.fd.raw, "link", target: "file")
        try setPermissions(at: directory.fd.raw, "file", 0o6751)
        let time = FileTime(seconds: -5, nanoseconds: 123_456_789)
        try setTimes(at: directory.fd.raw, "file", time)
        let file = try status(at: directory.fd.raw, "file")
        #expect(file.kind == .regular && file.size == 4 && file.links == 2 && file.permissions == 0o6751)
        #expect(file.modified == time)
        #expect(try status(at: directory.fd.raw, "link").kind == .symlink)
        #expect(try status(at: directory.fd.raw, "link", following: true).inode == file.inode)
        #expect(try readLink(at: directory.fd.raw, "link") == "file")
        #expect(try statusIfPresent(at: directory.fd.raw, "file/below") == nil)
        #expect(try status(of: directory.fd.raw).kind == .directory)
    }

    @Test func renamingCanRefuseToReplace() throws {
        try directory.write("a", "a")
        try directory.write("b", "b")
        let fd = directory.fd.raw
        #expect { try renameFile(at: fd, "a", to: fd, "b", replacing: false) } throws: {
            ($0 as? SystemError)?.errno == EEXIST
        }
        try renameFile(at: fd, "a", to: fd, "b")
        #expect(try directory.text("b") == "a")
    }

    @Test(.enabled(if: isRoot)) func whiteoutsAndFifos() throws {
        try makeWhiteout(at: directory.fd.raw, "gone")
        try makeNode(at: directory.fd.raw, "fifo", mode: UInt32(S_IFIFO) | 0o600)
        #expect(try status(at: directory.fd.raw, "gone").isWhiteout)
        #expect(try status(at: directory.fd.raw, "fifo").kind == .fifo)
    }

    @Test func extendedAttributes() throws {
        try directory.write("file", "x")
        let fd = directory.fd.raw
        try setExtendedAttribute(at: fd, "file", "user.galley", [1, 0, 2])
        #expect(try extendedAttribute(at: fd, "file", "user.galley") == [1, 0, 2])
        #expect(try extendedAttribute(at: fd, "file", "user.absent") == nil)
        #expect(try extendedAttributeNames(at: fd, "file").contains("user.galley"))
        try setExtendedAttribute(of: fd, "user.empty", [])
        #expect(try extendedAttribute(at: fd, "", "user.empty") == [])
    }

    @Test(
        arguments: [
            ("a//b/./c", ["a", "b", "c"]), ("/", []), ("", []), ("../x", ["..", "x"]),
        ] as [(String, [RawPath])]
    )
    func components(path: String, components: [RawPath]) {
        #expect(RawPath(path).components == components)
    }
}

@Suite struct FileLockTests {
    @Test func excludesOthersUntilItEnds() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path.appending("lock")
        do {
            let held = try #require(try FileLock(trying: path))
            let second = try FileLock(trying: path)
            #expect(second == nil)
            _ = consume held
        }
        let third = try FileLock(trying: path)
        #expect(third != nil)
    }

    @Test func aFileThatIsGoneIsNotMadeToLookAtIt() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path.appending("lock")
        #expect { _ = try FileLock(trying: path, creates: false) } throws: { ($0 as? SystemError)?.isNotFound == true }
        #expect(try statusIfPresent(at: workingDirectory, path) == nil)
    }

    @Test func sharedLocksGoTogether() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path.appending("lock")
        let first = try FileLock(path, shared: true)
        let second = try FileLock(path, shared: true)
        let exclusive = try FileLock(trying: path)
        #expect(exclusive == nil)
        _ = (consume first, consume second)
    }
}
