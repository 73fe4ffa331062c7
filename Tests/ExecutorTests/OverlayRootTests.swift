// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import Testing

@testable import Executor

/// Containers on overlay file systems, and what they leave in the upper layer.
@Suite(.enabled(if: TestContainer.isPossible)) struct OverlayRootTests {
    private struct Layers {
        let upper: RawPath
        let root: RootTree
        let spec: ProcessSpec

        init(_ container: TestContainer, _ spec: ProcessSpec, extra: [RawPath] = []) throws {
            let base = container.directory
            let stub = base.appending("stub")
            upper = base.appending("upper")
            let work = base.appending("work")
            for path in [stub, upper, work] { try makeDirectory(path) }
            let stubDirectory = try open(stub, [.directory])
            try makeStubLayer(in: stubDirectory.raw, stubs: mountPointStubs(for: spec))
            let handles = try (extra + [container.rootfs, stub]).map { try open($0, [.directory, .pathOnly]).shared() }
            let upperHandle = try open(upper, [.directory, .pathOnly])
            let workHandle = try open(work, [.directory, .pathOnly])
            let mount = try detachedOverlay(
                lower: handles.map(\.raw),
                upper: (upperHandle.raw, workHandle.raw),
                flavour: .current
            )
            root = .mount(mount.shared())
            self.spec = spec
        }

        func upperNames() throws -> Set<String> {
            let directory = try open(upper, [.directory])
            return Set(try readDirectory(directory.raw).map(\.name.description))
        }
    }

    @Test(arguments: ContainerTests.runtimes) func onlyChangesAreInTheUpperLayer(runtime: OCIRuntime) async throws {
        let container = try TestContainer()
        var spec = TestContainer.shell("cat /etc/passwd | wc -l; echo new >/made; rm /bin/nslookup; cat /cache/deep/x")
        let cache = container.directory.appending("cache")
        try makeDirectory(cache)
        try replaceFile(cache.appending("x"), "cached\n".utf8)
        spec.mounts = [ExecutorMount(.path(cache, recursive: false), target: "/cache/deep")]
        let layers = try Layers(container, spec)
        let outcome = try await container.run(spec, root: layers.root, runtime: runtime)
        #expect(outcome.lines == ["2", "cached"], "\(outcome)")
        #expect(try layers.upperNames() == ["made", "bin"])
        let whiteout = try status(at: workingDirectory, layers.upper.appending("bin/nslookup"))
        #expect(whiteout.isWhiteout)
    }

    /// A layer above the stubs removed /etc and /proc: the runtime must make them in the upper layer.
    @Test(arguments: ContainerTests.runtimes) func mountPointsHiddenByWhiteouts(runtime: OCIRuntime) async throws {
        let container = try TestContainer()
        let hiding = container.directory.appending("hiding")
        try makeDirectory(hiding)
        let handle = try open(hiding, [.directory])
        for name in ["etc", "proc", "dev"] { try makeWhiteout(at: handle.raw, RawPath(name)) }
        let spec = TestContainer.shell("ls /etc; test -c /dev/null && echo device")
        let layers = try Layers(container, spec, extra: [hiding])
        let outcome = try await container.run(spec, root: layers.root, runtime: runtime)
        #expect(outcome.lines == ["hosts", "resolv.conf", "device"], "\(outcome)")
        let upper = try open(layers.upper, [.directory])
        removeStubs(fromUpper: upper.raw, stubs: mountPointStubs(for: spec))
        #expect(try layers.upperNames().isEmpty)
    }

    @Test func mountsAnotherDetachedTree() async throws {
        let container = try TestContainer()
        let lower = container.directory.appending("lower")
        let empty = container.directory.appending("empty")
        try makeDirectory(lower)
        try makeDirectory(empty)
        try replaceFile(lower.appending("recipe"), "soup".utf8)
        let handles = try [lower, empty].map { try open($0, [.directory, .pathOnly]).shared() }
        let tree = try detachedOverlay(lower: handles.map(\.raw), upper: nil, flavour: .current).shared()
        var spec = TestContainer.spec("cat", "/stage/recipe")
        spec.mounts = [ExecutorMount(.mount(tree), target: "/stage", readOnly: true)]
        #expect(try await container.run(spec).output == "soup")
    }

    @Test func stubsAreMadeAndRemoved() throws {
        let directory = try TestContainer.temporaryDirectory()
        defer { try? removeTree(directory) }
        let handle = try open(directory, [.directory])
        let stubs = [
            MountPointStub(path: "/etc/hosts", isDirectory: false), MountPointStub(path: "/a/b", isDirectory: true),
            MountPointStub(path: "/a", isDirectory: true), MountPointStub(path: "/full", isDirectory: true),
        ]
        try makeStubLayer(in: handle.raw, stubs: stubs)
        try makeStubLayer(in: handle.raw, stubs: stubs)
        try replaceFile(directory.appending("full/x"), "x".utf8)
        removeStubs(fromUpper: handle.raw, stubs: stubs)
        #expect(Set(try readDirectory(handle.raw).map(\.name.description)) == ["etc", "full"])
        #expect(throws: SystemError.self) {
            try makeStubLayer(in: handle.raw, stubs: [MountPointStub(path: "/../x", isDirectory: true)])
        }
    }

    /// A hostile upper layer cannot send the removal elsewhere.
    @Test func removalFollowsNoSymlinks() throws {
        let directory = try TestContainer.temporaryDirectory()
        defer { try? removeTree(directory) }
        try makeDirectories(directory.appending("outside"))
        try makeDirectories(directory.appending("upper/real"))
        try replaceFile(directory.appending("outside/hosts"), [])
        try replaceFile(directory.appending("upper/real/hosts"), [])
        let upper = try open(directory.appending("upper"), [.directory])
        for target in ["../outside", "/outside", "real"] as [RawPath] {
            try makeSymlink(at: upper.raw, "etc", target: target)
            removeStubs(fromUpper: upper.raw, stubs: [MountPointStub(path: "/etc/hosts", isDirectory: false)])
            try removeFile(at: upper.raw, "etc")
        }
        #expect(try statusIfPresent(at: workingDirectory, directory.appending("outside/hosts")) != nil)
        #expect(try statusIfPresent(at: upper.raw, "real/hosts") != nil)
    }
}
