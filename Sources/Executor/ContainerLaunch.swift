// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import OCI

/// A container about to start: the bundle in its scratch directory, written and checked.
struct ContainerLaunch: Sendable {
    let runtime: OCIRuntime
    let spec: ProcessSpec
    let scratch: RawPath
    /// Why it need not be started at all.
    private(set) var failure: ProcessExit?

    /// Holds the configuration and the runtime's state.
    private var bundle: RawPath
    private let tree: RootTree
    private let reader: RootReader
    private var binds: [(source: SandboxSpec.Tree, target: RawPath)] = []
    private var mounts: [JSONValue] = []
    /// What the runtime will make for mount points, deepest first.
    private var missing: [String] = []

    init(_ spec: ProcessSpec, root: RootTree, scratch: RawPath, runtime: OCIRuntime) throws {
        self.spec = spec
        self.scratch = scratch
        self.runtime = runtime
        bundle = scratch
        tree = root
        reader = try RootReader(root)
        try check()
        let user = try ContainerUser(spec.user, in: reader)
        switch CommandLookup(root: reader, spec: spec).result() {
        case .unknown: break
        case .found(let path): try ForeignProgram(root: reader, host: runtime.host.architecture).check(path)
        case .failure(let exit):
            failure = exit
            return
        }
        missing = try Set(mountPointStubs(for: spec).flatMap { try reader.missing($0.path) })
            .sorted { $0.utf8.count > $1.utf8.count }
        try makeDirectory(scratch.appending("rootfs"))
        keepDevicesOut()
        try writeNetworkFiles()
        try prepareMounts()
        if bindsDevices { try makeDirectory(scratch.appending("dev")) }
        let config = BundleConfig(
            spec: spec,
            user: user,
            host: runtime.host,
            rootPath: path("rootfs"),
            mounts: mounts,
            deviceDirectory: bindsDevices ? path("dev") : nil,
            seccomp: seccomp
        )
        if spec.secretEnvironment.isEmpty {
            try write("config.json", config.encoded())
        } else {
            try writeToMemory(config.encoded())
        }
    }

    /// Secrets are to reach no disk, and the runtime keeps a copy of the configuration in its state.
    private mutating func writeToMemory(_ config: [UInt8]) throws {
        let memory = try detachedMemoryTree().shared()
        let file = try open(at: memory.raw, "config.json", [.writeOnly, .create, .exclusive], mode: 0o600)
        try writeBytes(file.raw, config)
        bundle = scratch.appending("bundle")
        try makeDirectory(bundle)
        binds.append((.mount(memory), bundle))
    }

    private func path(_ name: String) -> String { scratch.appending(name).description }

    /// In a user namespace the runtime binds the host's devices, and no others can be made.
    private var bindsDevices: Bool { !spec.securityInsecure && !runtime.host.isRootless }

    /// The sandbox forbids device files in the root, but crun clears all flags of the mount when it binds it to itself.
    /// The specification has no options for the root; `/` is refused as a destination, `/.` is not.
    private mutating func keepDevicesOut() {
        guard bindsDevices, runtime.program.kind == .crun else { return }
        let access = spec.readOnlyRoot ? "ro" : "rw"
        mounts.append([
            "destination": "/.", "type": "none", "source": .string(path("rootfs")),
            "options": ["remount", "bind", "nodev", .string(access)],
        ])
    }

    private var seccomp: BundleConfig.SeccompFilter {
        if spec.securityInsecure { return .none }
        return runtime.seccomp.filter(
            capabilities: spec.capabilities,
            host: runtime.host,
            program: runtime.program
        )
    }

    private func check() throws(ExecutorError) {
        guard String(validating: scratch.bytes, as: UTF8.self) != nil, scratch.bytes.first == UInt8(ascii: "/") else {
            throw ExecutorError(.invalidSpec, "scratch directory \(scratch): not an absolute path in UTF-8")
        }
        guard spec.workingDirectory.hasPrefix("/") else {
            throw ExecutorError(.invalidSpec, "working directory \"\(spec.workingDirectory)\" is not an absolute path")
        }
        guard spec.hostname.utf8.count <= 64 else {
            throw ExecutorError(.invalidSpec, "host name \"\(spec.hostname)\" is longer than 64 bytes")
        }
        for mount in spec.mounts where !mount.target.hasPrefix("/") || mount.target.split(separator: "/").contains("..")
        {
            throw ExecutorError(.invalidSpec, "mount target \"\(mount.target)\" is not an absolute path without ..")
        }
        // A NUL would cut the word short, silently, in the runtime.
        let words =
            spec.arguments + spec.environment + spec.secretEnvironment.flatMap { [$0.name, $0.exposed] }
            + spec.mounts.map(\.target) + [spec.workingDirectory, spec.hostname]
        guard !words.contains(where: { $0.utf8.contains(0) }) else {
            throw ExecutorError(.invalidSpec, "a command, variable or path holds a NUL byte")
        }
    }

    private func write(_ name: String, _ bytes: some Collection<UInt8>) throws {
        let file = try open(scratch.appending(name), [.writeOnly, .create, .exclusive], mode: 0o644)
        try writeBytes(file.raw, bytes)
    }

    private mutating func writeNetworkFiles() throws {
        let host = (try? readFile("/etc/resolv.conf", limit: 1 << 20)) ?? []
        let resolvers = NetworkFiles.resolvConf(host: String(decoding: host, as: UTF8.self), network: spec.network)
        try write("resolv.conf", resolvers.utf8)
        try write("hosts", NetworkFiles.hosts(hostname: spec.hostname, extra: spec.extraHosts).utf8)
        for name in ["resolv.conf", "hosts"] {
            // Whatever umask this process has: users other than root read them too.
            try setPermissions(at: workingDirectory, scratch.appending(name), 0o644)
            mounts.append(BundleConfig.bind(path(name), "/etc/" + name, ["bind", "rw", "nosuid", "nodev", "noexec"]))
        }
    }

    private mutating func prepareMounts() throws {
        for (index, mount) in spec.mounts.enumerated() {
            let access = mount.readOnly ? "ro" : "rw"
            let options =
                [access] + (spec.securityInsecure ? [] : ["nodev"])
                + (mount.forbidsExecution ? ["nosuid", "noexec"] : [])
            switch mount.source {
            case .tmpfs(let size, let mode):
                let size = size.map { ["size=\($0)"] } ?? []
                mounts.append([
                    "destination": .string(mount.target), "type": "tmpfs", "source": "tmpfs",
                    "options": .array(
                        (options + size + ["nosuid", "mode=\(String(mode, radix: 8))"]).map { .string($0) }
                    ),
                ])
            case .path(let source, let recursive):
                guard source.bytes.first == UInt8(ascii: "/") else {
                    throw ExecutorError(.invalidSpec, "mount source \"\(source)\" is not an absolute path")
                }
                let kind = recursive ? "rbind" : "bind"
                guard String(validating: source.bytes, as: UTF8.self) == nil || recursive else {
                    mounts.append(BundleConfig.bind(source.description, mount.target, [kind] + options))
                    continue
                }
                try attach(.path(source), index, mount, options)
            case .descriptor(let fd): try attach(.descriptor(fd), index, mount, options)
            case .mount(let fd): try attach(.mount(fd), index, mount, options)
            case .subtree(let fd, let path, _):
                // Bound from where the whole is attached.
                let tree = scratch.appending("tree-\(index)")
                try makeDirectory(tree)
                binds.append((.mount(fd), tree))
                try attach(.path(path.isEmpty ? tree : tree.appending(path)), index, mount, options)
            }
        }
    }

    /// Attaches the source in the scratch directory first: the runtime knows no descriptors, and no paths but UTF-8.
    private mutating func attach(
        _ source: SandboxSpec.Tree,
        _ index: Int,
        _ mount: ExecutorMount,
        _ options: [String]
    ) throws {
        let name = "mount-\(index)"
        if mount.source.isDirectory { try makeDirectory(scratch.appending(name)) } else { try write(name, []) }
        binds.append((source, scratch.appending(name)))
        mounts.append(BundleConfig.bind(path(name), mount.target, ["rbind"] + options))
    }

    func sandbox(_ io: ProcessIO) -> SandboxSpec {
        var sandbox = SandboxSpec(
            arguments: runtime.program.arguments(
                scratch: scratch.description,
                bundle: bundle.description,
                foreground: spec.terminal
            ),
            environment: ["PATH=\(CommandLookup.defaultPath)"],
            standardInput: io.standardInput,
            standardOutput: io.standardOutput,
            standardError: io.standardError
        )
        let source: SandboxSpec.Tree =
            switch tree {
            case .mount(let mount): .mount(mount)
            case .directory(let path): .path(path)
            }
        sandbox.executable = runtime.executable
        sandbox.root = (source, scratch.appending("rootfs"))
        sandbox.rootDevices = spec.securityInsecure
        sandbox.deviceDirectory = bindsDevices ? scratch.appending("dev") : nil
        sandbox.binds = binds
        sandbox.pidFile = spec.terminal ? nil : scratch.appending("pid")
        // runc makes cgroups wherever it can write; in one of these it cannot.
        sandbox.needsCgroup2 = runtime.program.kind == .runc || !runtime.host.hasUnifiedCgroups
        sandbox.newSession = !spec.terminal
        return sandbox
    }

    /// Takes away what the runtime made in the root file system to mount on, if it is empty.
    func removeMountPoints() {
        for path in missing { reader.removeIfEmpty(path) }
    }

    func keepSeccompFilter() {
        guard bundle == scratch, case .rules = seccomp else { return }
        runtime.seccomp.keep(compiledIn: scratch, capabilities: spec.capabilities, program: runtime.program)
    }

    func runtimeLog() -> RuntimeLog? {
        (try? readFile(scratch.appending("log"), limit: 1 << 20)).flatMap { RuntimeLog($0) }
    }
}
