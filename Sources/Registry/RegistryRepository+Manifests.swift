// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import NIOHTTP1
public import OCI

extension RegistryRepository {
    private static let accepted: [MediaType] = [.ociIndex, .ociManifest, .dockerManifestList, .dockerManifest]

    /// What a tag or digest names now.
    ///
    /// HEAD is tried first, which registries do not count as a pull; what it leaves open, GET answers.
    public func resolveManifest(_ tagOrDigest: String) async throws -> Descriptor {
        try await reading { endpoint in
            let wanted = try? Digest(tagOrDigest)
            if let descriptor = try await head(tagOrDigest, wanted: wanted, at: endpoint) { return descriptor }
            return try await get(tagOrDigest, wanted: wanted, at: endpoint).descriptor
        }
    }

    /// The exact bytes of a manifest or index, verified.
    public func readManifest(_ descriptor: Descriptor) async throws -> [UInt8] {
        guard descriptor.size <= RegistryClient.manifestLimit else { throw tooLarge(descriptor.digest.description) }
        return try await reading { endpoint in
            let (found, bytes) = try await get(descriptor.digest.description, wanted: descriptor.digest, at: endpoint)
            guard found.size == descriptor.size else {
                throw RegistryError(
                    .sizeMismatch,
                    "\(descriptor.digest) has \(found.size) bytes at \(endpoint.name), \(descriptor.size) were announced"
                )
            }
            return bytes
        }
    }

    /// Stores a manifest or index under `tagOrDigest`. Everything it refers to must have been stored before.
    public func pushManifest(_ bytes: [UInt8], mediaType: MediaType, _ tagOrDigest: String) async throws -> Descriptor {
        let digest = Digest.sha256(bytes)
        if let wanted = try? Digest(tagOrDigest), wanted != digest {
            throw RegistryError(.digestMismatch, "the manifest to push is \(digest), not \(wanted)")
        }
        var call = manifestCall(.PUT, tagOrDigest, scope: pushScope)
        call.headers = ["Content-Type": mediaType.rawValue]
        call.body = .bytes(bytes)
        let reply = try await session.call(call, at: origin)
        if let answered = reply.header("Docker-Content-Digest"), answered != digest.description {
            throw RegistryError(
                .digestMismatch,
                "\(origin.name) stored \(call.subject) as \(sanitised(answered, limit: 80)), but the bytes are \(digest)"
            )
        }
        return Descriptor(mediaType: mediaType, digest: digest, size: Int64(bytes.count))
    }

    /// Nil when the registry does not answer HEAD fully.
    private func head(_ tagOrDigest: String, wanted: Digest?, at endpoint: RegistryEndpoint) async throws -> Descriptor?
    {
        var call = manifestCall(.HEAD, tagOrDigest, scope: pullScope(endpoint))
        call.headers = Self.acceptHeaders
        // The answer to HEAD has no body to say why: a refusal is asked again with GET.
        let reply = try await session.call(
            call,
            at: endpoint,
            allowing: Set(400..<500).subtracting([408, 429]).union([501])
        )
        guard reply.status == 200, let type = reply.header("Content-Type").flatMap(Self.mediaType),
            let size = reply.header("Content-Length").flatMap({ Int64($0) }), size > 0,
            let answered = reply.header("Docker-Content-Digest").flatMap({ try? Digest($0) })
        else { return nil }
        guard size <= RegistryClient.manifestLimit else { throw tooLarge(call.subject) }
        guard wanted == nil || wanted == answered else {
            throw RegistryError(.digestMismatch, "\(endpoint.name) answered \(answered) when asked for \(call.subject)")
        }
        try Self.refuseOldSchema(type, call.subject)
        guard type.isIndex || type.isManifest else { return nil }
        return Descriptor(mediaType: type, digest: answered, size: size)
    }

    private func get(_ tagOrDigest: String, wanted: Digest?, at endpoint: RegistryEndpoint) async throws
        -> (descriptor: Descriptor, bytes: [UInt8])
    {
        if let wanted { _ = try BlobVerifier(Descriptor(mediaType: .ociManifest, digest: wanted, size: 0)) }
        var call = manifestCall(.GET, tagOrDigest, scope: pullScope(endpoint))
        call.headers = Self.acceptHeaders
        let reply = try await session.call(call, at: endpoint, limit: RegistryClient.manifestLimit)
        guard let bytes = reply.body else { throw tooLarge(call.subject) }
        let digest = Digest.sha256(bytes)
        let announced = wanted ?? reply.header("Docker-Content-Digest").flatMap { try? Digest($0) }
        if let announced, announced.algorithm == .sha256, announced != digest {
            throw RegistryError(
                .digestMismatch,
                "\(endpoint.name) announced \(announced) for \(call.subject), but the bytes are \(digest)"
            )
        }
        let type = try Self.kind(of: bytes, contentType: reply.header("Content-Type"), call.subject)
        return (Descriptor(mediaType: type, digest: digest, size: Int64(bytes.count)), bytes)
    }

    private func manifestCall(_ method: HTTPMethod, _ tagOrDigest: String, scope: AuthScope) -> RegistryCall {
        let separator = tagOrDigest.contains(":") ? "@" : ":"
        return RegistryCall(
            method: method,
            target: .repository("manifests/\(tagOrDigest)"),
            repository: path,
            scope: scope,
            subject: "\(name)\(separator)\(tagOrDigest)"
        )
    }

    private func tooLarge(_ subject: String) -> RegistryError {
        RegistryError(
            .tooLarge,
            "the manifest of \(subject) is larger than \(RegistryClient.manifestLimit >> 20) MiB, the limit"
        )
    }

    // MARK: - Types of manifests

    private static var acceptHeaders: HTTPHeaders {
        HTTPHeaders(accepted.map { ("Accept", $0.rawValue) })
    }

    private static func mediaType(_ contentType: String) -> MediaType? {
        let type = contentType.prefix { $0 != ";" }.filter { $0 != " " }.lowercased()
        return type.isEmpty ? nil : MediaType(type)
    }

    /// The type that the registry says, unless it says something general; then the document's own, else its shape's.
    private static func kind(of bytes: [UInt8], contentType: String?, _ subject: String) throws -> MediaType {
        let said = contentType.flatMap(mediaType)
        if let said {
            try refuseOldSchema(said, subject)
            if said.isIndex || said.isManifest { return said }
        }
        guard let json = try? JSONValue(parsing: bytes), json.objectValue != nil else {
            throw RegistryError(.invalidResponse, "\(subject) is not a manifest: it is not a JSON document")
        }
        if json["schemaVersion"]?.integerValue == 1 { throw oldSchema(subject) }
        if let own = json["mediaType"]?.stringValue.map({ MediaType($0) }), own.isIndex || own.isManifest { return own }
        if json["manifests"] != nil { return .ociIndex }
        if json["layers"] != nil, json["config"] != nil { return .ociManifest }
        throw RegistryError(
            .unsupported,
            "\(subject) is neither an image nor an index: its type is \(said?.rawValue ?? "not given")"
        )
    }

    private static func refuseOldSchema(_ type: MediaType, _ subject: String) throws {
        if type.rawValue.hasPrefix("application/vnd.docker.distribution.manifest.v1") { throw oldSchema(subject) }
    }

    private static func oldSchema(_ subject: String) -> RegistryError {
        RegistryError(
            .unsupported,
            "\(subject) is a Docker schema 1 manifest, a format that was given up in 2017",
            nextStep: "push the image again with a current tool"
        )
    }
}
