// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import Testing

@testable import Executor

/// A directory of its own with a small root file system: Debian's static busybox.
final class TestContainer: Sendable {
    let directory: RawPath
    let rootfs: RawPath

    static let busybox = locate("busybox")
    /// Root of the machine or of a user namespace, with a runtime and busybox.
    static let isPossible = geteuid() == 0 && busybox != nil && (try? OCIRuntime()) != nil
    static let isMachineRoot = isPossible && isInitialUserNamespace()

    static func runtime(_ name: String) -> OCIRuntime? {
        let kinds = RuntimeProgram.Kind(rawValue: name).map { [$0] } ?? []
        return try? OCIRuntime(RuntimeProgram.find(in: OCIRuntime.defaultSearchPath, kinds: kinds))
    }

    /// Tests run all at once, and each keeps threads waiting.
    static let threads = BlockingPool(limit: 4096)

    private static func locate(_ name: String) -> String? {
        ["/usr/bin/", "/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/"].map { $0 + name }
            .first { access($0, X_OK) == 0 }
    }

    static func temporaryDirectory() throws -> RawPath {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        let path = RawPath("\(base)/galley-executor-\(getpid())-\(UInt64.random(in: 0 ... .max))")
        try makeDirectory(path)
        return path
    }

    init() throws {
        directory = try Self.temporaryDirectory()
        rootfs = directory.appending("rootfs")
        try makeDirectories(rootfs.appending("bin"))
        try makeDirectories(rootfs.appending("etc"))
        try makeDirectory(rootfs.appending("tmp"))
        try setPermissions(at: workingDirectory, rootfs.appending("tmp"), 0o1777)
        let program = try readFile(RawPath(Self.busybox ?? ""))
        try write("bin/busybox", program, mode: 0o755)
        for applet in [
            "sh", "true", "false", "cat", "echo", "id", "sleep", "ls", "ip", "mount", "ps", "pwd", "grep", "df",
            "mknod",
            "wc", "touch", "rm", "mkdir", "hostname", "env", "stat", "tty", "kill", "head", "dd", "nslookup",
            "readlink",
        ] {
            try makeSymlink(at: workingDirectory, rootfs.appending("bin/\(applet)"), target: "busybox")
        }
        try write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\ncook:x:1000:1001:Cook:/home/cook:/bin/sh\n")
        try write("etc/group", "root:x:0:\nwheel:x:10:root,cook\nkitchen:x:1001:\nplate:x:1002:cook,waiter\n")
    }

    deinit { try? removeTree(directory) }

    func write(_ path: String, _ text: String, mode: UInt32 = 0o644) throws {
        try write(path, Array(text.utf8), mode: mode)
    }

    func write(_ path: String, _ bytes: [UInt8], mode: UInt32) throws {
        let file = try open(rootfs.appending(path), [.writeOnly, .create, .truncate], mode: mode)
        try writeBytes(file.raw, bytes)
        try setPermissions(of: file.raw, mode)
    }

    func scratch() throws -> RawPath {
        let path = directory.appending("scratch-\(UInt64.random(in: 0 ... .max))")
        try makeDirectory(path)
        return path
    }

    static func spec(_ arguments: String...) -> ProcessSpec {
        ProcessSpec(arguments: arguments, environment: ["PATH=/bin"])
    }

    static func shell(_ script: String) -> ProcessSpec { spec("/bin/sh", "-c", script) }

    struct Outcome {
        var exit: ProcessExit
        var output: String
        var errors: String

        /// Output without the last newline.
        var text: String { output.hasSuffix("\n") ? String(output.dropLast()) : output }
        var lines: [Substring] { output.split(separator: "\n") }
    }

    /// Runs to the end, with what it wrote.
    func run(
        _ spec: ProcessSpec,
        root: RootTree? = nil,
        runtime: OCIRuntime? = nil,
        input: SharedFD? = nil
    ) async throws -> Outcome {
        let runtime = try runtime ?? OCIRuntime()
        let output = Capture(try makePipe())
        let errors = Capture(try makePipe())
        async let out = output.text()
        async let err = errors.text()
        let result: Result<ProcessExit, any Error>
        do {
            let io = ProcessIO(
                standardInput: try input ?? open("/dev/null", .readOnly).shared(),
                standardOutput: try output.take(),
                standardError: try errors.take()
            )
            let scratch = try scratch()
            result = .success(try await runtime.run(spec, root: root ?? .directory(rootfs), io: io, scratch: scratch))
        } catch {
            output.drop()
            errors.drop()
            result = .failure(error)
        }
        let texts = try await (out, err)
        return Outcome(exit: try result.get(), output: texts.0, errors: texts.1)
    }
}

/// Reads a pipe to its end. The writing end must be given away, or dropped, exactly once.
final class Capture: Sendable {
    let read: SharedFD
    private let write: Monitor<SharedFD?>

    init(_ pipe: (read: SharedFD, write: SharedFD)) {
        read = pipe.read
        write = Monitor(pipe.write)
    }

    func take() throws -> SharedFD {
        try #require(
            write.withLock { end in
                defer { end = nil }
                return end
            }
        )
    }

    func drop() { write.withLock { $0 = nil } }

    func text() async throws -> String {
        let read = read
        return try await TestContainer.threads.run { String(decoding: try readAll(read.raw), as: UTF8.self) }
    }
}
