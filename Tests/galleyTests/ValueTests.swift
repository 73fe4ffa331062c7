// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Testing

@testable import galley

@Suite struct ValueTests {
    @Test(
        arguments: [
            ("64m", 64 << 20), ("1g", 1 << 30), ("1.5GiB", 3 << 29), ("10", 10), ("10b", 10), ("2kb", 2048), ("0", 0),
            ("1 MB", 1 << 20), ("1T", 1 << 40),
        ] as [(String, Int64)]
    )
    func sizes(_ text: String, _ expected: Int64) throws { #expect(try byteSize(text) == expected) }

    @Test(arguments: [
        "", "m", "-1", "1x", "1mm", "1.2.3", "nan", "inf", "1e3", "9999999999p", "1ib", "9999999999999999999",
    ])
    func wrongSizes(_ text: String) { #expect(throws: (any Error).self) { try byteSize(text) } }

    @Test func ulimits() throws {
        #expect(try ulimit("nofile=1024:2048") == ExecOp.Ulimit(name: "nofile", soft: 1024, hard: 2048))
        #expect(try ulimit("nproc=5") == ExecOp.Ulimit(name: "nproc", soft: 5, hard: 5))
        #expect(try ulimit("core=-1") == ExecOp.Ulimit(name: "core", soft: -1, hard: -1))
        #expect(try ulimit("core=0:-1") == ExecOp.Ulimit(name: "core", soft: 0, hard: -1))
    }

    @Test(arguments: [
        "nofile", "nofile=", "files=1", "nofile=2:1", "nofile=1:2:3", "nofile=a", "nofile=-1:5", "nofile=-2",
    ])
    func wrongUlimits(_ text: String) { #expect(throws: (any Error).self) { try ulimit(text) } }

    @Test(arguments: [
        ("db:10.0.0.5", "db", "10.0.0.5"), ("db=10.0.0.5", "db", "10.0.0.5"), ("db:::1", "db", "::1"),
        ("db=[fe80::1]", "db", "fe80::1"),
        ("host.docker.internal:host-gateway", "host.docker.internal", "host-gateway"),
    ])
    func hosts(_ text: String, _ name: String, _ address: String) throws {
        #expect(try hostEntry(text) == ExecOp.HostEntry(name: name, address: address))
    }

    @Test(arguments: ["db", ":1.2.3.4", "db:", "db:1.2.3", "db:name", ""])
    func wrongHosts(_ text: String) { #expect(throws: (any Error).self) { try hostEntry(text) } }

    @Test(
        arguments: [
            (nil, "docker.io"), ("", "docker.io"), ("https://index.docker.io/v1/", "docker.io"),
            ("http://localhost:5000/", "localhost:5000"), ("quay.io/x", "quay.io"),
        ] as [(String?, String)]
    )
    func registries(_ text: String?, _ host: String) { #expect(registryHost(text) == host) }

    @Test(arguments: [
        ("RUN <<E\r\n\techo é\nE", "RUN <<E  echo é E"), ("a\u{1B}[2Jb\u{7F}", "a?[2Jb?"), ("\u{9B}31m", "?31m"),
        ("a\u{2028}b\u{85}c", "a b c"),
    ])
    func oneSafeLine(_ text: String, _ line: String) { #expect(printable(text) == line) }

    @Test func environmentFiles() throws {
        let text = "# comment\n\n  A=1\nB=x y # z\r\nC\nD\nE=\n"
        #expect(try environmentFile(text, "f", environment: ["C": "3"]) == ["A=1", "B=x y # z", "C=3", "E="])
        #expect(throws: (any Error).self) { try environmentFile("A B=1", "f", environment: [:]) }
        #expect(throws: (any Error).self) { try environmentFile("=1", "f", environment: [:]) }
    }
}
