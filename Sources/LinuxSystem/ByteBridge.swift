// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// What is copied for another thread at once: pieces of one size, and not a large one, are memory that malloc finds
/// again for the next.
private let largestChunk = 64 << 10

/// Hands what a blocking call reads to `consume`, in order, in chunks of 64 KiB at most. The reader runs ahead by what a
/// ``ByteChannel`` holds.
///
/// When `consume` throws or the task is cancelled, the next `send` throws, and the call is waited for. Throws what `read`
/// or `consume` threw.
public func bridgingBytes(
    from read:
        @escaping @Sendable (
            _ cancellation: CancellationFlag,
            _ send: @escaping (UnsafeRawBufferPointer) throws -> Void
        ) throws -> Void,
    to consume: (ArraySlice<UInt8>) async throws -> Void
) async throws {
    let channel = ByteChannel()
    async let reader: Void = cancellableBlocking { cancellation in
        do {
            try read(cancellation) { bytes in
                for start in stride(from: 0, to: bytes.count, by: largestChunk) {
                    let chunk = bytes[start..<min(start + largestChunk, bytes.count)]
                    try channel.sendBlocking(ArraySlice(UnsafeRawBufferPointer(rebasing: chunk)))
                }
            }
            channel.finish()
        } catch {
            channel.finish(throwing: error)
            throw error
        }
    }
    do {
        while let chunk = try await channel.receive() { try await consume(chunk) }
    } catch {
        channel.abandon()
        try? await reader
        throw error
    }
    try await reader
}
