// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import NIOCore
import OCI
import Synchronization

/// Hashes what a producer writes and hands it to the upload in pieces worth sending.
final class UploadWriter: BlobWriter {
    private struct State {
        var hasher = Digest.Hasher()
        var pending = ByteBuffer()
    }

    let pipe: ChunkPipe
    private let expected: Descriptor?
    private let onProgress: (@Sendable (Int64) -> Void)?
    private let state = Mutex(State())

    private static let pieceSize = 64 << 10

    init(pipe: ChunkPipe, expected: Descriptor?, onProgress: (@Sendable (Int64) -> Void)?) {
        self.pipe = pipe
        self.expected = expected
        self.onProgress = onProgress
    }

    func write(_ bytes: ArraySlice<UInt8>) async throws {
        let (piece, count) = try state.withLock { state -> (ByteBuffer?, Int64) in
            if let expected, state.hasher.count + Int64(bytes.count) > expected.size {
                throw RegistryError(
                    .sizeMismatch,
                    "more than the announced \(expected.size) bytes were written for \(expected.digest)"
                )
            }
            bytes.withUnsafeBytes { state.hasher.update($0) }
            state.pending.writeBytes(bytes)
            let isWorthSending = state.pending.readableBytes >= Self.pieceSize
            return (isWorthSending ? Self.take(&state.pending) : nil, state.hasher.count)
        }
        if let piece { try await pipe.send(piece) }
        onProgress?(count)
    }

    /// Sends what is pending and ends the body, if it is what was expected.
    func finish() async throws {
        let rest = try state.withLock { state -> ByteBuffer? in
            if let expected {
                let digest = state.hasher.finalize()
                guard state.hasher.count == expected.size else {
                    throw RegistryError(
                        .sizeMismatch,
                        "\(state.hasher.count) bytes were written for \(expected.digest), \(expected.size) were announced"
                    )
                }
                guard digest == expected.digest else {
                    throw RegistryError(
                        .digestMismatch,
                        "\(expected.digest) was to be written, but the bytes are \(digest)"
                    )
                }
            }
            return state.pending.readableBytes > 0 ? Self.take(&state.pending) : nil
        }
        if let rest { try await pipe.send(rest) }
        pipe.finish()
    }

    /// What was written.
    func descriptor(mediaType: MediaType) throws -> Descriptor {
        state.withLock { state in
            if let expected { return expected }
            return Descriptor(mediaType: mediaType, digest: state.hasher.finalize(), size: state.hasher.count)
        }
    }

    private static func take(_ pending: inout ByteBuffer) -> ByteBuffer {
        defer { pending = ByteBuffer() }
        return pending
    }
}
