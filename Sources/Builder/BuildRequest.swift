// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import BuildDefinition
public import DockerfileFrontend
public import LinuxSystem
public import OCI
public import Solver

/// One build, as a user or a client asks for it.
public struct BuildRequest: Sendable {
    /// Where the Dockerfile's text comes from.
    public enum Recipe: Sendable {
        /// A path, absolute or relative to the working directory, or a web address; nil is `Dockerfile` in the context.
        /// In a context that is no directory of this machine, a relative path is one inside it.
        case file(String?)
        /// The text itself, as read from standard input.
        case text([UInt8])
    }

    /// Where the build context is.
    public enum Context: Sendable {
        /// A directory, a git repository, or the web address of a tar archive or a Dockerfile.
        case location(String)
        /// A tar archive, or a Dockerfile without a context; told by the first bytes.
        case stream(SharedFD)
    }

    /// What steps may do only when the request allows it; BuildKit's names.
    public enum Entitlement: String, Hashable, Sendable {
        case networkHost = "network.host"
        case securityInsecure = "security.insecure"
    }

    public var context: Context
    public var recipe: Recipe
    /// In the syntax of `--build-context`.
    public var namedContexts: [String]
    /// Names for the image; the default tag is `latest`. Of several targets each has names of its own.
    public var tags: [Reference]
    /// Names by target, for builds of several.
    public var targetTags: [String: [Reference]]
    /// The stages to build, an image each; empty builds the last.
    public var targets: [String]
    public var buildArguments: [String: String]
    public var labels: [LoweringRequest.Label]
    public var noCache: LoweringRequest.NoCache
    /// Ask registries for base images even when the local store has them.
    public var pulls: Bool
    /// One image a platform, under one name; empty builds for this machine.
    public var platforms: [Platform]
    public var network: ExecOp.Network
    /// In the syntax of `--secret`.
    public var secrets: [String]
    /// In the syntax of `--ssh`.
    public var agents: [String]
    public var entitlements: Set<Entitlement>
    public var extraHosts: [ExecOp.HostEntry]
    public var ulimits: [ExecOp.Ulimit]
    /// Bytes of /dev/shm.
    public var sharedMemorySize: Int64?
    /// How many RUN steps run at once; nil is no limit.
    public var parallelism: Int?
    /// In the syntax of `--output`; empty keeps the image in the local store only.
    public var outputs: [String]
    /// `--push`: adds the registry as an output.
    public var pushes: Bool
    /// `--load`: adds the local store to other outputs.
    public var loads: Bool
    /// Build twice without cache, and fail when the results are not the same.
    public var verifiesReproducibility: Bool
    /// Where `dest=-` goes.
    public var standardOutput: SharedFD?

    public init(context: Context, recipe: Recipe = .file(nil)) {
        self.context = context
        self.recipe = recipe
        namedContexts = []
        tags = []
        targetTags = [:]
        targets = []
        buildArguments = [:]
        labels = []
        noCache = .none
        pulls = false
        platforms = []
        network = .unset
        secrets = []
        agents = []
        entitlements = []
        extraHosts = []
        ulimits = []
        outputs = []
        pushes = false
        loads = false
        verifiesReproducibility = false
    }
}

/// What a build made.
public struct BuildResult: Sendable {
    /// Digest of the image's config; nil when only files were exported.
    public var imageID: Digest?
    /// The manifest that was written or pushed; nil when none was made.
    public var manifest: Descriptor?
    /// Full names that were set.
    public var names: [String]
    /// What `--metadata-file` holds, in BuildKit's names.
    public var metadata: JSONValue
    public var warnings: [BuildWarning]
    /// Of a build of several targets what became of each, in their order; then all else here is of the last.
    public var targets: [TargetResult] = []
    /// What both builds came to; nil when there was but one.
    public var reproduced: ReproducedResult?
}

/// One of several images that a build made.
public struct TargetResult: Sendable {
    /// As the request names it.
    public var target: String
    /// Digest of the image's config; nil when only files were exported.
    public var imageID: Digest?
    public var metadata: JSONValue
}
