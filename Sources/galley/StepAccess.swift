// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import ArgumentParser
import Builder

/// Options of docker build that let RUN steps have what is kept from them otherwise.
struct StepAccess: ParsableArguments {
    @Option(
        name: .customLong("secret"),
        parsing: .unconditionalSingleValue,
        help: .init(
            "A secret for RUN --mount=type=secret: a file or a variable.",
            value: "id=name[,src=file|,env=variable]"
        )
    )
    var secrets: [String] = []

    @Option(
        name: .customLong("ssh"),
        parsing: .unconditionalSingleValue,
        help: .init("An SSH agent or keys for RUN --mount=type=ssh.", value: "default|id[=socket|key[,key]]")
    )
    var agents: [String] = []

    @Option(
        name: .customLong("allow"),
        parsing: .unconditionalSingleValue,
        help: .init("Let steps use network.host or security.insecure.", value: "entitlement")
    )
    var allowed: [String] = []

    func apply(to request: inout BuildRequest) throws {
        request.secrets = secrets
        request.agents = agents
        request.entitlements = Set(
            try allowed.flatMap { $0.split(separator: ",") }.map { word in
                guard let entitlement = BuildRequest.Entitlement(rawValue: String(word)) else {
                    throw invalidValue("invalid entitlement: \(word)", "use network.host or security.insecure")
                }
                return entitlement
            }
        )
    }
}
