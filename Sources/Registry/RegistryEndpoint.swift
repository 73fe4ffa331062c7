// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// One server that can answer for a repository: the origin or a mirror.
struct RegistryEndpoint: Hashable, Sendable {
    /// The name that settings and credentials are kept under: `docker.io`, `localhost:5000`.
    let name: String
    /// Host and port to connect to.
    let authority: String
    /// Path between `/v2/` and the repository, without slashes at its ends.
    let prefix: String
    let isMirror: Bool

    static let dockerHubNames = ["docker.io", "index.docker.io", "registry-1.docker.io"]

    /// The registry that a reference's domain names.
    init(domain: String) {
        let isHub = Self.dockerHubNames.contains(domain)
        name = isHub ? "docker.io" : domain
        authority = isHub ? "registry-1.docker.io" : domain
        prefix = ""
        isMirror = false
    }

    /// A mirror as the configuration writes it: `host[:port][/prefix]`; a scheme is dropped, the host's settings decide.
    init(mirror: String) {
        var rest = Substring(mirror)
        for scheme in ["https://", "http://"] where rest.hasPrefix(scheme) { rest = rest.dropFirst(scheme.count) }
        let parts = rest.split(separator: "/", maxSplits: 1)
        let origin = RegistryEndpoint(domain: parts.first.map(String.init) ?? "")
        name = origin.name
        authority = origin.authority
        prefix = parts.count > 1 ? parts[1].split(separator: "/").joined(separator: "/") : ""
        isMirror = true
    }

    /// The repository's path on this server.
    func path(of repository: String) -> String { prefix.isEmpty ? repository : "\(prefix)/\(repository)" }

    var isLoopback: Bool { WebAddress.isLoopback(host) }

    var host: String { WebAddress.split(authority: authority).host }
    var hasPort: Bool { WebAddress.split(authority: authority).port != nil }
}
