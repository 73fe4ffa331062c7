// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Foundation
import Glibc
public import LinuxSystem

public let isRoot = geteuid() == 0

/// A temporary directory that goes away with the value.
public final class ScratchDirectory: Sendable {
    public let path: RawPath

    public init() throws {
        let name = "galley-test-" + String(UInt64.random(in: 0 ... .max), radix: 36)
        path = RawPath(FileManager.default.temporaryDirectory.path).appending(name)
        try makeDirectory(path, mode: 0o755)
    }

    deinit { try? removeTree(path) }

    /// A path inside; nothing is made.
    public func file(_ name: String) -> RawPath { path.appending(name) }

    /// Runs a Bash script in the directory and returns its standard output; a failure throws all that it printed.
    @discardableResult
    public func shell(_ script: String) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-euo", "pipefail", "-c", script]
        process.currentDirectoryURL = URL(fileURLWithPath: path.description)
        // Files rather than pipes: nothing can fill up.
        let output = file(".shell-\(UInt32.random(in: 0 ... .max))")
        defer { try? removeFile(output) }
        let fd = try open(output, [.readWrite, .create, .truncate])
        let handle = FileHandle(fileDescriptor: fd.raw, closeOnDealloc: false)
        process.standardOutput = handle
        process.standardError = handle
        try process.run()
        process.waitUntilExit()
        let text = String(decoding: try readFile(output), as: UTF8.self)
        guard process.terminationStatus == 0 else {
            throw ShellFailure(description: "exit \(process.terminationStatus) of \(script)\n\(text)")
        }
        return text
    }
}

public struct ShellFailure: Error, CustomStringConvertible { public let description: String }
