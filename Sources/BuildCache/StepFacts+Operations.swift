// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import OCI

extension StepFacts {
    /// The operation's properties, but for variables.
    static func settings(of op: BuildOp) -> [Setting] {
        switch op {
        case .image(let image): [Setting("platform", image.platform.description)]
        case .local(let local): [Setting("ignored paths", local.excludePatterns.joined(separator: " "))]
        case .git(let git): settings(of: git)
        case .http(let http):
            [
                Setting("address", shownURL(http.url)),
                Setting("checksum", http.checksum?.description ?? ""),
                Setting("mode", String(http.permissions, radix: 8)),
            ]
        case .exec(let exec): settings(of: exec)
        case .file(let file): file.actions.map(setting)
        case .merge: []
        }
    }

    private static func settings(of git: GitOp) -> [Setting] {
        [
            Setting("repository", shownURL(git.remote)),
            Setting("reference", git.reference ?? ""),
            Setting("checksum", git.checksum ?? ""),
            Setting("directory", git.subdirectory ?? ""),
            Setting(".git directory", git.keepsGitDirectory ? "kept" : "left out"),
            Setting("submodules", git.fetchesSubmodules ? "fetched" : "left out"),
            Setting("time of files", git.modificationTime.rawValue),
        ]
    }

    private static func settings(of exec: ExecOp) -> [Setting] {
        [
            Setting("command", shown(exec.arguments.joined(separator: " "))),
            Setting("working directory", exec.workingDirectory),
            Setting("user", exec.user),
            Setting("network", exec.network.rawValue),
            Setting("security", exec.security.rawValue),
            Setting("host name", exec.hostname),
            Setting("added hosts", exec.extraHosts.map(\.name).joined(separator: " ")),
        ] + exec.mounts.map(setting)
    }

    private static func setting(_ mount: ExecMount) -> Setting {
        let access = mount.readOnly ? "read-only" : "writable"
        let value: String
        switch mount.source {
        case .bind(_, let path): value = "bind \(path) \(access)"
        case .cache: value = "cache \(access)"
        case .tmpfs: value = "tmpfs \(access)"
        case .secret(let secret):
            let name = secret.environmentName.map { " as $\($0)" } ?? ""
            value = "secret \(secret.id)\(name) \(owner(secret.permissions, secret.uid, secret.gid))"
        case .ssh(let ssh): value = "ssh \(ssh.id) \(owner(ssh.permissions, ssh.uid, ssh.gid))"
        }
        return Setting("mount at \(mount.target ?? "no path")", value)
    }

    private static func owner(_ mode: UInt32, _ uid: UInt32, _ gid: UInt32) -> String {
        "\(String(mode, radix: 8)) \(uid):\(gid)"
    }

    private static func setting(_ action: FileAction) -> Setting {
        switch action {
        case .copy(let copy):
            var value = "to \(copy.destination)"
            if let owner = copy.owner { value += " owner \(owner.text)" }
            if let mode = copy.permissions { value += " mode \(text(mode))" }
            if copy.unpacksArchives { value += " unpacking archives" }
            if copy.parentsPivot != nil { value += " with parents" }
            if !copy.excludePatterns.isEmpty { value += " without \(copy.excludePatterns.joined(separator: " "))" }
            return Setting("copy of \(copy.source)", value)
        case .makeDirectory(let make):
            let owner = make.owner.map { " owner \($0.text)" } ?? ""
            return Setting("directory \(make.path)", "mode \(String(make.permissions, radix: 8))\(owner)")
        case .makeFile(let make):
            return Setting("document \(make.path)", Digest.sha256(make.content).description)
        }
    }

    private static func text(_ permissions: FilePermissions) -> String {
        switch permissions {
        case .exact(let bits): String(bits, radix: 8)
        case .symbolic(let mode): mode.text
        }
    }

    /// What each of the inputs is for.
    static func roles(of op: BuildOp, count: Int) -> [String] {
        var roles = [String](repeating: "input", count: count)
        func set(_ input: Int, _ role: String) {
            if roles.indices.contains(input), roles[input] == "input" { roles[input] = role }
        }
        switch op {
        case .exec(let exec):
            if !exec.emptyRoot { set(0, "base") }
            for mount in exec.mounts {
                if case .bind(let input, _) = mount.source { set(input, "mount \(mount.target ?? "")") }
            }
        case .file(let file):
            if file.hasBase { set(0, "base") }
            for case .copy(let copy) in file.actions { set(copy.input, "copy \(copy.source)") }
        case .merge:
            set(0, "base")
        case .image, .local, .git, .http: break
        }
        return roles
    }
}
