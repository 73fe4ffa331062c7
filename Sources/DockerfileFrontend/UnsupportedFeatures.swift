// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileSyntax

/// What the parser takes and lowering cannot do yet: always an error, never left out in silence.
enum UnsupportedFeatures {
    static func failures(in instruction: Instruction, _ request: LoweringRequest) -> [LoweringFailure] {
        switch instruction.kind {
        case .run(let run): self.failures(in: run, instruction, request)
        case .copy(let copy):
            flags(["parents", "exclude"], of: instruction)
                + (copy.link ? flags(["link"], of: instruction) : [])
        case .add(let add):
            flags(["exclude", "keep-git-dir", "checksum"], of: instruction)
                + (add.link ? flags(["link"], of: instruction) : [])
        default: []
        }
    }

    private static func failures(
        in run: RunInstruction,
        _ instruction: Instruction,
        _ request: LoweringRequest
    ) -> [LoweringFailure] {
        var failures = flags(["mount", "device"], of: instruction)
        if let security = run.security, security.text != "sandbox" {
            failures.append(.unsupported("RUN --security=\(security.text)", security.range))
        }
        if let network = run.network {
            switch ExecOp.Network(rawValue: network.text) {
            case nil: failures.append(LoweringFailure("unsupported network mode \"\(network.text)\"", network.range))
            case .host where !request.allowsHostNetwork && request.networkMode != .host:
                failures.append(
                    LoweringFailure(
                        "network.host is not allowed",
                        network.range,
                        nextStep: "Build with --network host if you trust this Dockerfile with the host's network."
                    )
                )
            default: break
            }
        }
        if case .file = run.script, let heredoc = run.heredocs.first {
            failures.append(
                .unsupported(
                    "RUN with a heredoc that starts with #!",
                    heredoc.range,
                    nextStep: "Call the interpreter: RUN sh <<EOF."
                )
            )
        }
        return failures
    }

    private static func flags(_ names: [String], of instruction: Instruction) -> [LoweringFailure] {
        instruction.flags.filter { names.contains($0.name) && $0.value?.text != "false" }.map {
            .unsupported("\(instruction.keyword.rawValue) --\($0.name)", $0.range)
        }
    }

    /// The failure for a source that is not a local path; nil for one that is.
    static func remoteSource(_ source: String, at range: SourceRange, isAdd: Bool) -> LoweringFailure? {
        let isWeb = source.hasPrefix("http://") || source.hasPrefix("https://")
        let path = source.prefix { $0 != "#" && $0 != "?" }
        let isGit =
            ["git://", "ssh://", "git@"].contains { source.hasPrefix($0) } || (isWeb && path.hasSuffix(".git"))
        guard isWeb || isGit else { return nil }
        guard isAdd else {
            return LoweringFailure("source can't be a \(isGit ? "git ref" : "URL") for COPY", range)
        }
        return .unsupported("ADD from \(isGit ? "a git repository" : "a URL")", range)
    }
}
