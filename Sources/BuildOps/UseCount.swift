// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// How often something was used, as a number in its lock file, whose time tells when it last was.
///
/// Two that count at once may count as one.
struct UseCount {
    private let file: RawPath

    init(_ lockFile: RawPath) { file = lockFile }

    /// Zero for what is no number.
    func value() throws -> Int {
        try Int(String(decoding: readFile(file, limit: 32), as: UTF8.self)) ?? 0
    }

    func increment() throws {
        // In place: the lock belongs to the file, not to its name. All numbers are equally long, so that nothing is left
        // of a longer one that another who counts wrote meanwhile.
        let digits = String(min(try value(), .max - 1) + 1)
        let fd = try open(file, [.writeOnly])
        try writeBytes(fd.raw, Array((String(repeating: "0", count: 20 - digits.utf8.count) + digits).utf8))
    }

    /// When it was last used: nanoseconds since 1970. Nil when it never was.
    func used() throws -> Int64? {
        try statusIfPresent(at: workingDirectory, file)?.modified.sinceEpoch
    }
}
