// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildDefinition
import DockerfileSyntax

/// What a RUN may ask for only when the build request allows it.
struct RunPermissions {
    private let request: LoweringRequest

    init(_ request: LoweringRequest) { self.request = request }

    func failures(in instruction: Instruction) -> [LoweringFailure] {
        guard case .run(let run) = instruction.kind else { return [] }
        var failures: [LoweringFailure] = []
        if let security = run.security, security.text == ExecOp.Security.insecure.rawValue, !request.allowsInsecure {
            failures.append(
                LoweringFailure(
                    "security.insecure is not allowed",
                    security.range,
                    nextStep: "Build with --allow security.insecure if you trust this Dockerfile with the host."
                )
            )
        }
        if let network = run.network, network.text == ExecOp.Network.host.rawValue, !request.allowsHostNetwork,
            request.networkMode != .host
        {
            failures.append(
                LoweringFailure(
                    "network.host is not allowed",
                    network.range,
                    nextStep: "Build with --allow network.host if you trust this Dockerfile with the host's network."
                )
            )
        }
        for flag in instruction.flags where flag.name == "device" {
            failures.append(
                LoweringFailure(
                    "device feature is only supported in Dockerfile frontend 1.14.0-labs or later",
                    flag.range,
                    nextStep: "Remove the flag: no CDI devices can be given to a build step yet."
                )
            )
        }
        return failures
    }
}
