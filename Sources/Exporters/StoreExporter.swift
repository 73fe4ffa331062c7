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
    public func export(_ image: AssembledImage, names: [Reference]) async throws {
        try await blocking { [images] in
            let now = FileTime.now.seconds
            for name in names {
                try images.set(
                    ImageRecord(
                        reference: name.withDefaultTag,
                        config: image.configDigest,
                        size: image.size,
                        updated: now
                    )
                )
            }
        }
    }
}
