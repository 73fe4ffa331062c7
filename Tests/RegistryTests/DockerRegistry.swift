// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Foundation
import NIOCore
import NIOPosix
import Subprocess
import Synchronization

func isInstalled(_ programs: String...) -> Bool {
    programs.allSatisfy { program in
        ["/usr/local/bin", "/usr/bin", "/bin"].contains {
            FileManager.default.isExecutableFile(atPath: "\($0)/\(program)")
        }
    }
}

struct CommandFailure: Error, CustomStringConvertible {
    var description: String
}

/// Runs a program to its end and gives its standard output.
@discardableResult
func command(_ program: String, _ arguments: [String]) async throws -> String {
    let result = try await Subprocess.run(
        .name(program),
        arguments: Arguments(arguments),
        output: .string(limit: 8 << 20),
        error: .string(limit: 1 << 20)
    )
    guard result.terminationStatus.isSuccess else {
        throw CommandFailure(description: "\(program) \(arguments): \(result.standardError)")
    }
    return result.standardOutput
}

/// Debian's docker-registry, serving a temporary directory on a loopback port.
struct DockerRegistry: Sendable {
    let host: String
    let directory: String

    /// - Parameter secure: TLS with a certificate of `ca.pem` in the directory, and the user `me` with `pass:word`.
    static func run<R: Sendable>(secure: Bool = false, _ body: @escaping @Sendable (DockerRegistry) async throws -> R)
        async throws -> R
    {
        try await withTemporaryDirectory { directory in
            let port = try await freePort()
            let registry = DockerRegistry(host: "127.0.0.1:\(port)", directory: directory)
            if secure { try await registry.makeCertificates() }
            try registry.configuration(secure: secure)
                .write(toFile: "\(directory)/config.yml", atomically: true, encoding: .utf8)
            return try await withThrowingTaskGroup(of: R?.self) { group in
                group.addTask {
                    // Ends by cancellation, which kills it.
                    _ = try? await Subprocess.run(
                        .name("docker-registry"),
                        arguments: ["serve", "\(directory)/config.yml"],
                        output: .discarded,
                        error: .discarded
                    )
                    return nil
                }
                group.addTask {
                    try await registry.waitUntilItListens(port)
                    return try await body(registry)
                }
                defer { group.cancelAll() }
                guard let result = try await group.next() ?? nil else {
                    throw CommandFailure(description: "docker-registry ended by itself")
                }
                return result
            }
        }
    }

    private func configuration(secure: Bool) -> String {
        """
        version: 0.1
        log: {level: error, accesslog: {disabled: true}}
        storage: {filesystem: {rootdirectory: "\(directory)/data"}, delete: {enabled: true}}
        http:
          addr: \(host)
          secret: not-a-secret
        \(secure ? "  tls: {certificate: \"\(directory)/server.pem\", key: \"\(directory)/server.key\"}" : "")
        \(secure ? "auth: {htpasswd: {realm: test, path: \"\(directory)/htpasswd\"}}" : "")
        """
    }

    private func makeCertificates() async throws {
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        try await command(
            "openssl",
            ["req", "-x509"] + curve + [
                "-keyout", "\(directory)/ca.key", "-out", "\(directory)/ca.pem", "-subj", "/CN=test authority",
            ]
        )
        try await command(
            "openssl",
            ["req", "-x509"] + curve + [
                "-CA", "\(directory)/ca.pem", "-CAkey", "\(directory)/ca.key", "-keyout", "\(directory)/server.key",
                "-out",
                "\(directory)/server.pem", "-subj", "/CN=localhost", "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
            ]
        )
        try FileManager.default.createDirectory(atPath: "\(directory)/trusted", withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: "\(directory)/ca.pem", toPath: "\(directory)/trusted/ca.crt")
        let line = try await command("htpasswd", ["-Bbn", "me", "pass:word"])
        try line.write(toFile: "\(directory)/htpasswd", atomically: true, encoding: .utf8)
    }

    /// Connecting is the only way to learn that another program listens.
    private func waitUntilItListens(_ port: Int) async throws {
        for _ in 0..<500 {
            if let channel = try? await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connect(host: "127.0.0.1", port: port).get()
            {
                return try await channel.close()
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw CommandFailure(description: "docker-registry does not listen")
    }

    private static func freePort() async throws -> Int {
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = channel.localAddress?.port ?? 0
        try await channel.close()
        return port
    }
}
