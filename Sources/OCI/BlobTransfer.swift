// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Somewhere blobs can be read from: a registry, the local store, an OCI layout.
public protocol BlobSource: Sendable {
    /// Feeds the blob's bytes to `consume` in order, a chunk at a time; the next chunk is read when `consume` returns.
    ///
    /// Digest and size are verified while streaming: a blob that is shorter, longer or different throws after the last
    /// chunk that still fits was consumed, so what was made of the bytes must be thrown away on any error.
    func readBlob(_ descriptor: Descriptor, _ consume: (ArraySlice<UInt8>) async throws -> Void) async throws
}

/// Somewhere blobs can be written to.
public protocol BlobSink: Sendable {
    /// Whether the blob is already there.
    func containsBlob(_ descriptor: Descriptor) async throws -> Bool

    /// Stores what `produce` writes and returns its descriptor. The blob appears whole or not at all, and writing the
    /// same bytes twice is not an error.
    ///
    /// A sink that sends over a network may call `produce` again from the start, with another writer, after a setback.
    ///
    /// - Parameter expected: when given, digest and size must match or nothing is stored.
    func writeBlob(
        mediaType: MediaType,
        expected: Descriptor?,
        _ produce: (any BlobWriter) async throws -> Void
    ) async throws -> Descriptor
}

/// Takes the bytes of one blob, in order.
public protocol BlobWriter: Sendable {
    /// Returns when the sink is ready for more.
    func write(_ bytes: ArraySlice<UInt8>) async throws
}

/// Resolves names to manifests and fetches them.
public protocol ManifestSource: Sendable {
    /// The descriptor that `reference` names now. Asks by digest when the reference has one.
    func resolveManifest(_ reference: Reference) async throws -> Descriptor
    /// The exact bytes of a manifest or index, verified against `descriptor`.
    func readManifest(_ reference: Reference, _ descriptor: Descriptor) async throws -> [UInt8]
}

extension BlobSource {
    /// The whole blob in memory; for manifests and configs, at most `limit` bytes.
    public func readBlob(_ descriptor: Descriptor, limit: Int = 16 << 20) async throws -> [UInt8] {
        guard descriptor.size <= limit else {
            throw OCIError(.invalidDocument, "\(descriptor.digest) has \(descriptor.size) bytes; the limit is \(limit)")
        }
        var bytes = [UInt8]()
        bytes.reserveCapacity(Int(descriptor.size))
        try await readBlob(descriptor) { bytes += $0 }
        return bytes
    }
}
