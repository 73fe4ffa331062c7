// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import Executor
import LinuxSystem
import OCI
import Snapshots

/// What the mounts of a RUN need while its command runs.
struct PreparedMounts: Sendable {
    /// Parents before what lies in them.
    var mounts: [ExecutorMount] = []
    var secretVariables: [SecretVariable] = []
    /// Where the command finds the first SSH agent.
    var agentSocket: String?
    /// A local file changed while it was copied.
    var sourceChanged = false
    fileprivate var proxies: [AgentProxy] = []
    /// Locks, mounts and directories that go when nobody holds them.
    fileprivate var held: [any Sendable] = []

    /// Ends what was started. Call it once, after the command.
    func release() {
        for proxy in proxies { proxy.stop() }
    }
}

/// Makes the mounts of a RUN out of its inputs, the secrets and agents of the request, and the store's directories.
struct MountPreparation: Sendable {
    let op: ExecOp
    let inputs: [StepValue]
    let environment: StepEnvironment
    /// An empty directory, for sockets.
    let scratch: RawPath
    /// Tells the user something about the step.
    let note: @Sendable (String) -> Void

    /// Waits for locked cache directories last, with everything else ready.
    func prepare() async throws -> PreparedMounts {
        var result = PreparedMounts()
        do {
            var made: [(target: String, mount: ExecutorMount)] = []
            // What lies deeper comes first: a bind mount has to have the places for what is mounted in it.
            for (index, mount) in ordered.reversed() {
                guard let next = try await prepare(mount, index, made, &result) else { continue }
                made.append((next.target, next))
            }
            result.mounts = made.map(\.mount).reversed()
            try await addCaches(&result)
            return result
        } catch {
            result.release()
            throw error
        }
    }

    /// By target, as BuildKit mounts them. Of two for one target the later counts.
    private var ordered: [(index: Int, mount: ExecMount)] {
        var last: [String: Int] = [:]
        for (index, mount) in op.mounts.enumerated() { if let target = mount.target { last[target] = index } }
        return op.mounts.enumerated()
            .filter { index, mount in mount.target.map { last[$0] == index } ?? true }
            .map { (index: $0.offset, mount: $0.element) }
            .sorted { left, right in
                (RawPath(left.mount.target ?? "").components, left.index)
                    < (RawPath(right.mount.target ?? "").components, right.index)
            }
    }

    private func prepare(
        _ mount: ExecMount,
        _ index: Int,
        _ inside: [(target: String, mount: ExecutorMount)],
        _ result: inout PreparedMounts
    ) async throws -> ExecutorMount? {
        switch mount.source {
        case .bind(let input, let path):
            let target = mount.target ?? "/"
            let below = inside.filter { RawPath($0.target).components.starts(with: RawPath(target).components) }
            let source = try await bind(input, path, mount, target, below, &result)
            return ExecutorMount(source, target: target, readOnly: mount.readOnly)
        case .cache:
            // Its directory is put in at the end.
            return ExecutorMount(
                .tmpfs(size: nil, mode: 0),
                target: mount.target ?? "/",
                readOnly: mount.readOnly
            )
        case .tmpfs(let size):
            return ExecutorMount(
                .tmpfs(size: size, mode: 0o1777),
                target: mount.target ?? "/",
                readOnly: mount.readOnly
            )
        case .secret(let secret):
            return try await self.secret(secret, mount, &result)
        case .ssh(let ssh):
            return try await self.agent(ssh, mount, index, &result)
        }
    }

    // MARK: Bind

    private func bind(
        _ input: Int,
        _ path: String,
        _ mount: ExecMount,
        _ target: String,
        _ inside: [(target: String, mount: ExecutorMount)],
        _ result: inout PreparedMounts
    ) async throws -> ExecutorMount.Source {
        let depth = RawPath(target).components.count
        let places: [BindMount.Place] = inside.map { place in
            let rest = RawPath(place.target).components.dropFirst(depth).reduce(RawPath("")) { $0.appending($1) }
            return BindMount.Place(path: rest, isDirectory: place.mount.isDirectory)
        }
        let source: BindSource
        switch inputs[input].content {
        case .tree(let stack):
            source = .layers(try await stack.snapshots())
        case .directory(let context):
            let resolved = try ContextSource(context: context).resolve(try checkedPath(path))
            let copy = try await environment.contextCopies.copy(resolved, of: context, environment.snapshotter)
            if copy.sourceChanged { result.sourceChanged = true }
            source = .copy(copy, resolved)
        case .formerDirectory:
            throw BuildOpsError(.sourceMissing, "a directory of a former build was asked for")
        }
        let bind = BindMount(source, path: try checkedPath(path), isReadOnly: mount.readOnly, places: places)
        let snapshotter = environment.snapshotter
        let (tree, held) = try await blocking { try bind.tree(snapshotter) }
        result.held += held
        return tree
    }

    // MARK: Cache

    private struct CacheWish: Sendable {
        var mount: CacheMount
        var seed: (input: StepValue, path: String)?
        var targets: [String]
    }

    /// All of a step's mounts of one directory share it. Locks are taken in one order everywhere, so that no two steps
    /// wait for each other.
    private func addCaches(_ result: inout PreparedMounts) async throws {
        var wishes: [Digest: CacheWish] = [:]
        for (_, mount) in ordered {
            guard case .cache(let cache) = mount.source, let target = mount.target else { continue }
            let seed = cache.seed.map { (input: inputs[$0.input], path: $0.path) }
            let key = CacheMounts.key(cache, seed: seed.map { "\($0.input.name) \($0.path)" })
            var wish = wishes[key] ?? CacheWish(mount: cache, seed: seed, targets: [])
            wish.targets.append(target)
            if cache.sharing.strictness > wish.mount.sharing.strictness { wish.mount.sharing = cache.sharing }
            wishes[key] = wish
        }
        let caches = environment.cacheMounts
        for (key, wish) in wishes.sorted(by: { $0.key.hex < $1.key.hex }) {
            let note = note
            let lease = try await caches.lease(wish.mount, key: key, fill: try await filling(wish)) {
                note("waiting for another command that uses the locked cache mount \"\(wish.mount.id)\"\n")
            }
            result.held.append(lease)
            for position in result.mounts.indices where wish.targets.contains(result.mounts[position].target) {
                result.mounts[position].source = .path(lease.directory, recursive: false)
            }
        }
    }

    private func filling(_ wish: CacheWish) async throws -> @Sendable (RawPath, CancellationFlag) throws -> Bool {
        guard let seed = wish.seed else { return { _, _ in false } }
        let source = try await environment.source(seed.input)
        let path = try checkedPath(seed.path)
        let id = wish.mount.id
        return { directory, cancellation in
            let resolved = try source.resolve(path)
            guard let status = try source.status(resolved) else { throw source.missing(path.description) }
            guard status.kind == .directory else {
                throw BuildOpsError(
                    .conflict,
                    "\"\(path)\": the cache mount \"\(id)\" begins with a directory, not a file"
                )
            }
            let content = try open(directory, [.directory]).shared()
            // Later builds would find it under the digest of what it should have been.
            if let changed = try fill(content, from: source, resolved, status, cancellation) {
                throw BuildOpsError(
                    .conflict,
                    "\"\(changed)\" changed during the build; the cache mount \"\(id)\" cannot begin with a copy of it",
                    nextStep: "build again when nothing writes to it any more"
                )
            }
            return true
        }
    }

    // MARK: Secrets and agents

    private func secret(
        _ secret: SecretMount,
        _ mount: ExecMount,
        _ result: inout PreparedMounts
    ) async throws -> ExecutorMount? {
        guard let value = try await environment.secrets.secret(secret.id) else {
            if !secret.isRequired { return nil }
            throw BuildOpsError(
                .notProvided,
                "secret \(secret.id): not found",
                nextStep:
                    "give it to the build: --secret id=\(secret.id),src=FILE or --secret id=\(secret.id),env=VARIABLE"
            )
        }
        if let name = secret.environmentName {
            guard !value.exposed.contains(0), let text = String(validating: value.exposed, as: UTF8.self) else {
                throw BuildOpsError(
                    .invalidRequest,
                    "secret \(secret.id): a variable cannot hold it: it is not text",
                    nextStep: "mount it as a file: --mount=type=secret,id=\(secret.id),target=PATH"
                )
            }
            result.secretVariables.append(SecretVariable(name: name, exposed: text))
        }
        guard let target = mount.target else { return nil }
        let tree = try await blocking { try secret.file(value) }
        var made = ExecutorMount(
            .subtree(of: tree, path: "secret", isDirectory: false),
            target: target,
            readOnly: mount.readOnly
        )
        made.forbidsExecution = secret.permissions & 0o111 == 0
        return made
    }

    private func agent(
        _ ssh: SSHMount,
        _ mount: ExecMount,
        _ index: Int,
        _ result: inout PreparedMounts
    ) async throws -> ExecutorMount? {
        guard let address = try await environment.agents.agent(ssh.id) else {
            if !ssh.isRequired { return nil }
            let flag = ssh.id == "default" ? "--ssh default" : "--ssh \(ssh.id)=SOCKET"
            throw BuildOpsError(
                .notProvided,
                "unset ssh forward key \(ssh.id)",
                nextStep: "give the build an SSH agent: \(flag)"
            )
        }
        let number = op.mounts[..<index].count { if case .ssh = $0.source { true } else { false } }
        let target = mount.target ?? "/run/buildkit/ssh_agent.\(number)"
        let directory = scratch.appending("ssh-\(index)")
        let proxy = try await blocking {
            try makeDirectory(directory, mode: 0o700)
            return try AgentProxy(
                address,
                in: directory,
                permissions: ssh.permissions,
                owner: (ssh.uid, ssh.gid)
            )
        }
        proxy.start()
        result.proxies.append(proxy)
        // The deepest come first here, but the variable names the first that was asked for.
        if number == 0 || result.agentSocket == nil { result.agentSocket = target }
        return ExecutorMount(.path(proxy.socket, recursive: false), target: target, readOnly: mount.readOnly)
    }
}

extension SecretMount {
    /// A file system in memory with the secret as its only file, `secret`.
    fileprivate func file(_ value: SecretValue) throws -> SharedFD {
        let tree = try detachedMemoryTree().shared()
        let file = try open(at: tree.raw, "secret", [.writeOnly, .create, .exclusive], mode: 0o600)
        try writeBytes(file.raw, value.exposed)
        try setOwner(of: file.raw, uid: uid, gid: gid)
        try setPermissions(of: file.raw, permissions & 0o777)
        return tree
    }
}

extension CacheMount.Sharing {
    fileprivate var strictness: Int {
        switch self {
        case .shared: 0
        case .private: 1
        case .locked: 2
        }
    }
}

extension ExecutorMount {
    fileprivate var isDirectory: Bool {
        switch source {
        case .tmpfs: true
        case .subtree(_, _, let isDirectory): isDirectory
        case .descriptor(let fd), .mount(let fd): (try? status(of: fd.raw))?.kind == .directory
        case .path(let path, _): (try? status(at: workingDirectory, path))?.kind == .directory
        }
    }
}

private func < (left: ([RawPath], Int), right: ([RawPath], Int)) -> Bool {
    if left.0 == right.0 { return left.1 < right.1 }
    return left.0.lexicographicallyPrecedes(right.0)
}
