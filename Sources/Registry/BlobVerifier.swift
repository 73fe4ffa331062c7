// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import OCI

/// Checks bytes against a descriptor while they arrive.
struct BlobVerifier: Sendable {
    let descriptor: Descriptor
    private var hasher = Digest.Hasher()
    /// More bytes came than announced: what was taken belongs to something else.
    private(set) var isSpoilt = false

    init(_ descriptor: Descriptor) throws(RegistryError) {
        guard descriptor.digest.algorithm == .sha256 else {
            throw RegistryError(.unsupported, "\(descriptor.digest) cannot be verified: only sha256 is supported")
        }
        self.descriptor = descriptor
    }

    /// Bytes taken so far.
    var count: Int64 { hasher.count }
    var remaining: Int64 { descriptor.size - hasher.count }

    /// Refuses bytes beyond the descriptor's size, before they are hashed.
    mutating func take(_ bytes: [UInt8]) throws(RegistryError) {
        guard Int64(bytes.count) <= remaining else {
            isSpoilt = true
            throw RegistryError(
                .sizeMismatch,
                "\(descriptor.digest) is longer than the \(descriptor.size) bytes that were announced"
            )
        }
        hasher.update(bytes)
    }

    /// Checks that everything has arrived and is what was announced.
    func finish() throws(RegistryError) {
        guard remaining == 0 else { throw short() }
        let actual = hasher.finalize()
        guard actual == descriptor.digest else {
            throw RegistryError(.digestMismatch, "\(descriptor.digest) was asked for, but the bytes are \(actual)")
        }
    }

    func short() -> RegistryError {
        RegistryError(
            .sizeMismatch,
            "\(descriptor.digest) is too short: \(count) bytes arrived, \(descriptor.size) were announced"
        )
    }
}
