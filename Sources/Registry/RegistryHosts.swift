// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// How each registry is reached, in the shape of buildkitd.toml's `[registry."host"]` tables.
public struct RegistryHosts: Sendable, Hashable {
    /// The settings of one host.
    public struct Host: Sendable, Hashable {
        /// Hosts, each with an optional path prefix (`mirror.example/proxy`), that are asked before this one for pulls.
        public var mirrors: [String]
        /// Speak plain http, also when credentials must be sent.
        public var http: Bool
        /// Do not verify the certificate.
        public var insecure: Bool
        /// PEM files with certificate authorities that are trusted besides the system's.
        public var ca: [String]
        /// PEM files of client certificates; the first pair is used.
        public var keypair: [KeyPair]

        public init(
            mirrors: [String] = [],
            http: Bool = false,
            insecure: Bool = false,
            ca: [String] = [],
            keypair: [KeyPair] = []
        ) {
            self.mirrors = mirrors
            self.http = http
            self.insecure = insecure
            self.ca = ca
            self.keypair = keypair
        }
    }

    /// Paths of a client certificate and its private key, PEM.
    public struct KeyPair: Sendable, Hashable {
        public var certificate: String
        public var key: String

        public init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    /// Settings by host and port as references write them; `docker.io` for Docker Hub.
    public var hosts: [String: Host]

    public init(_ hosts: [String: Host] = [:]) { self.hosts = hosts }

    /// The settings of `name`; the defaults when it has none.
    public subscript(name: String) -> Host {
        if let host = hosts[name] { return host }
        if RegistryEndpoint.dockerHubNames.contains(name) {
            for alias in RegistryEndpoint.dockerHubNames { if let host = hosts[alias] { return host } }
        }
        return Host()
    }
}
