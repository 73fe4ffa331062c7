// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import OCI

/// What a check or an outline has to know beyond the Dockerfile.
public struct LintRequest: Sendable {
    /// The stage in question; nil is the last one.
    public var target: String?
    /// Looks at the instructions of every stage, not only of those that the target reaches. Only without a target.
    public var coversAllStages: Bool
    public var buildArguments: [String: String]
    public var platform: Platform
    public var buildPlatform: Platform
    /// Of the build context's ignore file.
    public var ignorePatterns: [String]
    /// Stages and images that `--build-context` replaces, in lower case.
    public var namedContexts: Set<String>
    /// The config of an image, or nil when it is not known. Must not fetch anything.
    public var config: @Sendable (Reference, Platform) -> ImageConfig?

    public init(
        target: String? = nil,
        coversAllStages: Bool = false,
        buildArguments: [String: String] = [:],
        platform: Platform = .host,
        buildPlatform: Platform = .host,
        ignorePatterns: [String] = [],
        namedContexts: Set<String> = [],
        config: @escaping @Sendable (Reference, Platform) -> ImageConfig? = { _, _ in nil }
    ) {
        self.target = target.flatMap { $0.isEmpty ? nil : $0 }
        self.coversAllStages = coversAllStages
        self.buildArguments = buildArguments
        self.platform = platform
        self.buildPlatform = buildPlatform
        self.ignorePatterns = ignorePatterns
        self.namedContexts = namedContexts
        self.config = config
    }
}
