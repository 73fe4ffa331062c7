// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Hands what a blocking call reads to `consume`, a chunk at a time and in order. The reader runs ahead by what a
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
            try read(cancellation) { try channel.sendBlocking(ArraySlice($0)) }
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
