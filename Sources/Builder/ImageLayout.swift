// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileFrontend
import LinuxSystem
import OCI

/// An OCI image layout in a directory (image-spec, image-layout.md). All that is read of it is verified.
struct ImageLayout: Sendable {
    let path: String

    /// The longest document that is read.
    private static let documentLimit = 16 << 20

    /// What `path[:tag][@digest]` names.
    static func contextSource(_ text: String, name: String) throws -> ContextSource {
        var rest = text[...]
        var digest: Digest?
        if let at = rest.lastIndex(of: "@") {
            do {
                digest = try Digest(rest[rest.index(after: at)...])
            } catch {
                throw BuilderError(.invalidRequest, "failed to get build context \(name): \(error)")
            }
            rest = rest[..<at]
        }
        var tag: String?
        // A directory's own name may hold a colon.
        if !isDirectory(String(rest)), let colon = rest.lastIndex(of: ":") {
            tag = String(rest[rest.index(after: colon)...])
            rest = rest[..<colon]
        }
        let layout = ImageLayout(path: try absolutePath(String(rest)))
        let found = try layout.find(tag: tag, digest: digest)
        var reference = try Reference(String(name.prefix { $0 != "@" }).replacing("::", with: ".").lowercased())
        reference.tag = nil
        reference.digest = found.digest
        return .layout(path: layout.path, reference: reference)
    }

    private static func isDirectory(_ path: String) -> Bool {
        (try? statusIfPresent(at: workingDirectory, RawPath(path), following: true))??.kind == .directory
    }

    /// The manifest or index that the layout's index has under a tag or a digest; with neither its only one, or `latest`.
    func find(tag: String?, digest: Digest?) throws -> Descriptor {
        let index = try index()
        let manifests = index.manifests.filter { $0.annotations?["vnd.docker.reference.type"] == nil }
        if let digest {
            if let found = manifests.first(where: { $0.digest == digest }) { return found }
            throw missing("\(digest)", manifests)
        }
        let wanted = tag ?? "latest"
        for key in ["org.opencontainers.image.ref.name", "io.containerd.image.name"] {
            for manifest in manifests {
                guard let name = manifest.annotations?[key] else { continue }
                if name == wanted || (try? Reference(name))?.tag == wanted { return manifest }
            }
        }
        if tag == nil, manifests.count == 1 { return manifests[0] }
        throw missing(":\(wanted)", manifests)
    }

    private func missing(_ what: String, _ manifests: [Descriptor]) -> BuilderError {
        let names = manifests.compactMap { $0.annotations?["org.opencontainers.image.ref.name"] }
        return BuilderError(
            .notFound,
            "oci-layout reference \(path)\(what.hasPrefix(":") ? what : "@\(what)") could not be resolved",
            nextStep: names.isEmpty
                ? "its index.json names no tags; give a digest: oci-layout://\(path)@sha256:..."
                : "its index.json has the tags \(names.joined(separator: ", "))"
        )
    }

    private func index() throws -> Index {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try readFile(RawPath(path).appending("index.json"), limit: Self.documentLimit)
        } catch {
            throw BuilderError(
                .notFound,
                "\(path) is no OCI image layout: index.json: \(error.reason)",
                nextStep: "oci-layout:// takes a directory as `galley build -o type=oci,tar=false` writes it"
            )
        }
        do {
            return try Index(parsing: bytes)
        } catch {
            throw BuilderError(.invalidRequest, "\(path)/index.json: \(error)")
        }
    }

    /// A manifest, index or config.
    func document(_ descriptor: Descriptor) throws -> [UInt8] {
        var bytes: [UInt8] = []
        guard descriptor.size <= Self.documentLimit else {
            throw OCIError(.invalidDocument, "\(path): \(descriptor.digest) is too large for a document")
        }
        try read(descriptor) { bytes += $0 }
        return bytes
    }

    private func read(_ descriptor: Descriptor, _ consume: (UnsafeRawBufferPointer) throws -> Void) throws {
        guard descriptor.digest.algorithm == .sha256 else {
            throw OCIError(.unsupported, "\(path): \(descriptor.digest) cannot be verified: only sha256 is supported")
        }
        let fd: OwnedFD
        do throws(SystemError) {
            fd = try open(RawPath(path).appending("blobs/sha256/\(descriptor.digest.hex)"), [.readOnly, .nonBlocking])
        } catch {
            throw BuilderError(.notFound, "the image layout \(path) lacks \(descriptor.digest): \(error.reason)")
        }
        var hasher = Digest.Hasher()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        while hasher.count <= descriptor.size {
            let count = try readBytes(fd.raw, into: buffer)
            if count == 0 { break }
            let chunk = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            hasher.update(chunk)
            if hasher.count <= descriptor.size { try consume(chunk) }
        }
        guard hasher.count == descriptor.size, hasher.finalize() == descriptor.digest else {
            throw BuilderError(
                .invalidRequest,
                "the image layout \(path) is damaged: its blob \(descriptor.digest) has other content",
                nextStep: "write the layout again"
            )
        }
    }
}

extension ImageLayout: BlobSource {
    func readBlob(_ descriptor: Descriptor, _ consume: (ArraySlice<UInt8>) async throws -> Void) async throws {
        try await bridgingBytes(from: { try read(descriptor, $1) }, to: consume)
    }
}
