// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// A command run in a container. Input 0, when there is one, is the root file system; `mounts` may name further inputs.
public struct ExecOp: Hashable, Sendable {
    public enum Network: String, Hashable, Sendable {
        /// What the build request or the host gives.
        case unset = "default"
        case none
        case host
    }

    public enum Security: String, Hashable, Sendable {
        case sandbox
        /// All capabilities, no seccomp filter, nothing masked.
        case insecure
    }

    public struct Ulimit: Hashable, Sendable {
        public var name: String
        public var soft: Int64
        public var hard: Int64

        public init(name: String, soft: Int64, hard: Int64) {
            self.name = name
            self.soft = soft
            self.hard = hard
        }
    }

    public struct HostEntry: Hashable, Sendable {
        public var name: String
        public var address: String

        public init(name: String, address: String) {
            self.name = name
            self.address = address
        }
    }

    public var arguments: [String]
    /// `KEY=value`, in order.
    public var environment: [String]
    /// Proxy variables: given to the command, left out of the cache key.
    public var proxyEnvironment: [String]
    /// Absolute.
    public var workingDirectory: String
    /// As in a Dockerfile: name or id, optionally `:group`; empty is root.
    public var user: String
    public var network: Network
    public var security: Security
    public var mounts: [ExecMount]
    public var hostname: String
    public var extraHosts: [HostEntry]
    public var ulimits: [Ulimit]
    /// Bytes of /dev/shm; nil is 64 MiB.
    public var sharedMemorySize: Int64?
    /// True when there is no input 0: the command starts in an empty root.
    public var emptyRoot: Bool

    public init(
        arguments: [String],
        environment: [String],
        proxyEnvironment: [String] = [],
        workingDirectory: String,
        user: String,
        network: Network = .unset,
        security: Security = .sandbox,
        mounts: [ExecMount] = [],
        hostname: String = "buildkitsandbox",
        extraHosts: [HostEntry] = [],
        ulimits: [Ulimit] = [],
        sharedMemorySize: Int64? = nil,
        emptyRoot: Bool = false
    ) {
        self.arguments = arguments
        self.environment = environment
        self.proxyEnvironment = proxyEnvironment
        self.workingDirectory = workingDirectory
        self.user = user
        self.network = network
        self.security = security
        self.mounts = mounts
        self.hostname = hostname
        self.extraHosts = extraHosts
        self.ulimits = ulimits
        self.sharedMemorySize = sharedMemorySize
        self.emptyRoot = emptyRoot
    }

    func encode(into encoder: inout CanonicalEncoder, cacheOnly: Bool) {
        encoder.append("args", arguments)
        encoder.append("env", environment)
        encoder.append("cwd", workingDirectory)
        encoder.append("user", user)
        encoder.append("network", network.rawValue)
        encoder.append("security", security.rawValue)
        encoder.append("mounts", list: mounts) { $1.encode(into: &$0, cacheOnly: cacheOnly) }
        encoder.append("hostname", hostname)
        encoder.append("hosts", extraHosts.map(\.name))
        encoder.append("emptyRoot", emptyRoot)
        if !cacheOnly {
            encoder.append("proxy", proxyEnvironment)
            encoder.append("addresses", extraHosts.map(\.address))
            encoder.append("ulimits", ulimits.map { "\($0.name)=\($0.soft):\($0.hard)" })
            encoder.append("shm", sharedMemorySize.map(String.init))
        }
    }
}
