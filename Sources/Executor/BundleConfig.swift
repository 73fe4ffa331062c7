// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI

/// The config.json of a bundle: OCI runtime specification 1.0.2.
struct BundleConfig {
    var spec: ProcessSpec
    var user: ContainerUser
    var host: HostFacts
    /// Absolute path of the root file system, as the runtime sees it.
    var rootPath: String
    /// Paths of the files and directories to bind over targets, in order.
    var mounts: [JSONValue]
    /// Where the device files are that are bound into /dev; nil lets the runtime make them.
    var deviceDirectory: String?
    var seccomp: SeccompFilter

    /// How the runtime gets the filter.
    enum SeccompFilter {
        case none
        /// JSON of `linux.seccomp`.
        case rules([UInt8])
        /// What an earlier container's rules were compiled to, in base64; only crun takes it.
        case compiled(String)
    }

    static let deviceNames = ["null", "zero", "full", "random", "urandom", "tty"]

    /// The bytes of the file.
    func encoded() throws(ExecutorError) -> [UInt8] {
        var top: [String: JSONValue] = [
            "ociVersion": "1.0.2",
            "root": ["path": .string(rootPath), "readonly": .bool(spec.readOnlyRoot)],
            "hostname": .string(spec.hostname),
            "mounts": .array(standardMounts + mounts),
        ]
        if case .compiled(let program) = seccomp {
            top["annotations"] = ["run.oci.seccomp_bpf_data": .string(program)]
        }
        // Spliced as text: the rules are large and the same each time, and limits exceed what a JSON number here holds.
        var linux = linux.encoded()
        if case .rules(let rules) = seccomp { Self.splice("seccomp", rules, into: &linux) }
        var process = process.encoded()
        try Self.splice("rlimits", Array(rlimits().utf8), into: &process)
        var bytes = JSONValue.object(top).encoded()
        Self.splice("linux", linux, into: &bytes)
        Self.splice("process", process, into: &bytes)
        return bytes
    }

    private static func splice(_ key: String, _ value: [UInt8], into object: inout [UInt8]) {
        object.removeLast()
        object += ",\"\(key)\":".utf8
        object += value
        object.append(UInt8(ascii: "}"))
    }

    private static func strings(_ values: [String]) -> JSONValue { .array(values.map { .string($0) }) }

    // MARK: Process

    private var process: JSONValue {
        let secrets = spec.secretEnvironment
        var environment = spec.environment.filter { entry in !secrets.contains { entry.hasPrefix($0.name + "=") } }
        environment += secrets.map { "\($0.name)=\($0.exposed)" }
        if !environment.contains(where: { $0.hasPrefix("HOME=") }) { environment.append("HOME=\(user.home)") }
        if !environment.contains(where: { $0.hasPrefix("PATH=") }) {
            environment.append("PATH=\(CommandLookup.defaultPath)")
        }
        if spec.terminal, !environment.contains(where: { $0.hasPrefix("TERM=") }) { environment.append("TERM=xterm") }
        // As Docker: somebody who is not root may get them through set-user-id programs, but does not start with them.
        let own = user.uid == 0 || spec.securityInsecure ? capabilities : []
        // What an insecure process starts has them too, whoever its user is.
        let passedOn = spec.securityInsecure ? capabilities : []
        return [
            "terminal": .bool(spec.terminal),
            "user": [
                "uid": .integer(Int64(user.uid)),
                "gid": .integer(Int64(user.gid)),
                "umask": 0o022,
                "additionalGids": .array(user.additionalGroups.map { .integer(Int64($0)) }),
            ],
            "args": Self.strings(spec.arguments),
            "env": Self.strings(environment),
            "cwd": .string(spec.workingDirectory),
            "capabilities": [
                "bounding": Self.strings(capabilities),
                "effective": Self.strings(own),
                "permitted": Self.strings(own),
                "inheritable": Self.strings(passedOn),
                "ambient": Self.strings(passedOn),
            ],
            "noNewPrivileges": false,
        ]
    }

    private var capabilities: [String] {
        let available = capabilityNames.enumerated().filter { host.capabilities >> UInt64($0.offset) & 1 == 1 }
        if spec.securityInsecure { return available.map(\.element) }
        // What this process lacks itself it cannot give.
        return available.map(\.element).filter(spec.capabilities.contains)
    }

    private static let limitNames: Set<String> = [
        "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
        "rtprio", "rttime", "sigpending", "stack",
    ]

    private func rlimits() throws(ExecutorError) -> String {
        var parts = [String]()
        for limit in spec.ulimits {
            guard Self.limitNames.contains(limit.name) else {
                throw ExecutorError(.invalidSpec, "invalid ulimit type: \(limit.name)")
            }
            let soft = limit.soft < 0 ? UInt64.max : UInt64(limit.soft)
            let hard = limit.hard < 0 ? UInt64.max : UInt64(limit.hard)
            guard soft <= hard else {
                throw ExecutorError(
                    .invalidSpec,
                    "ulimit \(limit.name): soft limit \(limit.soft) is above hard limit \(limit.hard)"
                )
            }
            parts.append(#"{"type":"RLIMIT_\#(limit.name.uppercased())","soft":\#(soft),"hard":\#(hard)}"#)
        }
        return "[\(parts.joined(separator: ","))]"
    }

    // MARK: Mounts

    private static func mount(_ target: String, _ type: String, _ options: [String]) -> JSONValue {
        ["destination": .string(target), "type": .string(type), "source": .string(type), "options": strings(options)]
    }

    static func bind(_ source: String, _ target: String, _ options: [String]) -> JSONValue {
        [
            "destination": .string(target), "type": "bind", "source": .string(source),
            "options": strings(options + ["rprivate"]),
        ]
    }

    private var standardMounts: [JSONValue] {
        let inert = ["nosuid", "noexec", "nodev"]
        let readOnly = spec.securityInsecure ? "rw" : "ro"
        var terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
        if host.mappedGroups > 5 { terminals.append("gid=5") }
        // Only the owner of a network namespace may mount sysfs for it.
        let sys =
            host.isRootless && spec.network == .host
            ? Self.bind("/sys", "/sys", ["rbind", readOnly] + inert)
            : Self.mount("/sys", "sysfs", inert + [readOnly])
        let dev = ["nosuid", "strictatime", "mode=755", "size=65536k"] + (deviceDirectory == nil ? [] : ["nodev"])
        let devices = deviceDirectory.map { directory in
            Self.deviceNames.map { Self.bind("\(directory)/\($0)", "/dev/\($0)", ["bind", "rw", "nosuid", "noexec"]) }
        }
        return [
            Self.mount("/proc", "proc", inert),
            Self.mount("/dev", "tmpfs", dev),
            Self.mount("/dev/pts", "devpts", terminals),
            Self.mount("/dev/shm", "tmpfs", inert + ["mode=1777", "size=\(spec.sharedMemorySize)"]),
            Self.mount("/dev/mqueue", "mqueue", inert),
            sys,
            Self.mount("/sys/fs/cgroup", "cgroup", inert + ["relatime", readOnly]),
        ] + (devices ?? [])
    }

    // MARK: Devices

    /// What BuildKit adds for insecure processes: block devices of files, virtual machines, networks, file systems.
    private static var insecureDevices: [JSONValue] {
        func device(_ name: String, _ type: String, _ major: Int64, _ minor: Int64) -> JSONValue {
            [
                "path": .string("/dev/" + name), "type": .string(type), "major": .integer(major),
                "minor": .integer(minor),
                "fileMode": 0o666, "uid": 0, "gid": 0,
            ]
        }
        let characters: [(String, Int64, Int64)] = [
            ("kmsg", 1, 11), ("cuse", 10, 203), ("fuse", 10, 229), ("kvm", 10, 232), ("net/tun", 10, 200),
            ("loop-control", 10, 237),
        ]
        return characters.map { device($0.0, "c", $0.1, $0.2) }
            + (0..<16).map { device("loop\($0)", "b", 7, $0) }
    }

    // MARK: Namespaces

    private var linux: JSONValue {
        var namespaces = ["pid", "ipc", "uts", "mount", "cgroup"]
        if spec.network == .none { namespaces.append("network") }
        var linux: [String: JSONValue] = ["namespaces": .array(namespaces.map { ["type": .string($0)] })]
        if spec.securityInsecure {
            // Nobody makes device files in a user namespace.
            if !host.isRootless { linux["devices"] = .array(Self.insecureDevices) }
        } else {
            linux["maskedPaths"] = [
                "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
                "/sys/devices/virtual/powercap",
            ]
            linux["readonlyPaths"] = [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ]
        }
        return .object(linux)
    }
}
