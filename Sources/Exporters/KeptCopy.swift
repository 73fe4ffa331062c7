// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import OCI

/// A copy of a blob that is on its way elsewhere, for the content store. It saves time at best: where it cannot be
/// written, for instance on a full disk, there is none, and the way goes on.
///
/// Used by one thread at a time.
final class KeptCopy {
    private let content: ContentStore
    private var pending: PendingBlob?

    init(_ content: ContentStore) {
        self.content = content
        pending = try? content.begin(isHashed: false)
    }

    func write(_ bytes: UnsafeRawBufferPointer) {
        do { try pending?.write(bytes) } catch { pending = nil }
    }

    /// - Parameter blob: what was written, as whoever made it says.
    func publish(_ blob: Descriptor) {
        guard let pending else { return }
        try? content.publish(pending, as: blob)
    }
}
