// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import Testing

/// Root of the machine, or of a user namespace.
@Suite(.enabled(if: isRoot), .timeLimit(.minutes(1))) struct OverlayMountTests {
    private let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
        for name in ["top", "bottom", "upper", "work", "target"] as [RawPath] {
            try makeDirectory(at: directory.fd.raw, name)
        }
        try directory.write("top/both", "top")
        try directory.write("bottom/both", "bottom")
        try directory.write("bottom/one", "one")
    }

    private func handle(_ name: RawPath) throws -> SharedFD {
        try open(at: directory.fd.raw, name, [.directory, .pathOnly]).shared()
    }

    @Test func detachedTreeIsSeenThroughItsDescriptorOnly() throws {
        let lower = [try handle("top"), try handle("bottom")]
        let upper = try handle("upper")
        let work = try handle("work")
        let mount = try detachedOverlay(lower: lower.map(\.raw), upper: (upper.raw, work.raw), flavour: .current)
        #expect(try readFile(at: mount.raw, "both") == Array("top".utf8))
        let new = try open(at: mount.raw, "new", [.writeOnly, .create])
        try writeBytes(new.raw, [1])
        try removeFile(at: mount.raw, "one")
        #expect(try directory.names("upper") == ["new", "one"])
        #expect(try status(at: directory.fd.raw, "upper/one").isWhiteout)
        #expect(try directory.names("bottom") == ["both", "one"])
        let mounts = String(decoding: try readFile("/proc/self/mountinfo"), as: UTF8.self)
        #expect(!mounts.contains(directory.path.description))
    }

    @Test func withoutUpperItIsReadOnly() throws {
        let lower = [try handle("top"), try handle("bottom")]
        let mount = try detachedOverlay(lower: lower.map(\.raw), upper: nil, flavour: .current)
        #expect(try readFile(at: mount.raw, "one") == Array("one".utf8))
        #expect { try makeDirectory(at: mount.raw, "new") } throws: { ($0 as? SystemError)?.errno == EROFS }
    }

    /// For kernels before 6.5.
    @Test func mountWithOptions() throws {
        try mountOverlay(
            from: directory.path,
            target: directory.path.appending("target"),
            lower: ["top", "bottom"],
            upper: ("upper", "work"),
            flavour: .current
        )
        defer { try? detachMount(directory.path.appending("target")) }
        #expect(try directory.names("target") == ["both", "one"])
        #expect(try directory.text("target/both") == "top")
        try directory.write("target/new", "x")
        #expect(try directory.names("upper") == ["new"])
    }

    @Test func tooManyLayersForOnePage() throws {
        #expect {
            try mountOverlay(
                from: directory.path,
                target: directory.path.appending("target"),
                lower: Array(repeating: "bottom", count: 1000),
                upper: nil,
                flavour: .current
            )
        } throws: { ($0 as? SystemError)?.errno == E2BIG }
    }
}
