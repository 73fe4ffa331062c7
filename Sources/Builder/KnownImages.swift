// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileFrontend
import OCI
import Synchronization

/// Resolves images and remembers their configs for checks, which resolve nothing themselves.
final class KnownImages: ImageResolver {
    private struct Key: Hashable {
        var reference: Reference
        var platform: Platform
    }

    private struct State {
        var configs: [Key: ImageConfig] = [:]
        var missing: Set<Key> = []
        var asked: Set<Key> = []
    }

    private let resolver: any ImageResolver
    private let isLenient: Bool
    private let state = Mutex(State())

    /// - Parameter isLenient: an image that cannot be had counts as an empty one.
    init(_ resolver: any ImageResolver, isLenient: Bool = false) {
        self.resolver = resolver
        self.isLenient = isLenient
    }

    /// The config, when it was resolved before.
    func config(_ reference: Reference, _ platform: Platform) -> ImageConfig? {
        let key = Key(reference: reference, platform: platform)
        return state.withLock { state in
            if state.configs[key] == nil { state.asked.insert(key) }
            return state.configs[key]
        }
    }

    /// Resolves what was asked for and is not known; false when there was nothing new to be had.
    func resolveAsked() async throws -> Bool {
        let keys = state.withLock { state in
            let keys = state.asked.subtracting(state.missing)
            state.asked = []
            return keys
        }
        return try await withThrowingTaskGroup(of: Bool.self) { group in
            for key in keys {
                group.addTask {
                    _ = try await self.resolveImage(key.reference, platform: key.platform, layout: nil)
                    return self.state.withLock { $0.configs[key] != nil }
                }
            }
            return try await group.reduce(false) { $0 || $1 }
        }
    }

    func resolveImage(_ reference: Reference, platform: Platform, layout: String?) async throws -> ResolvedImage {
        let key = Key(reference: reference, platform: platform)
        let isMissing = state.withLock { $0.missing.contains(key) }
        do {
            if isMissing { return Self.empty(key) }
            let image = try await resolver.resolveImage(reference, platform: platform, layout: layout)
            if layout == nil { state.withLock { $0.configs[key] = image.config } }
            return image
        } catch {
            guard isLenient, !(error is CancellationError), !Task.isCancelled else { throw error }
            state.withLock { _ = $0.missing.insert(key) }
            return Self.empty(key)
        }
    }

    private static func empty(_ key: Key) -> ResolvedImage {
        ResolvedImage(
            reference: key.reference,
            manifest: nil,
            configDigest: Digest.sha256(""),
            config: ImageConfig(platform: key.platform)
        )
    }
}
