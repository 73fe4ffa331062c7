// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Content
import LinuxSystem
public import OCI

/// Names images in the local store. Layers stay what they are: nothing is archived or compressed.
public struct StoreExporter: Sendable {
    private let images: ImageStore

    public init(_ images: ImageStore) { self.images = images }

    /// Sets every name; an image that had one of them loses it.
    ///
    /// - Parameter built: one a platform. The one for this machine is what commands show and run.
    public func export(_ built: [AssembledImage], names: [Reference]) async throws {
        guard let image = built.first(where: { Platform.host.accepts($0.platform) }) ?? built.first else { return }
        let variants = built.filter { $0.platform != image.platform }
        try await blocking { [images] in
            let now = FileTime.now.seconds
            for name in names {
                try images.set(
                    ImageRecord(
                        reference: name.withDefaultTag,
                        config: image.configDigest,
                        size: image.size,
                        updated: now,
                        variants: variants.map {
                            ImageVariant(platform: $0.platform, config: $0.configDigest, size: $0.size)
                        }
                    )
                )
            }
        }
    }
}
