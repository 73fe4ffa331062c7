// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Content
import Exporters
import LinuxSystem
import OCI
import Registry
import Snapshots
import Solver

/// Where a build's result goes.
struct BuildOutputs: Sendable {
    let all: [ExportSpec]
    /// Tells the steps of several targets apart; empty for one.
    private(set) var label = ""

    /// The outputs of each of the request's targets.
    /// - Throws: `ExportError`, `BuilderError`: before anything is built.
    static func ofEachTarget(_ request: BuildRequest) throws -> [BuildOutputs] {
        try request.checkTargets()
        guard request.targets.count > 1 else {
            var request = request
            request.tags += request.targetTags.values.flatMap(\.self)
            return [try BuildOutputs(request)]
        }
        return try request.targets.map { target in
            var one = request
            one.tags = request.targetTags[target] ?? []
            one.outputs = request.outputs.map { $0.replacing("{target}", with: target) }
            var outputs = try BuildOutputs(one)
            outputs.label = " (\(target))"
            return outputs
        }
    }

    /// - Throws: `ExportError`, `BuilderError`: before anything is built.
    init(_ request: BuildRequest) throws {
        var specs = try request.outputs.map { try ExportSpec(parsing: $0) }
        if request.pushes {
            if let index = specs.firstIndex(where: { $0.kind == .image }) {
                specs[index].push = true
            } else if specs.isEmpty {
                var spec = ExportSpec(kind: .image)
                spec.push = true
                specs.append(spec)
            } else {
                throw BuilderError(
                    .invalidRequest,
                    "--push cannot be used with these outputs",
                    nextStep: "add --output type=registry instead of --push"
                )
            }
        }
        if specs.isEmpty || request.loads && !specs.contains(where: { $0.kind == .image }) {
            specs.append(ExportSpec(kind: .image))
        }
        let tags = request.tags.map(\.withDefaultTag)
        for index in specs.indices {
            specs[index].names =
                specs[index].names.map(\.withDefaultTag) + tags.filter { !specs[index].names.contains($0) }
            if specs[index].push, specs[index].names.isEmpty {
                throw BuilderError(
                    .invalidRequest,
                    "tag is needed when pushing to registry",
                    nextStep: "name the image with -t"
                )
            }
        }
        if specs.filter({ $0.destination == .descriptor(1) }).count > 1 {
            throw BuilderError(.invalidRequest, "only one output can go to standard output")
        }
        all = specs
    }

    /// Those that something is made for.
    var written: [ExportSpec] { all.filter { $0.kind != .cacheOnly } }

    /// Whether some need the files of layers, and not only their archives.
    var readTrees: Bool {
        all.contains { spec in
            switch spec.kind {
            case .tar, .local: true
            // Archives with other times than the files have.
            case .image, .oci, .docker: spec.rewritesTimestamps
            case .cacheOnly: false
            }
        }
    }

    /// - Throws: `BuilderError` for an output that cannot hold an image for several platforms.
    func check(platforms: [Platform]) throws {
        guard platforms.count > 1, all.contains(where: { $0.kind == .docker }) else { return }
        throw BuilderError(
            .invalidRequest,
            "docker exporter does not currently support exporting manifest lists",
            nextStep: "write type=oci, or build for one platform"
        )
    }
}

extension BuildRequest {
    /// - Throws: `BuilderError` for targets, names and outputs that do not fit together.
    fileprivate func checkTargets() throws {
        if let unknown = targetTags.keys.sorted().first(where: { !targets.contains($0) }) {
            throw BuilderError(
                .invalidRequest,
                "a name is for the target \"\(unknown)\", which is not built",
                nextStep: "add --target \(unknown), or leave \"\(unknown)=\" out of -t"
            )
        }
        guard targets.count > 1 else { return }
        if Set(targets).count != targets.count {
            throw BuilderError(.invalidRequest, "a target is named twice: \(targets.joined(separator: ", "))")
        }
        if verifiesReproducibility {
            throw BuilderError(.invalidRequest, "--verify-reproducible takes one target at a time")
        }
        if let name = tags.first {
            throw BuilderError(
                .invalidRequest,
                "several targets are built, and \(name.familiar) could be the name of any",
                nextStep: "say which: -t \(targets[0])=\(name.familiar)"
            )
        }
        for text in outputs where !text.contains("{target}") {
            let spec = try ExportSpec(parsing: text)
            if spec.kind == .cacheOnly || spec.kind == .image && spec.names.isEmpty { continue }
            let part = spec.kind == .image ? "name, like name=app-{target}" : "destination, like dest=out/{target}"
            throw BuilderError(
                .invalidRequest,
                "several targets cannot be written to one place: --output \(text)",
                nextStep: "put {target} into the \(part)"
            )
        }
    }
}

/// One built image, perhaps for several platforms, on its way to one output.
struct OutputRun {
    let engine: Engine
    /// One a platform, in the order of `snapshots`.
    let images: [AssembledImage]
    let snapshots: [[SnapshotID]]
    /// The time that stands for now, of each image.
    let epochs: [FileTime?]
    /// Name of the image at the bottom, whose repository may already have its layers.
    let base: Reference?
    /// The output, if it is a layout that was begun before the image was known.
    let layout: LayoutExport?
    let transfers: TransferReporter

    func run(_ spec: ExportSpec, _ result: inout BuildResult) async throws {
        let store = engine.store
        var images = images
        if spec.kind == .image {
            let assembler = ImageAssembler(store.snapshots, store.content)
            for index in images.indices {
                images[index] = try await assembler.withTreesOfItsOwn(images[index], transfers: transfers)
            }
        }
        let image = images[0]
        let blobs = LayerBlobs(store.snapshots, store.content, store.images, spec.layers)
        switch (spec.kind, spec.destination) {
        case (.image, _):
            result.imageID = image.configDigest
            if images.count == 1 {
                result.metadata["containerimage.config.digest"] = .string(image.configDigest.description)
            }
            try await StoreExporter(store.images).export(images, names: spec.names)
            if spec.names.isEmpty { for image in images { try await keepUnnamed(image) } }
            result.names += spec.names.map(\.description)
            if spec.push { try await push(images, spec, blobs, &result) }
        case (.oci, _?), (.docker, _?):
            guard let place = spec.layoutPlace else { preconditionFailure("a layout has a place") }
            let export =
                if let layout { layout } else {
                    try await spec.layoutExporter(store).begin(place, transfers: transfers)
                }
            let exported = try await export.finish([NamedImage(images, names: spec.names)])
            result.imageID = image.configDigest
            if let manifest = exported.first?.manifest { describe(manifest, &result) }
            result.names += spec.names.map(\.description)
        case (.tar, let destination?):
            try await RootfsExporter(store.snapshots).exportArchive(trees, to: destination, transfers: transfers)
        case (.local, .file(let path)?):
            for tree in trees {
                try await RootfsExporter(store.snapshots).exportDirectory(
                    tree,
                    to: tree.directory.map { path.appending($0) } ?? path,
                    transfers: transfers
                )
            }
        default:
            throw BuilderError(
                .invalidRequest,
                "this output needs a destination",
                nextStep: "add dest=PATH, or dest=- for a stream"
            )
        }
        if !result.names.isEmpty { result.metadata["image.name"] = .string(result.names.joined(separator: ",")) }
    }

    /// The files of each image; of several, each in a directory named after its platform, as BuildKit does.
    private var trees: [RootfsTree] {
        images.indices.map { index in
            let name = images[index].platform.description.split(separator: "/").joined(separator: "_")
            return RootfsTree(
                layers: snapshots[index],
                directory: images.count == 1 ? nil : name,
                time: epochs[index]
            )
        }
    }

    /// An image without a name can be used by its id until the next prune.
    private func keepUnnamed(_ image: AssembledImage) async throws {
        let images = engine.store.images
        try await blocking {
            try images.set(
                ImageRecord(
                    reference: .unnamed(image.configDigest),
                    config: image.configDigest,
                    size: image.size,
                    updated: FileTime.now.seconds,
                    isImplicit: true
                )
            )
        }
    }

    private func push(
        _ images: [AssembledImage],
        _ spec: ExportSpec,
        _ blobs: LayerBlobs,
        _ result: inout BuildResult
    ) async throws {
        var byRepository: [(Reference, [String])] = []
        for name in spec.names {
            if let index = byRepository.firstIndex(where: { $0.0.name == name.name }) {
                byRepository[index].1.append(name.tagOrDigest)
            } else {
                byRepository.append((name, [name.tagOrDigest]))
            }
        }
        let exporter = RegistryExporter(blobs, annotations: spec.annotations)
        for (name, tags) in byRepository {
            let mounts = base.flatMap { $0.domain == name.domain && $0.path != name.path ? [$0.path] : nil } ?? []
            let exported = try await exporter.push(
                images,
                to: RegistryPush(repository: engine.client.repository(name)),
                tags: spec.pushByDigest ? [] : tags,
                baseRepositories: mounts,
                transfers: transfers
            )
            describe(exported.manifest, &result)
        }
        if let manifest = result.manifest { try await remember(manifest, spec.names) }
    }

    /// The names now are what the registry has; those that were moved to another image meanwhile are not.
    private func remember(_ manifest: Descriptor, _ names: [Reference]) async throws {
        let (store, pushed) = (engine.store, images.map(\.configDigest))
        try await blocking {
            for name in names { try store.images.setRepositoryDigest(manifest.digest, of: name, pushed) }
        }
    }

    private func describe(_ manifest: Descriptor, _ result: inout BuildResult) {
        result.manifest = manifest
        result.metadata["containerimage.digest"] = .string(manifest.digest.description)
        result.metadata["containerimage.descriptor"] = [
            "mediaType": .string(manifest.mediaType.rawValue), "digest": .string(manifest.digest.description),
            "size": .integer(manifest.size),
        ]
    }
}

/// A repository of a registry as a place to push to.
struct RegistryPush: PushTarget {
    let repository: RegistryRepository

    func containsBlob(_ descriptor: Descriptor) async throws -> Bool { try await repository.containsBlob(descriptor) }

    func writeBlob(
        mediaType: MediaType,
        expected: Descriptor?,
        _ produce: (any BlobWriter) async throws -> Void
    ) async throws -> Descriptor {
        try await repository.writeBlob(mediaType: mediaType, expected: expected, produce)
    }

    func mountBlob(_ blob: Descriptor, fromRepository path: String) async throws -> Bool {
        try await repository.mountBlob(blob, from: path)
    }

    func pushManifest(_ bytes: [UInt8], _ mediaType: MediaType, tag: String?) async throws -> Descriptor {
        try await repository.pushManifest(
            bytes,
            mediaType: mediaType,
            tag ?? Digest.sha256(bytes).description
        )
    }
}
