// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI

/// The index above the manifests of one image for several platforms.
struct ImageIndexDocument {
    let bytes: [UInt8]
    let descriptor: Descriptor

    /// - Parameter manifests: in the order of `images`.
    init(
        _ images: [AssembledImage],
        _ manifests: [Descriptor],
        _ options: LayerOptions,
        _ annotations: [String: String]
    ) {
        let entries = zip(images, manifests).map { image, manifest in
            var entry = manifest
            entry.platform = image.platform
            return entry
        }
        let index = Index(
            mediaType: options.ociMediaTypes ? .ociIndex : .dockerManifestList,
            manifests: entries,
            annotations: annotations
        )
        bytes = index.encoded()
        descriptor = Descriptor(mediaType: index.mediaType, digest: .sha256(bytes), size: Int64(bytes.count))
    }
}
