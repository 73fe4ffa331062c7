// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildOps
import Content
import LinuxSystem

/// What a request gives its steps beside files: secrets and SSH agents.
struct Provisions {
    let secrets: any BuildSecrets
    let agents: any SSHAgents
    private let started: AgentSockets?

    /// Nothing.
    init() {
        secrets = NothingProvided()
        agents = NothingProvided()
        started = nil
    }

    /// - Throws: when a value cannot be understood, or a file that it names is not there.
    init(_ request: BuildRequest, environment: [String: String], root: StoreRoot) throws {
        let directory = try readLink("/proc/self/cwd")
        secrets = try SecretFiles(
            request.secrets.map { try SecretSource(parsing: $0, environment: environment, directory: directory) }
        )
        let sockets = try AgentSockets(
            request.agents.map { try AgentSource(parsing: $0, environment: environment, directory: directory) },
            directory: root.temporaryPath("agents"),
            searchPath: (environment["PATH"] ?? "").split(separator: ":").map(String.init)
        )
        agents = sockets
        started = sockets
    }

    /// Ends the agents that were started. Call it when no step runs any more.
    func close() async { await started?.close() }
}
