// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem

/// What of this machine decides how a container is set up. Read once.
struct HostFacts: Sendable {
    var isRootless: Bool
    /// /sys/fs/cgroup is a cgroup2 file system.
    var hasUnifiedCgroups: Bool
    /// Docker's name, like `amd64`.
    var architecture: String
    /// Major and minor version of the kernel.
    var kernel: (Int, Int)
    /// As `uname -r` and `uname -v` tell it.
    var kernelRelease: String
    /// Bits of the bounding set.
    var capabilities: UInt64
    /// How many group ids this namespace has.
    var mappedGroups: UInt64

    static let current = HostFacts()

    private init() {
        isRootless = !isInitialUserNamespace()
        hasUnifiedCgroups = LinuxSystem.hasUnifiedCgroups()
        var names = utsname()
        uname(&names)
        architecture = Self.dockerArchitecture(Self.text(&names.machine))
        let release = Self.text(&names.release)
        kernelRelease = release + " " + Self.text(&names.version)
        let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
        kernel = (numbers.first ?? 0, numbers.count > 1 ? numbers[1] : 0)
        capabilities = Self.statusField("CapBnd:", radix: 16) ?? 0
        let map = (try? readFile("/proc/self/gid_map", limit: 64 << 10)) ?? []
        mappedGroups = String(decoding: map, as: UTF8.self).split(separator: "\n").reduce(0) { sum, line in
            sum + (line.split(separator: " ").last.flatMap { UInt64($0) } ?? 0)
        }
    }

    private static func text<T>(_ tuple: inout T) -> String {
        withUnsafeBytes(of: &tuple) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    static func statusField(_ name: String, radix: Int) -> UInt64? {
        let bytes = (try? readFile("/proc/self/status", limit: 64 << 10)) ?? []
        let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix(name) }
        return line.flatMap { $0.split(whereSeparator: \.isWhitespace).last }.flatMap { UInt64($0, radix: radix) }
    }

    private static func dockerArchitecture(_ machine: String) -> String {
        switch machine {
        case "x86_64": "amd64"
        case "aarch64": "arm64"
        case "i686", "i386": "x86"
        case let arm where arm.hasPrefix("armv"): "arm"
        default: machine
        }
    }

    /// How often the kernel killed for want of memory, on the whole machine, since it started.
    static func outOfMemoryKills() -> UInt64 {
        let bytes = (try? readFile("/proc/vmstat", limit: 1 << 20)) ?? []
        let key = Array("\noom_kill ".utf8)
        guard let start = position(of: key, in: bytes) else { return 0 }
        var count: UInt64 = 0
        for byte in bytes[(start + key.count)...] {
            guard (0x30...0x39).contains(byte) else { break }
            count = count &* 10 &+ UInt64(byte - 0x30)
        }
        return count
    }

    static func position(of pattern: [UInt8], in bytes: [UInt8]) -> Int? {
        guard let first = pattern.first else { return 0 }
        return bytes.withUnsafeBytes { all in
            guard let base = all.baseAddress else { return nil }
            var start = 0
            while start + pattern.count <= all.count {
                guard let hit = memchr(base + start, CInt(first), all.count - pattern.count - start + 1) else {
                    return nil
                }
                start = UnsafeRawPointer(hit) - base
                if memcmp(hit, pattern, pattern.count) == 0 { return start }
                start += 1
            }
            return nil
        }
    }
}

/// capability.h, by bit.
let capabilityNames = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
]
