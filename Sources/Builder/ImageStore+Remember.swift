// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import OCI

// What was learnt of names from registries. Asking takes time, in which other processes may set the same names: what
// they set stays.

extension ImageStore {
    /// Keeps a name that a build needed, so that the next build asks nobody. A name that the user gave stays listed. One
    /// for another platform of the same index is added to it.
    ///
    /// - Parameter known: what the name stood for when the registry was asked; when it stands for something else by now,
    ///   that is newer.
    func remember(_ found: ImageRecord, _ platform: Platform, insteadOf known: ImageRecord?) throws {
        try update(found.reference) { current in
            if var current, let digest = current.repositoryDigest, digest == found.repositoryDigest {
                if current.config == found.config || current.variants.contains(where: { $0.config == found.config }) {
                    return nil
                }
                current.variants.removeAll { $0.platform == platform }
                current.variants.append(
                    ImageVariant(platform: platform, config: found.config, manifest: found.manifest, size: 0)
                )
                return current
            }
            guard current == known else { return nil }
            var record = found
            if current?.config == found.config { record.size = current?.size ?? 0 }
            record.isImplicit = current?.isImplicit ?? true
            return record
        }
    }

    /// Notes what the registry calls a name that was pushed, if it still stands for one of the images `pushed`.
    func setRepositoryDigest(_ digest: Digest, of name: Reference, _ pushed: [Digest]) throws {
        try update(name) { current in
            guard var current, pushed.contains(current.config) else { return nil }
            current.repositoryDigest = digest
            return current
        }
    }
}
