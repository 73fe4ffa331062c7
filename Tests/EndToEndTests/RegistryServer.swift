// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Testing

/// Debian's docker-registry, serving a temporary directory on a loopback port until the value goes away.
final class RegistryServer: Sendable {
    static let user = "me"
    static let password = "pass:word"
    static let isInstalled = TestInstallation.hasProgram("docker-registry")

    let host: String
    let files: ScratchDirectory
    private let program: RunningProgram

    /// The certificate authority of a secure registry.
    var authority: String { files.file("ca.pem").description }

    /// - Parameter secure: TLS with a certificate of an authority of its own, and one user.
    init(secure: Bool = false) async throws {
        let files = try ScratchDirectory()
        if secure { try Self.makeCredentials(files) }
        let (port, program) = try await startServer("docker-registry", saying: "listening on") { port in
            let configuration = Self.configuration("127.0.0.1:\(port)", files, secure)
            try replaceFile(files.file("config.yml"), Array(configuration.utf8))
            return try RunningProgram(
                TestInstallation.programPath("docker-registry") ?? "docker-registry",
                ["serve", files.file("config.yml").description],
                environment: plainEnvironment
            )
        }
        host = "127.0.0.1:\(port)"
        self.files = files
        self.program = program
    }

    /// What was asked of it until now, a line a request: `POST /v2/...`.
    func requests() throws -> [String] {
        try program.outputSoFar().split(separator: "\n").compactMap { line in
            line.split(separator: "\"").dropFirst().first.map(String.init)
        }
    }

    /// How many uploads of blobs were begun.
    func uploads() throws -> Int { try requests().count { $0.hasPrefix("POST ") && $0.contains("/blobs/uploads/") } }

    private static func configuration(_ host: String, _ files: ScratchDirectory, _ secure: Bool) -> String {
        """
        version: 0.1
        log: {level: info, accesslog: {disabled: false}}
        storage: {filesystem: {rootdirectory: "\(files.file("data"))"}, delete: {enabled: true}}
        http:
          addr: \(host)
          secret: not-a-secret
        \(secure ? "  tls: {certificate: \"\(files.file("server.pem"))\", key: \"\(files.file("server.key"))\"}" : "")
        \(secure ? "auth: {htpasswd: {realm: test, path: \"\(files.file("htpasswd"))\"}}" : "")
        """
    }

    private static func makeCredentials(_ files: ScratchDirectory) throws {
        try files.shell(
            """
            new() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@"; }
            new -keyout ca.key -out ca.pem -subj "/CN=test authority"
            new -CA ca.pem -CAkey ca.key -keyout server.key -out server.pem -subj /CN=localhost \
                -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE
            mkdir trusted && cp ca.pem trusted/ca.crt
            htpasswd -Bbn \(user) \(password) > htpasswd
            """
        )
    }
}

/// Starts a server on a free port and waits until it says that it listens. When another process takes the port in the
/// meantime, the server gets another one.
func startServer(
    _ name: String,
    saying listens: String,
    _ start: (UInt16) throws -> RunningProgram
) async throws -> (port: UInt16, program: RunningProgram) {
    for _ in 0..<10 {
        let port = try freePort()
        let program = try start(port)
        try await eventually("\(name) listens, or ends") {
            try !program.isRunning || program.errorsSoFar().contains(listens)
        }
        let said = try program.errorsSoFar()
        if program.isRunning { return (port, program) }
        guard said.contains("ddress already in use") else {
            throw ProgramFailure(description: "\(name) ended: \(said)")
        }
    }
    throw ProgramFailure(description: "\(name): every port is in use")
}

/// A loopback port on which nobody listens.
func freePort() throws -> UInt16 {
    let listener = try LoopbackListener()
    defer { listener.close() }
    return listener.port
}

/// A socket that listens on a loopback port which the kernel chose.
struct LoopbackListener: Sendable {
    let descriptor: CInt
    let port: UInt16

    init() throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let failed = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) < 0 || listen(descriptor, 64) < 0 || getsockname(descriptor, $0, &size) < 0
            }
        }
        guard descriptor >= 0, !failed else { throw SystemError(errno: errno, operation: "listen") }
        self.descriptor = descriptor
        port = UInt16(bigEndian: address.sin_port)
    }

    /// Ends a waiting accept(2) too.
    func close() {
        shutdown(descriptor, Int32(SHUT_RDWR))
        Glibc.close(descriptor)
    }
}

extension GalleyStore {
    static let epoch = "SOURCE_DATE_EPOCH=1000000000"

    /// Builds with all times pinned, so that the id says what the image holds.
    @discardableResult
    func pinnedBuild(_ context: BuildContext, tag: String? = nil, _ options: [String] = []) async throws -> String {
        try await build(context, tag: tag, ["--build-arg", Self.epoch] + options)
    }

    /// A store with the small base image, which has the same id in every such store.
    static func pinned() async throws -> GalleyStore {
        let store = try GalleyStore()
        try await store.addPinnedBase()
        return store
    }

    func addPinnedBase(_ name: String = "alpine", tag: String = "alpine:latest") async throws {
        try await galley(
            "build",
            "--progress",
            "plain",
            "--build-arg",
            Self.epoch,
            "-t",
            tag,
            "\(TestInstallation.bases)/\(name)"
        ).get()
    }

    /// The configuration that this store's program reads.
    func configure(_ toml: String) throws {
        try makeDirectories(directory.file("config/galley"))
        try replaceFile(directory.file("config/galley/galley.toml"), Array(toml.utf8))
    }

    /// What lies unfinished in the store.
    func leftovers() throws -> [String] {
        let fd = try open(root.appending("tmp"), [.directory])
        return try readDirectory(fd.raw).map(\.name.description).sorted()
    }

    /// The directory of a cache mount with a file of this name; nil until that holds something.
    func cacheMount(with file: String) throws -> RawPath? {
        let mounts = root.appending("cache-mounts")
        guard let directory = try? open(mounts, [.directory]) else { return nil }
        return try readDirectory(directory.raw).map { mounts.appending($0.name).appending("fs") }
            .first { (try? readFile($0.appending(file)))?.isEmpty == false }
    }

    /// Throws unless nothing is left over and a build works.
    func requireUnharmed() async throws {
        try expectNothingLeft(leftovers())
        let context = try BuildContext("FROM alpine\nRUN echo well > /state\n")
        try await build(context, tag: "unharmed", ["--no-cache"])
        let state = try await run("unharmed", ["cat", "/state"])
        guard state == "well\n" else { throw ProgramFailure(description: "the container said \(state)") }
    }
}

/// Checks what lies in `tmp/` after a program has ended by itself.
func expectNothingLeft(_ entries: [String], sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(entries == [], sourceLocation: sourceLocation)
}

extension ProgramResult {
    /// The line that tells what is wrong; an error unless there is exactly one.
    func message() throws -> String {
        let lines = errors.split(separator: "\n").filter { $0.hasPrefix("ERROR: ") }
        guard lines.count == 1 else { throw ProgramFailure(description: "\(lines.count) messages: \(self)") }
        return String(lines[0])
    }
}
