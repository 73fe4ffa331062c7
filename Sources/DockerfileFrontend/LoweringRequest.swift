// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import BuildDefinition
public import OCI

/// What a build asks for beyond its Dockerfile.
public struct LoweringRequest: Sendable {
    /// Which steps must not use former results.
    public enum NoCache: Hashable, Sendable {
        case none
        case all
        /// Names of stages, any letter case.
        case stages(Set<String>)
    }

    /// The stage to build; nil is the last one.
    public var target: String?
    /// Values of `--build-arg`; a name given without value was looked up by the caller.
    public var buildArguments: [String: String]
    /// Set on the image after all LABEL instructions, in order.
    public var labels: [Label]
    public var noCache: NoCache
    /// The platform asked for; nil builds for `buildPlatform` and keeps what the base image says of itself.
    public var platform: Platform?
    public var buildPlatform: Platform
    /// Step names carry the platform, because the build makes several images.
    public var showsPlatform: Bool
    /// For RUN steps that ask for nothing else.
    public var networkMode: ExecOp.Network
    /// Lets `RUN --network=host` through; implied when `networkMode` is host.
    public var allowsHostNetwork: Bool
    public var extraHosts: [ExecOp.HostEntry]
    public var ulimits: [ExecOp.Ulimit]
    /// Bytes of /dev/shm; nil is the default.
    public var sharedMemorySize: Int64?
    /// Host name inside RUN steps; nil is BuildKit's.
    public var hostname: String?
    /// Lets `RUN --security=insecure` through.
    public var allowsInsecure: Bool
    /// The build context.
    public var context: ContextSource
    /// Of `--build-context`, by name in lower case: each stands in for the stage or the image of that name, and is what
    /// `--from` can mean.
    public var namedContexts: [String: ContextSource]

    public struct Label: Hashable, Sendable {
        public var key: String
        public var value: String

        public init(key: String, value: String) {
            self.key = key
            self.value = value
        }
    }

    public init(
        target: String? = nil,
        buildArguments: [String: String] = [:],
        labels: [Label] = [],
        noCache: NoCache = .none,
        platform: Platform? = nil,
        buildPlatform: Platform = .host,
        showsPlatform: Bool = false,
        networkMode: ExecOp.Network = .unset,
        allowsHostNetwork: Bool = false,
        extraHosts: [ExecOp.HostEntry] = [],
        ulimits: [ExecOp.Ulimit] = [],
        sharedMemorySize: Int64? = nil,
        hostname: String? = nil,
        allowsInsecure: Bool = false,
        context: ContextSource = .local(name: "context", ignorePatterns: []),
        namedContexts: [String: ContextSource] = [:]
    ) {
        self.target = target
        self.buildArguments = buildArguments
        self.labels = labels
        self.noCache = noCache
        self.platform = platform
        self.buildPlatform = buildPlatform
        self.showsPlatform = showsPlatform
        self.networkMode = networkMode
        self.allowsHostNetwork = allowsHostNetwork
        self.extraHosts = extraHosts
        self.ulimits = ulimits
        self.sharedMemorySize = sharedMemorySize
        self.hostname = hostname
        self.allowsInsecure = allowsInsecure
        self.context = context
        self.namedContexts = namedContexts
    }

    var targetPlatform: Platform { platform ?? buildPlatform }

    func ignoresCache(stage: StageNode) -> Bool {
        switch noCache {
        case .none: false
        case .all: true
        case .stages(let names): stage.name.map { name in names.contains { $0.lowercased() == name } } ?? false
        }
    }
}
