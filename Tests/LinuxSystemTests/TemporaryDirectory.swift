// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem

/// A directory that goes away with this value.
final class TemporaryDirectory: Sendable {
    let path: RawPath
    let fd: SharedFD

    init() throws {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        path = RawPath("\(base)/galley-linux-\(getpid())-\(UInt64.random(in: 0 ... .max))")
        try makeDirectory(path)
        fd = try open(path, [.directory]).shared()
    }

    deinit { try? removeTree(path) }

    func names(_ name: RawPath = ".") throws -> Set<String> {
        let directory = try open(at: fd.raw, name, [.directory])
        return Set(try readDirectory(directory.raw).map(\.name.description))
    }

    func text(_ name: RawPath) throws -> String { String(decoding: try readFile(at: fd.raw, name), as: UTF8.self) }

    func write(_ name: RawPath, _ text: String) throws { try replaceFile(at: fd.raw, name, Array(text.utf8)) }
}

let isRoot = geteuid() == 0
