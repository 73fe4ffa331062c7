// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// An OCI runtime program.
struct RuntimeProgram: Hashable, Sendable {
    enum Kind: String, Sendable, CaseIterable {
        case crun
        case runc
    }

    var kind: Kind
    var path: String
    /// Takes a seccomp filter that was compiled before, which saves most of the time that a container takes to start.
    var takesCompiledSeccomp: Bool
    /// Another program under the same path, or another library that compiles filters for it, has another one. Nil when
    /// that cannot be told.
    var identity: String?

    /// The first crun of the directories, else the first runc.
    static func find(in directories: [String], kinds: [Kind] = Kind.allCases) throws(ExecutorError) -> RuntimeProgram {
        for kind in kinds {
            for directory in directories where directory.hasPrefix("/") {
                let path = directory + "/" + kind.rawValue
                guard isProgram(path) else { continue }
                return RuntimeProgram(
                    kind: kind,
                    path: path,
                    takesCompiledSeccomp: kind == .crun && mentionsCompiledSeccomp(path),
                    identity: identity(path)
                )
            }
        }
        throw ExecutorError(
            .noRuntime,
            "neither crun nor runc is installed; one of them is needed to run commands",
            nextStep: "as root: apt-get install crun (on Fedora: dnf install crun)"
        )
    }

    private static func identity(_ path: String) -> String? {
        guard let program = version(of: path) else { return nil }
        let folders =
            ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"]
            + ["x86_64", "aarch64", "i386", "arm", "powerpc64le", "s390x", "riscv64"].flatMap { machine in
                ["gnu", "gnueabihf"].map { "/usr/lib/\(machine)-linux-\($0)" }
            }
        return ([program] + folders.compactMap { version(of: $0 + "/libseccomp.so.2") }).joined(separator: "\n")
    }

    private static func version(of path: String) -> String? {
        guard let status = try? status(at: workingDirectory, RawPath(path), following: true) else { return nil }
        return "\(path) \(status.inode) \(status.size) \(status.modified.sinceEpoch) \(status.changed.sinceEpoch)"
    }

    /// Whether it may be executed from a copy: not where the system gives it rights by its path or its file.
    var canBeCopied: Bool {
        if kind != .crun { return false }
        let enforced = (try? readFile("/sys/fs/selinux/enforce", limit: 16)) ?? []
        let profile = try? status(at: workingDirectory, "/etc/apparmor.d/crun")
        guard enforced.first != UInt8(ascii: "1"), profile == nil, let file = try? open(RawPath(path), .readOnly),
            let attributes = try? extendedAttributeNames(of: file.raw)
        else { return false }
        return !attributes.contains("security.capability")
    }

    private static func isProgram(_ path: String) -> Bool {
        guard let status = try? status(at: workingDirectory, RawPath(path), following: true) else { return false }
        return status.kind == .regular && status.permissions & 0o111 != 0
    }

    /// A crun that does not know the annotation would run without any filter.
    private static func mentionsCompiledSeccomp(_ path: String) -> Bool {
        guard let bytes = try? readFile(RawPath(path), limit: 64 << 20) else { return false }
        return HostFacts.position(of: Array("run.oci.seccomp_bpf_data".utf8), in: bytes) != nil
    }

    /// What to execute: `run` of a bundle, with the state beside its configuration.
    func arguments(scratch: String, bundle: String, foreground: Bool) -> [String] {
        var words = [path, "--root", bundle + "/state", "--log", scratch + "/log", "--log-format=json"]
        // No limits are asked for, so nothing has to be made in the host's cgroups, where kill -9 would leave it.
        words.append(kind == .crun ? "--cgroup-manager=disabled" : "--rootless=true")
        words += ["run", "--bundle", bundle]
        if !foreground { words += ["--detach", "--pid-file", scratch + "/pid"] }
        return words + [Self.containerName]
    }

    /// Every container has a state directory of its own, so the name is always the same.
    static let containerName = "galley"
}
