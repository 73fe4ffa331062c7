// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileSyntax
import OCI

extension StageEvaluator {
    mutating func evaluateRun(_ run: RunInstruction, _ step: StageInstruction) throws(LoweringFailure) {
        let command: [String]
        switch run.script {
        case .exec(let arguments): command = arguments
        case .shell(let text): command = shell + [text]
        // Reported before any image was asked for.
        case .file: return
        }
        guard !command.isEmpty else { throw LoweringFailure("RUN needs a command") }
        let op = ExecOp(
            arguments: command,
            environment: plan.environment.entries,
            proxyEnvironment: BuildArguments.proxyEnvironment(request.buildArguments),
            workingDirectory: workingDirectory,
            user: plan.config.user,
            network: network(run),
            hostname: hostname,
            extraHosts: request.extraHosts,
            ulimits: request.ulimits,
            sharedMemorySize: request.sharedMemorySize
        )
        let display = WordExpander(escape: expander.escape, mode: .display)
        var text = step.instruction.original
        if run.isOnlyHeredoc, let heredoc = run.heredocs.first { text += " (\(Self.summary(heredoc.rawContent)))" }
        add(
            .exec(op),
            displayText(text, display, plan.environment),
            step,
            createdBy: (["RUN"] + argumentPrefix + command + ["# buildkit"]).joined(separator: " ")
        )
    }

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
