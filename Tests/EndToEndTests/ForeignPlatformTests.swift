// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import GalleyTesting
import Glibc
import LinuxSystem
import OCI
import Testing

private enum ForeignPrograms {
    static let busybox = TestInstallation.bases + "/foreign/busybox-arm64"
    static let handler = "/usr/lib/binfmt.d/qemu-aarch64.conf"
    static let handlers = "/proc/sys/fs/binfmt_misc"

    static let isPossible =
        TestInstallation.isComplete && Platform.host.architecture == "amd64"
        && [busybox, handler].allSatisfy { TestInstallation.exists($0) } && canRegister

    private static var canRegister: Bool {
        if TestInstallation.exists(handlers + "/register") { return access(handlers + "/register", W_OK) == 0 }
        guard mount("none", handlers, "binfmt_misc", 0, nil) == 0 else { return false }
        return umount2(handlers, 0) == 0
    }
}

/// Programs of another architecture: Debian's busybox for arm64, run by Debian's qemu-user-static.
@Suite(.enabled(if: ForeignPrograms.isPossible, "needs amd64, root, qemu-user-static and an arm64 busybox"))
struct ForeignPlatformTests {
    /// A base image for both platforms, each with its own programs.
    private static func base() async throws -> BuildContext {
        let context = try BuildContext("FROM scratch\nARG TARGETARCH\nADD $TARGETARCH.tar /\nCMD [\"/bin/sh\"]\n")
        try await runScript(
            """
            mkdir -p tree/bin tree/etc; echo root:x:0:0::/:/bin/sh > tree/etc/passwd
            for name in sh cat uname; do ln -s busybox "tree/bin/$name"; done
            cp "$1" tree/bin/busybox; chmod 755 tree/bin/busybox; tar -C tree -cf arm64.tar .
            tar -xOf "$2" --wildcards '*bin/busybox' > tree/bin/busybox; tar -C tree -cf amd64.tar .
            rm -r tree
            """,
            [ForeignPrograms.busybox, TestInstallation.bases + "/alpine/rootfs.tar"],
            directory: context.directory.path
        )
        return context
    }

    /// Handlers are the kernel's, one set for the whole machine: what was there before is there afterwards.
    @Test func runsWhereTheKernelHasAHandler() async throws {
        let store = try GalleyStore()
        let platforms = ["--platform", "linux/amd64,linux/arm64"]
        try await store.tryBuild(Self.base(), platforms + ["-t", "base"]).get()
        let context = try BuildContext("FROM base\nRUN uname -m > /machine && cat /machine\n")
        let files = try ScratchDirectory()
        let output = ["-o", "type=local,dest=\(files.file("out"))"]
        let directory = RawPath(ForeignPrograms.handlers)
        var mounted = false
        if try statusIfPresent(at: workingDirectory, directory.appending("register")) == nil {
            try await runScript(#"mount -t binfmt_misc none "$1""#, [directory.description])
            mounted = true
        }
        let entry = directory.appending("qemu-aarch64")
        let wasThere = try statusIfPresent(at: workingDirectory, entry) != nil
        do {
            if !wasThere {
                let result = try await store.tryBuild(context, platforms)
                #expect(result.status != 0)
                #expect(result.errors.contains("exec format error"), "\(result)")
                #expect(result.errors.contains("apt-get install qemu-user-static"), "\(result)")
                try await runScript(#"cat "$1" > "$2/register""#, [ForeignPrograms.handler, directory.description])
            }
            try await store.tryBuild(context, platforms + output).get()
            #expect(try files.shell("cat out/*/machine") == "x86_64\naarch64\n")
            let only = try await store.tryBuild(context, ["--platform", "linux/arm64", "--progress", "rawjson"]).get()
            #expect(try ProgressRecord(parsing: only.errorBytes).executed == [], "the same step is in the cache")
        } catch {
            try await Self.restore(entry, wasThere: wasThere, unmounting: mounted ? directory : nil)
            throw error
        }
        try await Self.restore(entry, wasThere: wasThere, unmounting: mounted ? directory : nil)
    }

    private static func restore(_ entry: RawPath, wasThere: Bool, unmounting directory: RawPath?) async throws {
        if !wasThere, try statusIfPresent(at: workingDirectory, entry) != nil {
            try await runScript(#"echo -1 > "$1""#, [entry.description])
        }
        if let directory { try await runScript(#"umount "$1""#, [directory.description]) }
    }
}
