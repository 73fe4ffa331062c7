// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileSyntax
import OCI

extension StageEvaluator {
    mutating func evaluateRun(_ run: RunInstruction, _ step: StageInstruction) throws(LoweringFailure) {
        var planned: [PlannedMount] = []
        let command: [String]
        switch run.script {
        case .exec(let arguments): command = arguments
        case .shell(let text): command = shell + [text]
        case .file(let name, let content):
            let file = try Self.scriptFile(name, content, run)
            planned.append(
                PlannedMount(
                    mount: ExecMount(.bind(input: 0, path: "/"), target: "/dev/pipes", readOnly: true),
                    source: .inline(file)
                )
            )
            // The shell starts it, as in BuildKit: what SHELL says counts for scripts too.
            command = shell + ["/dev/pipes" + file.path]
        }
        guard !command.isEmpty else { throw LoweringFailure("RUN needs a command") }
        var mounts: [RunMount] = []
        for spec in run.mounts {
            mounts.append(try RunMount(spec) { word throws(LoweringFailure) in try expand(word) })
        }
        planned += try plan(mounts, step)
        var environment = plan.environment
        if let agent = planned.first(where: { if case .ssh = $0.mount.source { true } else { false } })?.mount.target,
            environment.value(of: "SSH_AUTH_SOCK") == nil
        {
            environment.set("SSH_AUTH_SOCK", agent)
        }
        let op = ExecOp(
            arguments: command,
            environment: environment.entries,
            proxyEnvironment: BuildArguments.proxyEnvironment(request.buildArguments),
            workingDirectory: workingDirectory,
            user: plan.config.user,
            network: network(run),
            security: run.security?.text == ExecOp.Security.insecure.rawValue ? .insecure : .sandbox,
            hostname: hostname,
            extraHosts: request.extraHosts,
            ulimits: request.ulimits,
            sharedMemorySize: request.sharedMemorySize
        )
        // The name shows where a secret is used, never what it is.
        var shown = plan.environment
        for mount in mounts where mount.kind == .secret {
            if let name = mount.environmentName { shown.set(name, "****") }
        }
        let display = WordExpander(escape: expander.escape, mode: .display)
        var text = step.instruction.original
        if run.isOnlyHeredoc, let heredoc = run.heredocs.first { text += " (\(Self.summary(heredoc.rawContent)))" }
        add(
            .exec(op, planned),
            displayText(text, display, shown),
            step,
            createdBy: (["RUN"] + argumentPrefix + command + ["# buildkit"]).joined(separator: " ")
        )
    }

    private static func scriptFile(_ name: String, _ content: String, _ run: RunInstruction) throws(LoweringFailure)
        -> FileMakeFile
    {
        guard ContextPath.isFileName(name) else {
            throw LoweringFailure("\"\(name)\" is not a file name", run.heredocs.first?.range)
        }
        return FileMakeFile(path: "/" + name, permissions: 0o755, content: Array(content.utf8))
    }

    // MARK: - Mounts

    /// In the order in which they are mounted: directories before what lies in them, then secrets and agents.
    private mutating func plan(_ mounts: [RunMount], _ step: StageInstruction) throws(LoweringFailure) -> [PlannedMount]
    {
        var trees: [(path: String, mount: PlannedMount)] = []
        var others: [PlannedMount] = []
        var agents = 0
        for (index, mount) in mounts.enumerated() {
            switch mount.kind {
            case .secret:
                let (secret, target) = mount.secret
                others.append(PlannedMount(mount: ExecMount(.secret(secret), target: target, readOnly: true)))
            case .ssh:
                let (agent, target) = mount.ssh(index: agents)
                agents += 1
                others.append(PlannedMount(mount: ExecMount(.ssh(agent), target: target, readOnly: true)))
            case .bind, .cache, .tmpfs:
                let path = try mount.path(in: workingDirectory)
                trees.append((path, tree(mount, path, from: step.mountOrigin(index))))
            }
        }
        let sorted = trees.enumerated().sorted { a, b in
            if a.element.path == b.element.path { return a.offset < b.offset }
            return a.element.path.utf8.lexicographicallyPrecedes(b.element.path.utf8)
        }
        return sorted.map(\.element.mount) + others
    }

    private mutating func tree(_ mount: RunMount, _ target: String, from origin: TreeOrigin?) -> PlannedMount {
        switch mount.kind {
        case .tmpfs:
            return PlannedMount(mount: ExecMount(.tmpfs(size: mount.size), target: target, readOnly: mount.isReadOnly))
        case .cache:
            var cache = mount.cacheMount(namespace: request.buildArguments["BUILDKIT_CACHE_MOUNT_NS"] ?? "")
            guard mount.seedsCache, let origin, origin != .empty else {
                return PlannedMount(mount: ExecMount(.cache(cache), target: target, readOnly: mount.isReadOnly))
            }
            cache.seed = CacheMount.Seed(input: 0, path: mount.sourcePath)
            note(mount.sourcePath, in: origin)
            return PlannedMount(
                mount: ExecMount(.cache(cache), target: target, readOnly: mount.isReadOnly),
                source: .origin(origin)
            )
        case .bind, .secret, .ssh:
            let origin = origin ?? .context(nil)
            note(mount.sourcePath, in: origin)
            return PlannedMount(
                mount: ExecMount(
                    .bind(input: 0, path: mount.sourcePath),
                    target: target,
                    readOnly: mount.isReadOnly
                ),
                source: .origin(origin)
            )
        }
    }

    // MARK: - The rest

    private func network(_ run: RunInstruction) -> ExecOp.Network {
        guard let word = run.network, let own = ExecOp.Network(rawValue: word.text), own != .unset else {
            return request.networkMode
        }
        return own
    }

    private var hostname: String {
        let named = request.buildArguments["BUILDKIT_SANDBOX_HOSTNAME"] ?? request.hostname ?? ""
        return named.isEmpty ? "buildkitsandbox" : named
    }

    /// `|2 A=1 B=2`: the build arguments a command saw, as history keeps them.
    private var argumentPrefix: [String] {
        var names: [String] = []
        var entries: [String: String] = [:]
        for argument in plan.arguments {
            if entries[argument.name] == nil { names.append(argument.name) }
            let value = plan.environment.value(of: argument.name) ?? argument.value ?? ""
            entries[argument.name] = "\(argument.name)=\(value)"
        }
        return names.isEmpty ? [] : ["|\(names.count)"] + names.compactMap { entries[$0] }
    }

    /// The first line of a heredoc, with dots when there are more.
    static func summary(_ content: String) -> String {
        let bytes = content.utf8
        let isBlank: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0d).contains($0) }
        guard let start = bytes.firstIndex(where: { !isBlank($0) }), let end = bytes.lastIndex(where: { !isBlank($0) })
        else { return "" }
        let trimmed = content.utf8[start...end]
        let lines = trimmed.split(separator: 0x0a, maxSplits: 1, omittingEmptySubsequences: false)
        let first = String(decoding: lines.first.map(Array.init) ?? [], as: UTF8.self)
        let line = first.unicodeScalars.last == "\r" ? String(first.unicodeScalars.dropLast()) : first
        return lines.count > 1 ? line + "..." : line
    }
}
