// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import Exporters
import GalleyTesting
import LinuxSystem
import OCI
import Synchronization
import Testing

/// A repository in memory.
final class MemoryRepository: PushTarget {
    struct State {
        var blobs: [Digest: [UInt8]] = [:]
        var tags: [String: Digest] = [:]
        var others: [String: [Digest: [UInt8]]] = [:]
        var uploads: [Digest] = []
        var mounts: [String] = []
        var running = 0
        var mostRunning = 0
        /// Uploads that ask for their bytes twice.
        var repeats = false
    }

    let state = Mutex(State())

    func containsBlob(_ descriptor: Descriptor) async throws -> Bool {
        state.withLock { $0.blobs[descriptor.digest] != nil }
    }

    func mountBlob(_ blob: Descriptor, fromRepository path: String) async throws -> Bool {
        state.withLock { state in
            state.mounts.append(path)
            guard let bytes = state.others[path]?[blob.digest] else { return false }
            state.blobs[blob.digest] = bytes
            return true
        }
    }

    private final class Writer: BlobWriter {
        let bytes = Mutex<[UInt8]>([])
        func write(_ chunk: ArraySlice<UInt8>) async throws { bytes.withLock { $0 += chunk } }
    }

    func writeBlob(
        mediaType: MediaType,
        expected: Descriptor?,
        _ produce: (any BlobWriter) async throws -> Void
    ) async throws -> Descriptor {
        let repeats = state.withLock { state in
            state.running += 1
            state.mostRunning = max(state.running, state.mostRunning)
            return state.repeats
        }
        defer { state.withLock { $0.running -= 1 } }
        if repeats { try await produce(Writer()) }
        let writer = Writer()
        try await produce(writer)
        let bytes = writer.bytes.withLock { $0 }
        let made = Descriptor(mediaType: mediaType, digest: .sha256(bytes), size: Int64(bytes.count))
        if let expected, expected.digest != made.digest { throw OCIError(.invalidDigest, "not as expected") }
        state.withLock { state in
            state.blobs[made.digest] = bytes
            state.uploads.append(made.digest)
        }
        return made
    }

    func pushManifest(_ bytes: [UInt8], _ mediaType: MediaType, tag: String?) async throws -> Descriptor {
        let manifest = try Manifest(parsing: bytes)
        let digest = Digest.sha256(bytes)
        try state.withLock { state in
            for blob in manifest.layers + [manifest.config] where state.blobs[blob.digest] == nil {
                throw OCIError(.invalidDocument, "blob unknown")
            }
            state.blobs[digest] = bytes
            if let tag { state.tags[tag] = digest }
        }
        return Descriptor(mediaType: mediaType, digest: digest, size: Int64(bytes.count))
    }

    func validate(_ manifest: Descriptor) throws -> ImageValidator.Report {
        let blobs = state.withLock { $0.blobs }
        return try ImageValidator { digest in try #require(blobs[digest]) }.validate(manifest)
    }
}

@Suite(.enabled(if: isRoot, "device files and overlay mounts need root"))
struct RegistryExporterTests {
    @Test(arguments: [true, false])
    func pushesAValidImageOnce(_ repeats: Bool) async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.sample()
        let registry = MemoryRepository()
        registry.state.withLock { $0.repeats = repeats }
        let exporter = RegistryExporter(kitchen.blobs())
        let pushed = try await exporter.push(image, to: registry, tags: ["1", "latest"])
        _ = try registry.validate(pushed.manifest)
        #expect(registry.state.withLock(\.tags) == ["1": pushed.manifest.digest, "latest": pushed.manifest.digest])
        #expect(registry.state.withLock(\.uploads).count == 3)
        // Nothing of the layers' archives stays here.
        #expect(try kitchen.content.all().map(\.digest) == [image.configDigest])

        let again = try await exporter.push(image, to: registry)
        #expect(again == pushed)
        #expect(registry.state.withLock(\.uploads).count == 3)
        // Another registry lacks the blobs that were recorded.
        let other = MemoryRepository()
        #expect(try await exporter.push(image, to: other) == pushed)
        #expect(other.state.withLock(\.uploads).count == 3)
        #expect(other.state.withLock(\.tags).isEmpty)
    }

    @Test func baseLayersAreMounted() async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.sample()
        let base = MemoryRepository()
        let pushed = try await RegistryExporter(kitchen.blobs()).push(image, to: base)
        let child = try await kitchen.assemble(
            image.layers.map(\.snapshot) + [kitchen.layer("echo top > top")],
            baseLayerCount: 2
        )
        let target = MemoryRepository()
        target.state.withLock { $0.others["library/base"] = base.state.withLock(\.blobs) }
        let result = try await RegistryExporter(kitchen.blobs()).push(
            child,
            to: target,
            baseRepositories: ["library/wrong", "library/base"]
        )
        #expect(Array(result.layers.prefix(2)) == pushed.layers)
        // The new layer and the config.
        #expect(target.state.withLock(\.uploads).count == 2)
        _ = try target.validate(result.manifest)
    }

    @Test func anImageThatWasLoadedKeepsItsManifest() async throws {
        let kitchen = try TestKitchen()
        let image = try await kitchen.sample()
        let name = try Reference("app")
        let exported = try await LayoutExporter(kitchen.blobs(), format: .oci, annotations: ["a": "b"])
            .exportArchive([NamedImage(image, names: [name])], to: .file(kitchen.scratch.file("image.tar")))
        _ = try await kitchen.load("image.tar")
        let record = try #require(try kitchen.images.find(name))
        let stored = try ImageAssembler(kitchen.snapshots, kitchen.content).stored(record)
        let registry = MemoryRepository()
        let pushed = try await RegistryExporter(kitchen.blobs()).push(stored, to: registry)
        #expect(pushed.manifest == exported[0].manifest)
        #expect(try registry.validate(pushed.manifest).manifest.annotations == ["a": "b"])
    }

    @Test func atMostFourAtATime() async throws {
        let kitchen = try TestKitchen()
        let layers = try (0..<12).map { try kitchen.layer("echo \($0) > f") }
        let registry = MemoryRepository()
        let image = try await kitchen.assemble(layers)
        let pushed = try await RegistryExporter(kitchen.blobs()).push(image, to: registry)
        #expect(registry.state.withLock(\.mostRunning) <= 4)
        #expect(try registry.validate(pushed.manifest).config.diffIDs == image.diffIDs)
    }
}
