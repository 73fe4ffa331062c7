// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import NIOCore
import NIOHTTP1
public import OCI

extension RegistryRepository: BlobSink {
    public func containsBlob(_ descriptor: Descriptor) async throws -> Bool {
        let call = RegistryCall(
            method: .HEAD,
            target: .repository("blobs/\(descriptor.digest)"),
            repository: path,
            scope: pushScope,
            subject: "blob \(descriptor.digest) of \(name)"
        )
        let reply = try await session.call(call, at: origin, allowing: [404])
        return reply.status != 404
    }

    /// Lets the registry take a blob over from another repository of the same registry. False when it will not, for
    /// whatever reason: then the blob must be written.
    public func mountBlob(_ descriptor: Descriptor, from otherPath: String) async throws -> Bool {
        var call = uploadCall("blobs/uploads/", query: [("mount", descriptor.digest.description), ("from", otherPath)])
        call.scope = pushScope.union(AuthScope(repository: otherPath, "pull"))
        let reply = try await session.call(call, at: origin, allowing: [400, 401, 403, 404, 405])
        if reply.status == 201 { return true }
        if reply.status == 202, let upload = try? location(reply) { await abandon(upload) }
        return false
    }

    /// Streams what `produce` writes to the registry, without knowing its length and without keeping it.
    ///
    /// `produce` is called again from the start, with another writer, when the connection breaks or the registry fails
    /// for the moment; it must write the same bytes each time if `expected` is given. It is not called at all when
    /// `expected` is given and the registry has that blob already.
    public func writeBlob(
        mediaType: MediaType,
        expected: Descriptor?,
        _ produce: (any BlobWriter) async throws -> Void
    ) async throws -> Descriptor {
        if let expected {
            _ = try BlobVerifier(expected)
            if try await containsBlob(expected) { return expected }
        }
        var loop = RetryLoop(session.retry, session.clock)
        while true {
            do {
                return try await upload(mediaType: mediaType, expected: expected, produce)
            } catch let setback as Setback {
                try await loop.pause(after: setback, host: origin.authority)
            }
        }
    }

    private func upload(
        mediaType: MediaType,
        expected: Descriptor?,
        _ produce: (any BlobWriter) async throws -> Void
    ) async throws -> Descriptor {
        let opened = try await session.call(uploadCall("blobs/uploads/"), at: origin)
        let begun = try location(opened)
        do {
            let writer = UploadWriter(
                pipe: ChunkPipe(clock: session.clock),
                expected: expected,
                onProgress: onProgress
            )
            let upload = try await send(writer, to: begun, produce)
            let descriptor = try writer.descriptor(mediaType: mediaType)
            try await commit(descriptor, at: upload)
            return descriptor
        } catch {
            if !(error is Setback) { await abandon(begun) }
            throw error
        }
    }

    /// PATCHes the body; returns where to commit it.
    private func send(
        _ writer: UploadWriter,
        to upload: WebAddress,
        _ produce: (any BlobWriter) async throws -> Void
    ) async throws -> WebAddress {
        let pipe = writer.pipe
        var call = uploadCall("")
        call.method = .PATCH
        call.target = .address(upload)
        call.headers = ["Content-Type": "application/octet-stream"]
        call.body = .stream(pipe)
        do {
            return try await withThrowingTaskGroup(of: WebAddress.self) { group in
                defer { group.cancelAll() }
                group.addTask { [call] in try await patch(call, pipe) }
                group.addTask { [retry = session.retry] in
                    try await pipe.watch(.reader, stall: retry.stallTimeout, commit: retry.commitTimeout)
                }
                do {
                    try await produce(writer)
                    try await writer.finish()
                } catch {
                    // When the network failed, whatever the producer made of that is not the cause.
                    throw pipe.failure ?? error
                }
                guard let next = try await group.next() else { throw CancellationError() }
                return next
            }
        } catch let failure as TransportFailure {
            throw Setback(failure, host: origin.authority)
        }
    }

    private func patch(_ call: RegistryCall, _ pipe: ChunkPipe) async throws -> WebAddress {
        do {
            let (answer, address) = try await session.open(call, at: origin)
            let body = try await answer.collect(limit: RegistryErrorBody.limit) ?? []
            guard (200..<300).contains(answer.status) else {
                throw uploadRefusal(answer.status, answer.headers, body, call)
            }
            return try location(
                RegistryReply(status: answer.status, headers: answer.headers, body: body, address: address)
            )
        } catch {
            let sorted: any Error =
                switch error {
                case is RegistryError, is Setback, is CancellationError: error
                default: pipe.failure ?? TransportFailure(sorting: error)
                }
            pipe.fail(sorted)
            throw sorted
        }
    }

    private func commit(_ descriptor: Descriptor, at upload: WebAddress) async throws {
        var call = uploadCall("")
        call.method = .PUT
        call.target = .address(upload.adding("digest", descriptor.digest.description))
        call.headers = ["Content-Length": "0", "Content-Type": "application/octet-stream"]
        call.timeout = session.retry.commitTimeout
        do {
            let reply = try await session.callOnce(call, at: origin)
            if let answered = reply.header("Docker-Content-Digest"), answered != descriptor.digest.description {
                throw RegistryError(
                    .digestMismatch,
                    "\(origin.name) stored \(descriptor.digest) as \(sanitised(answered, limit: 80))"
                )
            }
        } catch let failure as TransportFailure {
            // The registry may have filed the blob before the answer was lost.
            if try await containsBlob(descriptor) { return }
            throw Setback(failure, host: origin.authority)
        }
    }

    /// A registry that has lost the upload is asked for a new one.
    private func uploadRefusal(_ status: Int, _ headers: HTTPHeaders, _ body: [UInt8], _ call: RegistryCall)
        -> any Error
    {
        let error = session.refusal(status, headers, body, call, origin)
        guard status == 404 || status == 416, let known = error as? RegistryError else { return error }
        return Setback(RegistryError(.invalidResponse, "\(origin.name) lost the upload to \(name)", cause: known))
    }

    private func uploadCall(_ rest: String, query: [(String, String)] = []) -> RegistryCall {
        RegistryCall(
            method: .POST,
            target: .repository(rest, query: query),
            repository: path,
            scope: pushScope,
            headers: ["Content-Length": "0"],
            subject: "upload to \(name)"
        )
    }

    /// Where the upload goes on. A registry behind a proxy that ends TLS may name itself with http: https stays.
    private func location(_ reply: RegistryReply) throws -> WebAddress {
        guard var address = reply.header("Location").flatMap({ WebAddress($0, relativeTo: reply.address) }) else {
            throw RegistryError(.invalidResponse, "\(origin.name) did not say where to upload to")
        }
        if reply.address.scheme == .https, address.scheme == .http {
            guard address.host == reply.address.host else {
                throw RegistryError(
                    .tls,
                    "\(origin.name) wants the upload at \(address.authority) over plain http, which is not done"
                )
            }
            address.scheme = .https
            address.authority = reply.address.authority
        }
        return address
    }

    /// Tells the registry to forget an upload; it would in time anyway, so failures do not matter.
    private func abandon(_ upload: WebAddress) async {
        var call = uploadCall("")
        call.method = .DELETE
        call.target = .address(upload)
        call.headers = [:]
        call.timeout = .seconds(5)
        _ = try? await session.callOnce(call, at: origin)
    }
}
