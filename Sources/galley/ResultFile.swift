// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem

/// Lets `body` write a file that gets its name only when it is whole. Devices and pipes are written to directly.
func withResultFile(_ path: String, _ body: (SharedFD) async throws -> Void) async throws {
    let existing = try? status(at: workingDirectory, RawPath(path), following: true)
    if let existing, existing.kind != .regular, existing.kind != .directory {
        try await body(open(RawPath(path), .writeOnly).shared())
        return
    }
    let temporary = RawPath("\(path).tmp-\(getpid())")
    do {
        try await body(open(temporary, [.writeOnly, .create, .truncate]).shared())
        try renameFile(temporary, to: workingDirectory, RawPath(path))
    } catch {
        try? removeFile(temporary)
        throw error
    }
}

/// Writes `text` as the whole of a file.
func writeResultFile(_ path: String, _ text: String) async throws {
    try await withResultFile(path) { file in try writeBytes(file.raw, text.utf8) }
}
