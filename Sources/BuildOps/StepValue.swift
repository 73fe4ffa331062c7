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
    }

    public let identity: CacheKey
    public let content: Content
    public let isReusable: Bool

    public init(identity: CacheKey, content: Content, isReusable: Bool = true) {
        self.identity = identity
        self.content = content
        self.isReusable = isReusable
    }

    /// The layers of a tree; a directory has none.
    public func layers() async throws -> [SnapshotID] {
        guard case .tree(let stack) = content else { return [] }
        return try await stack.snapshots()
    }
}

/// Layers of which the lowest may still be in a registry.
public struct LayerStack: Sendable {
    private enum Storage: Sendable {
        case present([SnapshotID])
        case image(any ImageLayers)
    }

    private let storage: Storage

    public init(_ snapshots: [SnapshotID]) { storage = .present(snapshots) }
    public init(image: any ImageLayers) { storage = .image(image) }

    /// The layers' trees if all are in the store; nil for an image that may have to be pulled.
    public var present: [SnapshotID]? {
        if case .present(let snapshots) = storage { snapshots } else { nil }
    }

    /// The layers' trees; those of an image are pulled the first time that somebody asks.
    public func snapshots() async throws -> [SnapshotID] {
        switch storage {
        case .present(let snapshots): snapshots
        case .image(let image): try await image.snapshots()
        }
    }
}

/// An image's layers, fetched when they are first needed and once for all who need them.
public protocol ImageLayers: Sendable {
    func snapshots() async throws -> [SnapshotID]
    /// Nobody asked for the layers so far and perhaps nobody will: shows the image as found.
    func announceUnused()
}
