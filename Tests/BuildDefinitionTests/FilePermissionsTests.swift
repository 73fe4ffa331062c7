// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Testing

struct FilePermissionsTests {
    /// What chmod(1) makes of a file with a umask of 0. GNU's lets `o+t` set the sticky bit; BSD's, which BuildKit
    /// follows, does not.
    @Test(
        arguments: [
            ("755", 0o644, 0o755), ("0", 0o644, 0), ("07777", 0o644, 0o7777), ("+x", 0o644, 0o755),
            ("a+x", 0o644, 0o755), ("u+x", 0o644, 0o744), ("go-r", 0o644, 0o600), ("u=rwx,go=rx", 0o600, 0o755),
            ("u=rwX,go=rX", 0o600, 0o644), ("u=rwX,go=rX", 0o700, 0o755), ("g=u", 0o640, 0o660), ("o=g", 0o640, 0o644),
            ("u+s", 0o755, 0o4755), ("g+s", 0o755, 0o2755), ("+t", 0o755, 0o1755), ("u-w,g+w", 0o644, 0o464),
            ("u+x-w", 0o644, 0o544), ("a=", 0o777, 0), ("g=u-w", 0o670, 0o640), ("ug=rw,o=", 0o777, 0o660),
            ("u-s", 0o4755, 0o755), ("o+t", 0o755, 0o755), ("a-X", 0o755, 0o644), ("o+s", 0o755, 0o755),
        ] as [(String, UInt32, UInt32)]
    )
    func `a mode changes a file as chmod does`(text: String, before: UInt32, after: UInt32) throws {
        let permissions = try #require(FilePermissions(parsing: text))
        let result = permissions.applied(to: before, isDirectory: false)
        #expect(result == after, "\(text) of \(String(before, radix: 8)): \(String(result, radix: 8))")
    }

    @Test func `X sets execute bits of directories`() throws {
        let permissions = try #require(FilePermissions(parsing: "a=rX"))
        #expect(permissions.applied(to: 0o600, isDirectory: true) == 0o555)
        #expect(permissions.applied(to: 0o600, isDirectory: false) == 0o444)
    }

    @Test(arguments: ["", "8", "10000", "0o755", "x", "u", "z+x", "u+z", "u=rw,", ",u+x", "u~x", "07778", "-1"])
    func `what is no mode is refused`(text: String) {
        #expect(FilePermissions(parsing: text) == nil)
    }
}
