// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import Testing

/// Trees that are deeper than descriptors, stacks and paths go.
@Suite(.enabled(if: isRoot, "file systems in memory, where this does not take minutes, need root"))
struct TreeRemovalTests {
    private let memory: SharedFD
    /// More than any limit of descriptors that a removal could have got to itself here.
    private static let depth = 20_000

    init() throws {
        let tree = try detachedMemoryTree()
        memory = try open(at: tree.raw, ".", [.directory]).shared()
        try setPermissions(of: memory.raw, 0o777)
    }

    /// Nested directories with a file and a symlink in each; every hundredth is closed to its owner.
    private static func makeTree(at parent: CInt, kept: RawPath) throws {
        var above = try open(at: parent, ".", [.directory]).shared()
        for level in 0..<depth {
            try makeDirectory(at: above.raw, "d")
            let next = try open(at: above.raw, "d", [.directory]).shared()
            try makeSymlink(at: next.raw, "a-link", target: kept)
            if level % 10 == 0 { _ = try open(at: next.raw, "file", [.writeOnly, .create]) }
            if level % 100 == 99 { try setPermissions(of: above.raw, 0) }
            above = next
        }
    }

    private func names() throws -> [RawPath] { try readDirectory(memory.raw).map(\.name) }

    @Test func deepTrees() throws {
        let kept = try TemporaryDirectory()
        try kept.write("file", "x")
        try makeDirectory(at: memory.raw, "tree")
        let tree = try open(at: memory.raw, "tree", [.directory])
        try Self.makeTree(at: tree.raw, kept: kept.path)
        var told = 0
        try removeTree(at: memory.raw, "tree") { _ in told += 1 }
        #expect(told == Self.depth + 1)
        #expect(try names() == [])
        #expect(try kept.text("file") == "x")
    }

    @Test("as an ordinary user, whose directories may be closed to himself")
    func ordinaryUser() async throws {
        let fd = memory
        try await asOrdinaryUser {
            try makeDirectory(at: fd.raw, "tree")
            let tree = try open(at: fd.raw, "tree", [.directory])
            try Self.makeTree(at: tree.raw, kept: "/nonexistent")
            let error = #expect(throws: SystemError.self) { try Self.enter(tree.raw) }
            #expect(error?.errno == EACCES)
            try removeTree(at: fd.raw, "tree")
        }
        #expect(try names() == [])
    }

    /// Follows the directories until one cannot be entered.
    private static func enter(_ tree: CInt) throws {
        var next = try open(at: tree, ".", [.directory]).shared()
        while true { next = try open(at: next.raw, "d", [.directory]).shared() }
    }

    @Test("what belongs to others is an error and stays")
    func foreignFiles() async throws {
        let fd = memory
        try makeDirectory(at: fd.raw, "tree")
        try makeDirectory(at: fd.raw, "tree/others")
        try replaceFile(at: fd.raw, "tree/others/file", "x".utf8)
        let error = await #expect(throws: SystemError.self) {
            try await asOrdinaryUser { try removeTree(at: fd.raw, "tree") }
        }
        #expect(error?.errno == EACCES)
        #expect(try readFile(at: fd.raw, "tree/others/file") == Array("x".utf8))
    }
}

/// Runs on a thread whose identity for file access, which each thread has for itself, is an ordinary user's.
private func asOrdinaryUser(_ body: @escaping @Sendable () throws -> Void) async throws {
    try await BlockingPool(limit: 1).run {
        // The Glibc module leaves setfsuid out.
        typealias SetIdentity = @convention(c) (UInt32) -> CInt
        let symbol = try #require(dlsym(nil, "setfsuid"))
        let setIdentity = unsafeBitCast(symbol, to: SetIdentity.self)
        _ = setIdentity(1000)
        defer { _ = setIdentity(0) }
        try body()
    }
}
