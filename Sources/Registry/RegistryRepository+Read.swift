// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import AsyncHTTPClient
import NIOCore
import NIOHTTP1
public import OCI

extension RegistryRepository: BlobSource {
    /// A connection that is cut or falls silent is taken up again where it ended; bytes are never delivered twice.
    public func readBlob(_ descriptor: Descriptor, _ consume: (ArraySlice<UInt8>) async throws -> Void) async throws {
        var verifier = try BlobVerifier(descriptor)
        var endpoints = readEndpoints[...]
        while let endpoint = endpoints.popFirst() {
            do {
                try await read(&verifier, from: endpoint, consume)
                return
            } catch let error as RegistryError {
                let isSpoilt = error.code == .digestMismatch || verifier.isSpoilt
                guard !endpoints.isEmpty, !isSpoilt else { throw error }
            } catch let error as ConsumerError {
                throw error.underlying
            }
        }
    }

    /// Makes attempts at one endpoint until the blob is whole.
    private func read(
        _ verifier: inout BlobVerifier,
        from endpoint: RegistryEndpoint,
        _ consume: (ArraySlice<UInt8>) async throws -> Void
    ) async throws {
        var loop = RetryLoop(session.retry, session.clock)
        while verifier.remaining > 0 {
            let before = verifier.count
            do {
                try await attempt(&verifier, from: endpoint, consume)
                if verifier.remaining > 0 { throw verifier.short() }
            } catch let setback as Setback {
                // Only real progress earns new patience, or a server could keep us with a byte at a time.
                if verifier.count - before >= 1 << 20 { loop.reset() }
                try await loop.pause(after: setback, host: endpoint.authority)
            }
        }
        try verifier.finish()
    }

    /// One request: the network runs in a child task, `consume` in this one.
    private func attempt(
        _ verifier: inout BlobVerifier,
        from endpoint: RegistryEndpoint,
        _ consume: (ArraySlice<UInt8>) async throws -> Void
    ) async throws {
        let pipe = ChunkPipe(clock: session.clock)
        let start = verifier.count
        let descriptor = verifier.descriptor
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                defer { group.cancelAll() }
                group.addTask { await pump(descriptor, from: start, of: endpoint, into: pipe) }
                group.addTask { [retry = session.retry] in
                    try await pipe.watch(.writer, stall: retry.stallTimeout, commit: retry.stallTimeout)
                }
                while let chunk = try await pipe.next() {
                    let bytes = [UInt8](chunk.readableBytesView)
                    try verifier.take(bytes)
                    do {
                        try await consume(bytes[...])
                    } catch {
                        throw ConsumerError(underlying: error)
                    }
                    onProgress?(verifier.count)
                }
            }
        } catch let failure as TransportFailure {
            throw Setback(failure, host: endpoint.authority)
        }
    }

    /// Puts the blob's bytes from `start` on into the pipe; how it ends is the pipe's end.
    private func pump(
        _ descriptor: Descriptor,
        from start: Int64,
        of endpoint: RegistryEndpoint,
        into pipe: ChunkPipe
    ) async {
        do {
            let call = blobCall(descriptor, from: start, of: endpoint)
            let (answer, _) = try await session.open(call, at: endpoint)
            guard answer.status == 200 || answer.status == 206 else {
                let body = try await answer.collect(limit: RegistryErrorBody.limit) ?? []
                throw session.refusal(answer.status, answer.headers, body, call, endpoint)
            }
            var skip = try bytesToSkip(answer, descriptor, start, endpoint)
            var arrived: Int64 = 0
            for try await var chunk in answer.body {
                arrived += Int64(chunk.readableBytes)
                let skipped = min(skip, Int64(chunk.readableBytes))
                chunk.moveReaderIndex(forwardBy: Int(skipped))
                skip -= skipped
                if chunk.readableBytes > 0 { try await pipe.send(chunk) } else { pipe.touch() }
            }
            // A body without a declared end that is too short may have been cut.
            let hasEnd = answer.contentLength != nil || answer.header("Transfer-Encoding") != nil
            if !hasEnd, start + arrived < descriptor.size, answer.status == 206 || arrived < descriptor.size {
                throw TransportFailure(kind: .lost, reason: "the connection was closed")
            }
            pipe.finish()
        } catch let error as RegistryError {
            pipe.finish(throwing: error)
        } catch let setback as Setback {
            pipe.finish(throwing: setback)
        } catch {
            pipe.finish(throwing: Task.isCancelled ? CancellationError() : TransportFailure(sorting: error))
        }
    }

    /// How much of the body was already consumed; refuses lengths that cannot be right before a byte is read.
    private func bytesToSkip(
        _ answer: HTTPAnswer,
        _ descriptor: Descriptor,
        _ start: Int64,
        _ endpoint: RegistryEndpoint
    ) throws -> Int64 {
        var first: Int64 = 0
        if answer.status == 206 {
            let range = answer.header("Content-Range") ?? ""
            guard range.hasPrefix("bytes "), let from = Int64(range.dropFirst(6).prefix { $0 != "-" }), from <= start,
                from >= 0
            else {
                throw RegistryError(
                    .invalidResponse,
                    "\(endpoint.name) sent another part of \(descriptor.digest) than was asked for"
                )
            }
            first = from
        }
        if let length = answer.contentLength, length != descriptor.size - first {
            throw RegistryError(
                .sizeMismatch,
                "\(descriptor.digest) has \(first + length) bytes at \(endpoint.name), \(descriptor.size) were announced"
            )
        }
        return start - first
    }

    private func blobCall(_ descriptor: Descriptor, from start: Int64, of endpoint: RegistryEndpoint) -> RegistryCall {
        RegistryCall(
            method: .GET,
            target: .repository("blobs/\(descriptor.digest)"),
            repository: path,
            scope: pullScope(endpoint),
            headers: start > 0 ? ["Range": "bytes=\(start)-"] : [:],
            subject: "blob \(descriptor.digest) of \(name)"
        )
    }
}

/// Keeps what the consumer throws apart from what the transfer throws.
private struct ConsumerError: Error {
    let underlying: any Error
}
