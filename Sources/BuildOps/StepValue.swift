// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import OCI
public import Snapshots
public import Solver

/// The result of a build step.
public struct StepValue: SolverValue {
    public enum Content: Sendable {
        /// A file tree: layers, bottom first.
        case tree(LayerStack)
        /// A directory of the machine that runs the build.
        case directory(ContextTree)
        /// A directory that a former build read: all that is left of it is the digest of its content.
        case formerDirectory(CacheKey)
    }

    public let content: Content
    public let isReusable: Bool

    public init(_ content: Content, isReusable: Bool = true) {
        self.content = content
        self.isReusable = isReusable
    }

    public init(_ stack: LayerStack, isReusable: Bool = true) { self.init(.tree(stack), isReusable: isReusable) }

    /// The layers of a tree; a directory has none.
    public func layers() async throws -> [SnapshotID] { try await stack.snapshots() }

    /// Empty for a directory.
    var stack: LayerStack {
        if case .tree(let stack) = content { stack } else { LayerStack([]) }
    }

    /// Names the content: equal texts mean equal content, but not the other way round.
    var name: String {
        switch content {
        case .tree(let stack): stack.name
        case .directory, .formerDirectory: directoryName
        }
    }

    /// Empty for a tree.
    private var directoryName: String {
        switch content {
        case .tree: ""
        case .directory(let tree): "=\(tree.key.digest.hex)"
        case .formerDirectory(let key): "=\(key.digest.hex)"
        }
    }
}

extension ContextTree {
    var key: CacheKey { CacheKey(Digest.sha256("context \(digest)")) }
}

// MARK: - In records

extension StepValue {
    /// How the result is written into a cache record; nil for what cannot be kept.
    public var payload: [UInt8]? {
        guard case .tree(let stack) = content, stack.present != nil else { return nil }
        return Array(stack.text.utf8)
    }

    /// How an input is written into a cache record.
    public var inputPayload: [UInt8] {
        if case .tree(let stack) = content { Array(stack.text.utf8) } else { Array(directoryName.utf8) }
    }

    /// What a payload of either kind names; nil when it is damaged.
    public init?(payload: [UInt8]) {
        let text = String(decoding: payload, as: UTF8.self)
        if text.hasPrefix("=") {
            guard let digest = try? Digest("sha256:\(text.dropFirst())") else { return nil }
            self.init(.formerDirectory(CacheKey(digest)))
        } else {
            guard let stack = LayerStack(text) else { return nil }
            self.init(stack)
        }
    }
}
