// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import Testing

@testable import Executor

/// What `--security=insecure` gives.
@Suite(.enabled(if: TestContainer.isPossible)) struct InsecureTests {
    private func run(_ script: String, user: String = "") async throws -> String {
        var spec = TestContainer.shell(script)
        spec.securityInsecure = true
        spec.user = user
        return try await TestContainer().run(spec).output
    }

    @Test func allCapabilitiesForAnyUser() async throws {
        let own = HostFacts.statusField("CapBnd:", radix: 16) ?? 0
        let root = try await run("grep Cap /proc/self/status")
        let cook = try await run("grep Cap /proc/self/status", user: "cook")
        for text in [root, cook] {
            for line in text.split(separator: "\n") {
                let value = line.split(separator: "\t").last.flatMap { UInt64($0, radix: 16) }
                #expect(value == own, "\(line)")
            }
        }
    }

    @Test func nothingIsMaskedOrReadOnly() async throws {
        let text = try await run(
            "grep -c seccomp_none /dev/null; grep '^Seccomp:' /proc/self/status; grep -E ' /(proc|sys)[ /]' /proc/mounts"
        )
        #expect(text.contains("Seccomp:\t0"))
        #expect(!text.contains("/proc/sys"))
        #expect(!text.contains("/proc/kcore"))
        #expect(!text.contains(" ro,"), "\(text)")
    }

    @Test func mountsFileSystems() async throws {
        #expect(try await run("mount -t tmpfs none /tmp && echo x >/tmp/x && cat /tmp/x") == "x\n")
    }

    @Test(.enabled(if: TestContainer.isMachineRoot)) func hasDevices() async throws {
        let names = "/dev/kmsg /dev/fuse /dev/net/tun /dev/loop-control /dev/loop0 /dev/kvm /dev/null"
        let listed = try await run("ls -ld \(names) | wc -l; mknod /tmp/full c 1 7; echo x >/tmp/full || echo full")
        #expect(listed == "7\nfull\n")
    }
}
