// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import OCI
import Testing

@testable import Executor

@Suite struct BundleTests {
    @Test func noRuntimeInstalled() throws {
        let empty = try TestContainer.temporaryDirectory()
        defer { try? removeTree(empty) }
        #expect {
            _ = try OCIRuntime(searchPath: [empty.description, "relative", ""])
        } throws: { error in
            (error as? ExecutorError)?.code == .noRuntime
                && (error as? ExecutorError)?.nextStep?.contains("apt-get install crun") == true
        }
    }

    @Test func crunIsPreferred() throws {
        let directory = try TestContainer.temporaryDirectory()
        defer { try? removeTree(directory) }
        try replaceFile(directory.appending("runc"), "x".utf8, mode: 0o755)
        try replaceFile(directory.appending("crun"), "x".utf8, mode: 0o644)
        #expect(try OCIRuntime(searchPath: [directory.description]).programPath.hasSuffix("/runc"))
        try setPermissions(at: workingDirectory, directory.appending("crun"), 0o755)
        let runtime = try OCIRuntime(searchPath: [directory.description])
        #expect(runtime.programPath.hasSuffix("/crun"))
        #expect(!runtime.program.takesCompiledSeccomp)
    }

    @Test(arguments: [
        (ProcessSpec.Network.host, "nameserver 127.0.0.53\nsearch a\n", "nameserver 127.0.0.53\nsearch a\n"),
        (.none, "nameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch a\n", "nameserver 192.0.2.1\nsearch a\n"),
        (.none, "nameserver ::1\n#nameserver 127.0.0.1\n", "#nameserver 127.0.0.1\n"),
    ])
    func resolvers(network: ProcessSpec.Network, host: String, expected: String) {
        #expect(NetworkFiles.resolvConf(host: host, network: network) == expected)
    }

    @Test(arguments: [
        ("name", "not an address"), ("name", "192.0.2.1\n192.0.2.2"), ("a b", "192.0.2.1"), ("a\nb", "192.0.2.1"),
        ("", "192.0.2.1"), ("a#b", "192.0.2.1"),
    ])
    func invalidHostEntries(name: String, address: String) {
        #expect(throws: ExecutorError.self) {
            try NetworkFiles.hosts(hostname: "h", extra: [.init(name: name, address: address)])
        }
    }

    @Test func hostGateway() throws {
        let text = try NetworkFiles.hosts(hostname: "h", extra: [.init(name: "gw", address: "host-gateway")])
        #expect(text.hasSuffix("127.0.0.1\tgw\n"))
    }

    @Test(
        arguments: [
            ("root", "", 0, 0), ("a", "\n:::\na:x:notanumber:1\na:x:5:6\n", 5, 6), ("7", "7:x:9:9:::\n", 9, 9),
            ("5", "a:x:5:6", 5, 6),
        ] as [(String, String, UInt32, UInt32)]
    )
    func oddPasswdFiles(user: String, passwd: String, uid: UInt32, gid: UInt32) throws {
        let lines = passwd.split(separator: "\n")
        if user == "root" {
            #expect(throws: ExecutorError.self) { try ContainerUser(user, passwd: lines, group: []) }
        } else {
            let found = try ContainerUser(user, passwd: lines, group: [])
            #expect((found.uid, found.gid) == (uid, gid))
            #expect(found.home == "/")
        }
    }

    /// The image's passwd file may be anything at all.
    @Test(.enabled(if: TestContainer.isPossible)) func hostilePasswdFiles() throws {
        let container = try TestContainer()
        let reader = try RootReader(.directory(container.rootfs))
        let path = container.rootfs.appending("etc/passwd")
        // A link to the host's file is a link into the image.
        try replaceFile(container.rootfs.appending("etc/real"), "inside:x:77:78::/in:\n".utf8)
        for target in ["/etc/real", "../../../../etc/real"] as [RawPath] {
            try removeFile(path)
            try makeSymlink(at: workingDirectory, path, target: target)
            #expect(try ContainerUser("inside", in: reader).uid == 77)
        }
        try removeFile(path)
        try makeSymlink(at: workingDirectory, path, target: "/etc/passwd")
        #expect(throws: ExecutorError.self) { try ContainerUser("root", in: reader) }
        try removeFile(path)
        // Opening it would wait for ever.
        try makeNode(at: workingDirectory, path, mode: UInt32(S_IFIFO) | 0o644)
        #expect(throws: ExecutorError.self) { try ContainerUser("root", in: reader) }
        #expect(try ContainerUser("5", in: reader).uid == 5)
        try removeFile(path)
        let file = try open(path, [.writeOnly, .create])
        _ = ftruncate(file.raw, 1 << 40)
        #expect(throws: ExecutorError.self) { try ContainerUser("root", in: reader) }
    }

    @Test(
        arguments: [
            (#"{"msg":"a","level":"debug"}"#, nil), ("", nil), ("junk\n{", nil),
            (
                "{\"level\":\"error\",\"msg\":\"first\"}\n{\"level\":\"error\",\"msg\":\"last\"}\n{\"level\":\"info\"}",
                "last"
            ),
        ] as [(String, String?)]
    )
    func runtimeLog(text: String, message: String?) {
        #expect(RuntimeLog(Array(text.utf8))?.message == message)
    }

    @Test(
        arguments: [([], ""), ([0], "AA=="), ([255, 254], "//4="), ([1, 2, 3, 4], "AQIDBA==")] as [([UInt8], String)]
    )
    func base64Text(bytes: [UInt8], text: String) { #expect(base64(bytes) == text) }

    @Test(
        arguments: [
            (ProcessExit.exited(2), "exit code: 2", 2), (.signalled(9), "killed by signal 9 (SIGKILL)", 137),
            (.signalled(40), "killed by signal 40", 168),
            (.notStarted(code: 127, reason: "exec: nothing"), "exec: nothing (exit code: 127)", 127),
        ] as [(ProcessExit, String, Int32)]
    )
    func exits(exit: ProcessExit, text: String, code: Int32) {
        #expect(exit.description == text)
        #expect(exit.code == code)
        #expect(!exit.isSuccess)
    }

    @Test(arguments: [
        ("relative", "h", "/m"), ("/", String(repeating: "h", count: 65), "/m"), ("/", "h", "m"), ("/", "h", "/a/../b"),
        ("/\0", "h", "/m"),
    ])
    func invalidSpecs(directory: String, hostname: String, target: String) async throws {
        guard TestContainer.isPossible else { return }
        var spec = TestContainer.spec("/bin/true")
        spec.workingDirectory = directory
        spec.hostname = hostname
        spec.mounts = [ExecutorMount(.tmpfs(size: nil, mode: 0o755), target: target)]
        let container = try TestContainer()
        let invalid = spec
        await #expect { _ = try await container.run(invalid) } throws: { error in
            (error as? ExecutorError)?.code == .invalidSpec
        }
    }
}

@Suite struct SeccompProfileTests {
    private func syscalls(_ rules: String, _ capabilities: Set<String> = []) throws -> [String] {
        let text = #"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[\#(rules)]}"#
        var host = HostFacts.current
        host.architecture = "amd64"
        host.kernel = (5, 4)
        let resolved = try SeccompProfile(parsing: Array(text.utf8)).resolved(capabilities: capabilities, host: host)
        return (resolved["syscalls"]?.arrayValue ?? []).flatMap { $0["names"]?.arrayValue ?? [] }.compactMap(
            \.stringValue
        )
    }

    @Test(arguments: [
        (#"{"includes":{"caps":["CAP_A"]}}"#, false), (#"{"includes":{"caps":["CAP_B"]}}"#, true),
        (#"{"excludes":{"caps":["CAP_B"]}}"#, false), (#"{"excludes":{"caps":["CAP_A"]}}"#, true),
        (#"{"includes":{"arches":["arm64"]}}"#, false), (#"{"includes":{"arches":["amd64","x32"]}}"#, true),
        (#"{"excludes":{"arches":["amd64"]}}"#, false), (#"{"includes":{"minKernel":"5.5"}}"#, false),
        (#"{"includes":{"minKernel":"4.8"}}"#, true), (#"{"includes":{},"excludes":{}}"#, true),
        (#"{"includes":{"caps":["CAP_A","CAP_B"]}}"#, false),
    ])
    func conditions(conditions: String, included: Bool) throws {
        let rule = #"{"names":["call"],"action":"SCMP_ACT_ALLOW",\#(conditions.dropFirst())"#
        #expect(try syscalls(rule, ["CAP_B"]) == (included ? ["call"] : []))
    }

    @Test func singleNames() throws {
        #expect(try syscalls(#"{"name":"old","action":"SCMP_ACT_ALLOW"},{"names":[],"action":"x"}"#) == ["old"])
    }

    @Test(arguments: ["", "[]", "{}", "{\"defaultAction\":1,\"syscalls\":[]}", "{\"defaultAction\":\"x\"}"])
    func invalid(text: String) throws {
        let directory = try TestContainer.temporaryDirectory()
        defer { try? removeTree(directory) }
        let path = directory.appending("seccomp.json")
        try replaceFile(path, text.utf8)
        #expect { _ = try SeccompProfile.load([path]) } throws: {
            ($0 as? ExecutorError)?.code == .invalidSeccompProfile
        }
        #expect(try SeccompProfile.load([directory.appending("absent")]) == nil)
    }

    private struct AnyFilter: CompiledFilters {
        func load(_ key: Digest) -> [UInt8]? { [UInt8](repeating: 6, count: 8) }
        func save(_ key: Digest, _ filter: [UInt8]) {}
    }

    /// A compiled filter has neither flags nor a listener, and one of an unknown program is nobody's.
    @Test(arguments: [
        (#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}"#, "a program", true),
        (#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [], "flags": []}"#, "a program", true),
        (#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}"#, nil, false),
        (
            #"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [], "flags": ["SECCOMP_FILTER_FLAG_LOG"]}"#,
            "a program", false
        ),
        (
            #"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]}"#,
            "a program", false
        ),
    ])
    func compiledFilters(profile: String, identity: String?, isUsed: Bool) throws {
        let cache = SeccompCache(try SeccompProfile(parsing: Array(profile.utf8)), kept: AnyFilter())
        let program = RuntimeProgram(kind: .crun, path: "/crun", takesCompiledSeccomp: true, identity: identity)
        let filter = cache.filter(capabilities: [], host: .current, program: program)
        if case .compiled = filter { #expect(isUsed) } else { #expect(!isUsed) }
    }
}
